/* Rates and latencies of links and what collectives make of them. Nothing here knows of models. */
#include "core/finetune/network.h"

#include <math.h>
#include <string.h>

/* What collectives reach of the nominal rates of the catalog, as NCCL's own model has it
 * (src/graph/topo.h, 2.18, 2023): NVLink 20.0 of 25 GB/s a link (SM70, SM80; SM90 20.6), PCIe gen 3
 * 12 of 16 GB/s (recalled; not re-checked). Other vendors' links: ASSUMED alike; all_reduce_perf
 * tells. */
#define LINK_SHARE 0.8
#define PCIE_SHARE 0.75

/* 0.9: ASSUMED of the network's nominal rate; all_reduce_perf over two nodes tells. The fall of
 * InternEvo's 7B from 8 to 16..256 A100 (internevo.csv rows 33-48) agrees within its scatter. */
#define NETWORK_SHARE 0.9

/* Latencies of the Simple protocol in NCCL's model (src/graph/tuning.cc, baseLat and hwLat, 2.18,
 * 2023; recalled, not re-checked): 8.4 us a call; a ring's hop 3.4 us by NVLink, 5.7 us by PCIe, 14
 * us by network; a tree's hop 28 us. */
#define CALL_S 8.4e-6
#define RING_LINK_HOP_S 3.4e-6
#define RING_PCIE_HOP_S 5.7e-6
#define RING_NETWORK_HOP_S 14e-6
#define TREE_HOP_S 28e-6

/* 2 GB/s: one direction of 16 PCIe lanes of generation 1 is 4 GB/s, and doubles with each: 16, 32,
 * 64 GB/s for 3, 4, 5 (PCI-SIG). */
#define PCIE_BYTES_PER_S 2e9
#define PCIE_GENERATION_MAX 6

/* 32 GB/s to the host where the generation is not known: ASSUMED the fourth's 16 lanes. */
#define HOST_BYTES_PER_S 32e9

/* Devices with more than five times the rate of PCIe sit on one board with links to all others
 * (SXM, OAM): 5.0 (P100-SXM2) to 12.5 (MI250) times. Those with less have links for pairs (bridges:
 * 1.8 to 4.7 times), and so have the cards whose names tell it, whatever the rate. Source:
 * seed/gpus.csv and its notes. */
#define BOARD_RATIO 5.0

/* Networks of reference nodes, a device: 6.25 GB/s (DGX-1: 4 x 100 Gbit/s for 8 V100, 2017), 25
 * GB/s (DGX A100: 8 x 200 Gbit/s, 2020), 50 GB/s (DGX H100: 8 x 400 Gbit/s, 2022; recalled).
 * Datasheets by NVIDIA; for other vendors' boards of that PCIe generation ASSUMED alike. */
static const double BOARD_NETWORK_BYTES_PER_S[] = {6.25e9, 25e9, 50e9};

/* 12.5 GB/s a node of PCIe cards: ASSUMED one port of 100 Gbit/s; the job can say otherwise. */
#define CARD_NETWORK_BYTES_PER_S 12.5e9

static double pcie_bytes_per_s(const struct lq_gpu *gpu)
{
    if (gpu->pcie_generation < 1) {
        return 0.0;
    }
    const int generation = (int)fmin((double)gpu->pcie_generation, PCIE_GENERATION_MAX);
    return ldexp(PCIE_BYTES_PER_S, generation);
}

/* Links of its own to every other device of the node, not PCIe and no bridge. */
static bool on_board(const struct lq_gpu *gpu)
{
    if (strstr(gpu->id, "PCIe") != NULL || strstr(gpu->id, "NVL") != NULL) {
        return false;
    }
    return gpu->interconnect_bytes_per_s / 2.0 >= BOARD_RATIO * pcie_bytes_per_s(gpu) &&
           gpu->interconnect_bytes_per_s > 0.0;
}

/* Whether two adjacent devices have more than PCIe between them. */
static bool is_linked(const struct lq_gpu *gpu, bool neighbours)
{
    if (on_board(gpu)) {
        return true;
    }
    return neighbours && gpu->interconnect_bytes_per_s / 2.0 > pcie_bytes_per_s(gpu);
}

double lq_network_intra_bytes_per_s(const struct lq_gpu *gpu, bool neighbours)
{
    const double link = gpu->interconnect_bytes_per_s / 2.0; /* both directions are catalogued */
    const double pcie = pcie_bytes_per_s(gpu);
    if (is_linked(gpu, neighbours)) {
        return LINK_SHARE * link;
    }
    if (pcie > 0.0) { /* a catalogued rate below PCIe's is that of a narrower slot */
        return PCIE_SHARE * (link > 0.0 ? fmin(link, pcie) : pcie);
    }
    return LINK_SHARE * link;
}

