/* Links and collectives against sums done by hand. The rates are round: 8 devices a node, 100 GB/s
 * of links one way seen as 80, 80 GB/s of network a node seen as 72. */
#include "core/finetune/network.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

static const struct lq_gpu BOARD = {
    .id = "board", .interconnect_bytes_per_s = 200e9, .pcie_generation = 3};
static const struct lq_gpu BRIDGED = {
    .id = "bridged", .interconnect_bytes_per_s = 112.5e9, .pcie_generation = 4};
static const struct lq_gpu CARD = {
    .id = "card", .interconnect_bytes_per_s = 64e9, .pcie_generation = 4};
static const struct lq_network NETWORK = {.node_gpu_count = 8, .internode_bytes_per_s = 80e9};

static struct lq_link link_of(int64_t members, int64_t stride)
{
    return lq_network_link(&BOARD, &NETWORK, members, stride);
}

START_TEST(groups_within_a_node_use_its_links)
{
    const struct lq_link link = link_of(8, 1);
    ck_assert_int_eq(link.node_members, 8);
    assert_close("rate", link.intra_bytes_per_s, 0.8 * 100e9, 1e-12);
    ck_assert_int_eq(link_of(2, 4).node_members, 2);
}
END_TEST

START_TEST(groups_over_nodes_share_the_network_with_their_neighbours)
{
    const struct lq_link all = link_of(64, 1);
    ck_assert_int_eq(all.node_members, 8);
    assert_close("whole node", all.inter_bytes_per_s, 0.9 * 80e9, 1e-12);
    const struct lq_link half = link_of(16, 2);
    ck_assert_int_eq(half.node_members, 4);
    assert_close("half of it", half.inter_bytes_per_s, 0.9 * 40e9, 1e-12);
    const struct lq_link one = link_of(4, 8);
    ck_assert_int_eq(one.node_members, 1);
    assert_close("one device's part", one.inter_bytes_per_s, 0.9 * 10e9, 1e-12);
    ck_assert_int_eq(link_of(4, 64).node_members, 1);
}
END_TEST

START_TEST(a_bridge_joins_adjacent_pairs_alone)
{
    assert_close("pair", lq_network_intra_bytes_per_s(&BRIDGED, true), 0.8 * 56.25e9, 1e-12);
    assert_close("more", lq_network_intra_bytes_per_s(&BRIDGED, false), 0.75 * 32e9, 1e-12);
    assert_close("apart", lq_network_link(&BRIDGED, &NETWORK, 2, 2).intra_bytes_per_s, 0.75 * 32e9,
                 1e-12);
}
END_TEST

START_TEST(cards_without_links_use_pcie_by_generation)
{
    assert_close("generation 4", lq_network_intra_bytes_per_s(&CARD, true), 0.75 * 32e9, 1e-12);
    struct lq_gpu gpu = CARD;
    gpu.interconnect_bytes_per_s = 0.0;
    const double rates[] = {16e9, 32e9, 64e9};
    for (int i = 0; i < 3; i++) {
        gpu.pcie_generation = 3 + i;
        assert_close("16 lanes", lq_network_intra_bytes_per_s(&gpu, true), 0.75 * rates[i], 1e-12);
    }
    gpu.pcie_generation = 4;
    gpu.interconnect_bytes_per_s = 32e9; /* eight lanes */
    assert_close("8 lanes", lq_network_intra_bytes_per_s(&gpu, true), 0.75 * 16e9, 1e-12);
}
END_TEST

START_TEST(names_tell_cards_from_boards)
{
    struct lq_gpu gpu = {
        .id = "A100-80GB-PCIe", .interconnect_bytes_per_s = 600e9, .pcie_generation = 4};
    assert_close("card", lq_network_intra_bytes_per_s(&gpu, false), 0.75 * 32e9, 1e-12);
    assert_close("bridge", lq_network_intra_bytes_per_s(&gpu, true), 0.8 * 300e9, 1e-12);
    gpu = (struct lq_gpu){
        .id = "A100-80GB-SXM", .interconnect_bytes_per_s = 600e9, .pcie_generation = 4};
    assert_close("board", lq_network_intra_bytes_per_s(&gpu, false), 0.8 * 300e9, 1e-12);
    gpu = (struct lq_gpu){.id = "B200", .interconnect_bytes_per_s = 1800e9};
    assert_close("no PCIe known", lq_network_intra_bytes_per_s(&gpu, false), 0.8 * 900e9, 1e-12);
}
END_TEST

START_TEST(an_unknown_link_takes_forever)
{
    const struct lq_gpu nothing = {.id = "unknown"};
    const struct lq_link link = lq_network_link(&nothing, &NETWORK, 2, 1);
    ck_assert_double_eq(link.intra_bytes_per_s, 0.0);
    ck_assert(isinf(lq_all_reduce_s(&link, 1.0, 1.0)));
    ck_assert_double_gt(lq_network_host_bytes_per_s(&nothing), 0.0);
}
END_TEST

