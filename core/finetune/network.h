/* Times of collective operations between devices from bandwidth and latency. What a step sends is
 * counted in communication.h. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/layout.h"

#include <stdint.h>

/* What the members of one group talk over. Rates are what a collective sees, one direction. */
struct lq_link {
    int64_t members;          /* >= 1 */
    int64_t node_members;     /* of them in one node, 1..members */
    double intra_bytes_per_s; /* from one device to another of its node; 0 = not known */
    double inter_bytes_per_s; /* out of one node, for all members in it together */
    double intra_hop_s;       /* latency of one step of a ring within a node */
};

/* The link of `members` devices that are `stride` ranks apart. Ranks run tensor fastest, then
 * context, then data (expert groups are neighbours in it), pipeline outermost, and fill one node
 * after the other. A node's network is shared evenly by its devices, all of which are taken to talk
 * at once. gpu: borrowed; network: node_gpu_count >= 1; members, stride: >= 1. */
struct lq_link lq_network_link(const struct lq_gpu *gpu, const struct lq_network *network,
                               int64_t members, int64_t stride);

/* Bytes per s between two devices of one node in one direction, 0 where the catalog knows neither
 * the interconnect nor the PCIe generation. `neighbours`: the group is a pair of adjacent devices,
 * which is what a bridge joins; larger groups of bridged cards talk over PCIe. */
double lq_network_intra_bytes_per_s(const struct lq_gpu *gpu, bool neighbours);

/* Bytes per s out of one node in one direction: the job's, else what nodes of such devices usually
 * have. */
double lq_network_inter_bytes_per_s(const struct lq_gpu *gpu, const struct lq_network *network);

/* Bytes per s between a device and its host in one direction; never 0. */
double lq_network_host_bytes_per_s(const struct lq_gpu *gpu);

/* Seconds of `calls` operations over `bytes` in all; 0 for a group of one and for no bytes;
 * infinite where the link is not known. bytes: all-reduce: of every member's buffer; all-gather and
 * reduce-scatter: of the whole buffer; all-to-all: of what one member sends, its own part included;
 * ring: of what one member passes on to the next.
 * Sources: rings Patarasuk and Yuan 2009 (doi 10.1016/j.jpdc.2008.09.002): 2 (n-1)/n and (n-1)/n of
 * the buffer; trees of full bandwidth: NCCL 2.4 (2019-02, developer.nvidia.com/blog). */
double lq_all_reduce_s(const struct lq_link *link, double bytes, double calls);
double lq_all_gather_s(const struct lq_link *link, double bytes, double calls);
double lq_reduce_scatter_s(const struct lq_link *link, double bytes, double calls);
double lq_all_to_all_s(const struct lq_link *link, double bytes, double calls);
double lq_ring_shift_s(const struct lq_link *link, double bytes, double calls);