double lq_network_inter_bytes_per_s(const struct lq_gpu *gpu, const struct lq_network *network)
{
    if (network->internode_bytes_per_s > 0.0) {
        return network->internode_bytes_per_s;
    }
    if (!on_board(gpu)) {
        return CARD_NETWORK_BYTES_PER_S;
    }
    const int64_t generation = gpu->pcie_generation;
    const int row = generation == 0 || generation > 4 ? 2 : generation == 4 ? 1 : 0;
    return BOARD_NETWORK_BYTES_PER_S[row] * (double)network->node_gpu_count;
}

double lq_network_host_bytes_per_s(const struct lq_gpu *gpu)
{
    const double pcie = pcie_bytes_per_s(gpu);
    return PCIE_SHARE * (pcie > 0.0 ? pcie : HOST_BYTES_PER_S);
}

struct lq_link lq_network_link(const struct lq_gpu *gpu, const struct lq_network *network,
                               int64_t members, int64_t stride)
{
    const int64_t node = network->node_gpu_count;
    int64_t here = stride < node ? node / stride : 1;
    here = here < members ? here : members;
    const bool neighbours = here == 2 && stride == 1;
    const double share = fmin((double)here / (double)node, 1.0);
    return (struct lq_link){
        .members = members,
        .node_members = here,
        .intra_bytes_per_s = lq_network_intra_bytes_per_s(gpu, neighbours),
        .inter_bytes_per_s = NETWORK_SHARE * share * lq_network_inter_bytes_per_s(gpu, network),
        .intra_hop_s = is_linked(gpu, neighbours) ? RING_LINK_HOP_S : RING_PCIE_HOP_S,
    };
}

static double link_nodes(const struct lq_link *link)
{
    return ceil((double)link->members / (double)link->node_members);
}

/* A ring is as fast as its slowest hop: the one that leaves the node, where there is one. */
static double ring_bytes_per_s(const struct lq_link *link)
{
    if (link->node_members == link->members) {
        return link->intra_bytes_per_s;
    }
    return link->node_members == 1 ? link->inter_bytes_per_s
                                   : fmin(link->intra_bytes_per_s, link->inter_bytes_per_s);
}

/* Once around a ring: n - 1 hops, one less than the nodes of them by network. */
static double ring_hops_s(const struct lq_link *link)
{
    const double between = link_nodes(link) - 1.0;
    const double within = (double)link->members - 1.0 - between;
    return within * link->intra_hop_s + between * RING_NETWORK_HOP_S;
}

/* Up and down again: a chain within each node, a binary tree of nodes. */
static double tree_hops_s(const struct lq_link *link)
{
    const double chain = (double)link->node_members - 1.0;
    return 2.0 * TREE_HOP_S * (chain + ceil(log2(link_nodes(link))));
}

static bool is_idle(const struct lq_link *link, double bytes)
{
    return link->members < 2 || !(bytes > 0.0);
}

/* Share of a buffer that is not one's own. */
static double others(double members)
{
    return (members - 1.0) / members;
}

double lq_all_reduce_s(const struct lq_link *link, double bytes, double calls)
{
    if (is_idle(link, bytes)) {
        return 0.0;
    }
    const double hops_s = fmin(2.0 * ring_hops_s(link), tree_hops_s(link));
    return 2.0 * others((double)link->members) * bytes / ring_bytes_per_s(link) +
           calls * (CALL_S + hops_s);
}

double lq_all_gather_s(const struct lq_link *link, double bytes, double calls)
{
    if (is_idle(link, bytes)) {
        return 0.0;
    }
    return others((double)link->members) * bytes / ring_bytes_per_s(link) +
           calls * (CALL_S + ring_hops_s(link));
}

double lq_reduce_scatter_s(const struct lq_link *link, double bytes, double calls)
{
    return lq_all_gather_s(link, bytes, calls);
}

double lq_all_to_all_s(const struct lq_link *link, double bytes, double calls)
{
    if (is_idle(link, bytes)) {
        return 0.0;
    }
    const double n = (double)link->members;
    const double here = (double)link->node_members;
    const double within_s = here > 1.0 ? (here - 1.0) / n * bytes / link->intra_bytes_per_s : 0.0;
    if (here >= n) {
        return within_s + calls * (CALL_S + link->intra_hop_s);
    }
    /* what leaves the node leaves by its network, all members' parts one after the other */
    const double between_s = here * (n - here) / n * bytes / link->inter_bytes_per_s;
    return fmax(within_s, between_s) + calls * (CALL_S + RING_NETWORK_HOP_S);
}

double lq_ring_shift_s(const struct lq_link *link, double bytes, double calls)
{
    if (is_idle(link, bytes)) {
        return 0.0;
    }
    const double hop_s =
        link->node_members < link->members ? RING_NETWORK_HOP_S : link->intra_hop_s;
    return bytes / ring_bytes_per_s(link) + calls * (CALL_S + hop_s);
}