START_TEST(an_unnamed_network_is_that_of_reference_nodes)
{
    const struct lq_network unnamed = {.node_gpu_count = 8};
    struct lq_gpu gpu = BOARD;
    gpu.interconnect_bytes_per_s = 900e9;
    const double rates[] = {50e9, 200e9, 400e9};
    for (int i = 0; i < 3; i++) {
        gpu.pcie_generation = 3 + i;
        assert_close("board", lq_network_inter_bytes_per_s(&gpu, &unnamed), rates[i], 1e-12);
    }
    gpu.pcie_generation = 0;
    assert_close("newest", lq_network_inter_bytes_per_s(&gpu, &unnamed), 400e9, 1e-12);
    assert_close("cards", lq_network_inter_bytes_per_s(&CARD, &unnamed), 12.5e9, 1e-12);
    assert_close("named", lq_network_inter_bytes_per_s(&CARD, &NETWORK), 80e9, 1e-12);
}
END_TEST

START_TEST(rings_in_a_node_take_bytes_and_hops)
{
    const struct lq_link link = link_of(8, 1);
    /* 2 * 7/8 of 80 MB at 80 GB/s; 14 hops of 3.4 us */
    assert_close("all-reduce", lq_all_reduce_s(&link, 80e6, 1.0), 1.75e-3 + 8.4e-6 + 14 * 3.4e-6,
                 1e-9);
    assert_close("all-gather", lq_all_gather_s(&link, 80e6, 2.0),
                 0.875e-3 + 2.0 * (8.4e-6 + 7 * 3.4e-6), 1e-9);
    assert_close("reduce-scatter", lq_reduce_scatter_s(&link, 80e6, 2.0),
                 lq_all_gather_s(&link, 80e6, 2.0), 1e-15);
    assert_close("all-to-all", lq_all_to_all_s(&link, 80e6, 1.0), 0.875e-3 + 8.4e-6 + 3.4e-6, 1e-9);
    assert_close("shift", lq_ring_shift_s(&link, 80e6, 1.0), 1e-3 + 8.4e-6 + 3.4e-6, 1e-9);
}
END_TEST

START_TEST(rings_over_nodes_are_as_fast_as_their_slowest_hop)
{
    const struct lq_link link = link_of(64, 1);
    const double within = 56 * 3.4e-6;
    assert_close("all-gather", lq_all_gather_s(&link, 72e6, 1.0),
                 63.0 / 64.0 * 1e-3 + 8.4e-6 + within + 7 * 14e-6, 1e-9);
    /* two ways of 56 + 7 hops beat a tree of 7 hops in the node and 3 between, both ways */
    assert_close("all-reduce", lq_all_reduce_s(&link, 72e6, 1.0),
                 2.0 * 63.0 / 64.0 * 1e-3 + 8.4e-6 + fmin(2.0 * (within + 98e-6), 20 * 28e-6),
                 1e-9);
    /* 8 members send 56/64 of their buffers through the node's network */
    assert_close("all-to-all", lq_all_to_all_s(&link, 72e6, 1.0), 7.0e-3 + 8.4e-6 + 14e-6, 1e-9);
    assert_close("shift", lq_ring_shift_s(&link, 72e6, 1.0), 1e-3 + 8.4e-6 + 14e-6, 1e-9);
}
END_TEST

START_TEST(trees_spare_large_groups_the_latency_of_rings)
{
    const struct lq_link link = link_of(1024, 1);
    const double tree = 2.0 * 28e-6 * (7 + 7);
    assert_close("all-reduce", lq_all_reduce_s(&link, 8.0, 1.0), 8.4e-6 + tree, 1e-3);
    ck_assert_double_gt(lq_all_gather_s(&link, 8.0, 1.0), 4.0 * tree);
}
END_TEST

START_TEST(one_member_or_no_bytes_take_no_time)
{
    double (*const operations[])(const struct lq_link *, double, double) = {
        lq_all_reduce_s, lq_all_gather_s, lq_reduce_scatter_s, lq_all_to_all_s, lq_ring_shift_s};
    const struct lq_link alone = link_of(1, 1);
    const struct lq_link pair = link_of(2, 1);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        ck_assert_double_eq(operations[i](&alone, 1e9, 4.0), 0.0);
        ck_assert_double_eq(operations[i](&pair, 0.0, 4.0), 0.0);
        ck_assert_double_gt(operations[i](&pair, 1.0, 1.0), 0.0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network");
    TCase *tests = tcase_create("network");
    tcase_add_test(tests, groups_within_a_node_use_its_links);
    tcase_add_test(tests, groups_over_nodes_share_the_network_with_their_neighbours);
    tcase_add_test(tests, a_bridge_joins_adjacent_pairs_alone);
    tcase_add_test(tests, cards_without_links_use_pcie_by_generation);
    tcase_add_test(tests, names_tell_cards_from_boards);
    tcase_add_test(tests, an_unknown_link_takes_forever);
    tcase_add_test(tests, an_unnamed_network_is_that_of_reference_nodes);
    tcase_add_test(tests, rings_in_a_node_take_bytes_and_hops);
    tcase_add_test(tests, rings_over_nodes_are_as_fast_as_their_slowest_hop);
    tcase_add_test(tests, trees_spare_large_groups_the_latency_of_rings);
    tcase_add_test(tests, one_member_or_no_bytes_take_no_time);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
