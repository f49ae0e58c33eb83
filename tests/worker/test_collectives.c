/* Collectives between a node's devices: which devices, at which sizes, what a line makes of times,
 * and what the estimator would take for them. */
#include "core/finetune/network.h"
#include "kernels/measure/collectives.h"
#include "tests/unit/check_main.h"
#include "tests/worker/pretend_group.h"

#include <math.h>
#include <string.h>

static struct lq_error err;

/* What the pretended backend lists: the first letter is the kind. */
static const char *kinds;

static enum lq_code list(struct lq_device_info *devices, size_t max, size_t *count,
                         struct lq_error *unused)
{
    (void)unused;
    *count = strlen(kinds) < max ? strlen(kinds) : max;
    for (size_t i = 0; i < *count; i++) {
        devices[i] = (struct lq_device_info){.name = {kinds[i]}};
    }
    return LQ_OK;
}

static struct lq_backend backend;

static void set_up(void)
{
    err = (struct lq_error){0};
    backend = (struct lq_backend){.name = "cuda", .list = list, .group = pretend_group()};
    unsetenv("PRETEND_GROUP");
}

static struct lq_rig rig_of(char kind)
{
    return (struct lq_rig){.backend = &backend, .info = {.name = {kind}, .memory_bytes = 0x1p24}};
}

static struct lq_node node_of(const char *listed)
{
    struct lq_node node;
    const struct lq_rig rig = rig_of(listed[0]);
    kinds = listed;
    ck_assert_msg(lq_node_find(&rig, &node, &err) == LQ_OK, "%s", err.detail);
    return node;
}

START_TEST(a_node_is_the_devices_of_one_kind)
{
    const struct lq_node node = node_of("aabac");
    ck_assert_uint_eq(node.count, 3);
    ck_assert_uint_eq(node.others, 2);
    ck_assert_uint_eq(node.devices[0], 0);
    ck_assert_uint_eq(node.devices[1], 1);
    ck_assert_uint_eq(node.devices[2], 3);
}
END_TEST

START_TEST(groups_double_up_to_all_devices)
{
    static const size_t WANT[] = {2, 4, 6, 0};
    const struct lq_node node = node_of("aaaaaa");
    size_t members = 0;
    for (size_t i = 0; i < sizeof WANT / sizeof *WANT; i++) {
        members = lq_node_next(&node, members);
        ck_assert_uint_eq(members, WANT[i]);
    }
    const struct lq_node pair = node_of("aa");
    ck_assert_uint_eq(lq_node_next(&pair, 0), 2);
    ck_assert_uint_eq(lq_node_next(&pair, 2), 0);
}
END_TEST

START_TEST(why_there_is_nothing_to_measure_is_said)
{
    struct lq_node node;
    struct lq_rig rig = rig_of('b');
    kinds = "ab";
    ck_assert_int_eq(lq_node_find(&rig, &node, &err), LQ_EDEVICE);
    ck_assert_str_eq(err.detail, "this node has one b, and collectives take two");
    err = (struct lq_error){0};
    rig.backend = lq_cpu_backend();
    ck_assert_int_eq(lq_node_find(&rig, &node, &err), LQ_EDEVICE);
    ck_assert_str_eq(err.detail, "the cpu backend has one device, and collectives take two");
}
END_TEST

static const double LATENCY_S = 12e-6;
static const double BYTES_PER_S = 180e9;

START_TEST(a_line_is_recovered_from_times_that_lie_on_it)
{
    double bytes[LQ_COLLECTIVE_SIZES_MAX];
    double seconds[LQ_COLLECTIVE_SIZES_MAX];
    for (int i = 0; i < LQ_COLLECTIVE_SIZES_MAX; i++) {
        bytes[i] = 8192.0 * pow(8.0, (double)i);
        seconds[i] = LATENCY_S + bytes[i] / BYTES_PER_S;
    }
    for (int n = 2; n <= LQ_COLLECTIVE_SIZES_MAX; n++) {
        const struct lq_line line = lq_line_fit(bytes, seconds, n);
        ck_assert_double_eq_tol(line.latency_s, LATENCY_S, 1e-9 * LATENCY_S);
        ck_assert_double_eq_tol(line.bytes_per_s, BYTES_PER_S, 1e-9 * BYTES_PER_S);
    }
}
END_TEST

START_TEST(per_cents_of_large_times_do_not_drown_a_latency)
{
    double bytes[LQ_COLLECTIVE_SIZES_MAX];
    double seconds[LQ_COLLECTIVE_SIZES_MAX];
    for (int i = 0; i < LQ_COLLECTIVE_SIZES_MAX; i++) {
        const double off = i % 2 == 0 ? 1.02 : 0.98;
        bytes[i] = 8192.0 * pow(8.0, (double)i);
        seconds[i] = off * (LATENCY_S + bytes[i] / BYTES_PER_S);
    }
    const struct lq_line line = lq_line_fit(bytes, seconds, LQ_COLLECTIVE_SIZES_MAX);
    ck_assert_double_eq_tol(line.latency_s, LATENCY_S, 0.02 * LATENCY_S);
    ck_assert_double_eq_tol(line.bytes_per_s, BYTES_PER_S, 0.02 * BYTES_PER_S);
}
END_TEST

START_TEST(what_times_do_not_tell_is_zero)
{
    static const double BYTES[] = {1e4, 1e6, 1e8};
    static const double LEVEL[] = {2e-5, 2e-5, 2e-5};
    static const double FALLING[] = {4e-5, 2e-5, 1e-5};
    static const double BENT[] = {1e-9, 1e-5, 1e-2}; /* its straight line begins below 0 */
    struct lq_line line = lq_line_fit(BYTES, LEVEL, 0);
    ck_assert(line.latency_s == 0.0 && line.bytes_per_s == 0.0);
    line = lq_line_fit(BYTES, LEVEL, 1);
    ck_assert(line.bytes_per_s == 0.0);
    ck_assert_double_eq_tol(line.latency_s, 2e-5, 1e-15);
    line = lq_line_fit(BYTES, LEVEL, 3);
    ck_assert(line.bytes_per_s == 0.0 || line.bytes_per_s > 1e15);
    ck_assert_double_eq_tol(line.latency_s, 2e-5, 1e-9);
    line = lq_line_fit(BYTES, FALLING, 3);
    ck_assert(line.bytes_per_s == 0.0 && line.latency_s > 1e-5 && line.latency_s < 4e-5);
    line = lq_line_fit(BYTES, BENT, 3);
    ck_assert(line.latency_s == 0.0 && line.bytes_per_s > 1e10);
}
END_TEST

static struct lq_collective_times measure(const struct lq_node *node, size_t members,
                                          enum lq_group_collective collective, enum lq_code want)
{
    struct lq_collective_times times;
    struct lq_group *group = NULL;
    ck_assert_int_eq(backend.group->open(NULL, node->devices, members, &group, &err), LQ_OK);
    const enum lq_code code = lq_collective_measure(node, group, members, collective, &times, &err);
    backend.group->close(group);
    ck_assert_msg(code == want, "%d: %s", (int)code, err.detail);
    return times;
}

START_TEST(every_collective_is_timed_at_sizes_that_fit)
{
    const struct lq_node node = node_of("aaa");
    for (int i = 0; i < LQ_GROUP_COLLECTIVE_COUNT; i++) {
        const struct lq_collective_times t = measure(&node, 3, (enum lq_group_collective)i, LQ_OK);
        ck_assert_int_eq(t.collective, i); /* the estimator has the same order */
        ck_assert_uint_eq(t.members, 3);
        ck_assert_int_eq(t.count, 3);            /* input and output: an eighth of 16 MiB at most */
        ck_assert_double_eq(t.bytes[0], 8184.0); /* three parts of whole numbers */
        ck_assert_double_eq(t.bytes[1], 65532.0);
        ck_assert_double_eq(t.bytes[2], 524280.0);
        for (int size = 0; size < t.count; size++) {
            ck_assert_double_gt(t.seconds[size], 0.0);
        }
        ck_assert(t.line.bytes_per_s > 0.0 || t.line.latency_s > 0.0);
    }
}
END_TEST

START_TEST(the_smallest_size_is_timed_whatever_the_memory)
{
    struct lq_node node = node_of("aa");
    node.memory_bytes = 1000.0;
    ck_assert_int_eq(measure(&node, 2, LQ_GROUP_ALL_GATHER, LQ_OK).count, 1);
}
END_TEST

START_TEST(wrong_outcomes_are_found_before_they_are_timed)
{
    const struct lq_node node = node_of("aa");
    setenv("PRETEND_GROUP", "wrong", 1);
    for (int i = 0; i < LQ_GROUP_COLLECTIVE_COUNT; i++) {
        err = (struct lq_error){0};
        (void)measure(&node, 2, (enum lq_group_collective)i, LQ_EDEVICE);
        ck_assert_ptr_nonnull(strstr(err.detail, LQ_COLLECTIVE_NAMES[i]));
        ck_assert_ptr_nonnull(strstr(err.detail, " over 2 devices goes wrong: number "));
    }
}
END_TEST

START_TEST(a_collective_that_fails_is_an_error)
{
    const struct lq_node node = node_of("aa");
    for (int n = 0; n < 3; n++) { /* in the check, while it settles, in a sample */
        char text[] = "lost 0";
        text[5] = (char)('0' + n);
        setenv("PRETEND_GROUP", text, 1);
        err = (struct lq_error){0};
        (void)measure(&node, 2, LQ_GROUP_ALL_REDUCE, LQ_EDEVICE);
        ck_assert_str_eq(err.detail, "ncclGroupEnd: a device is lost");
    }
}
END_TEST

/* A100-SXM4 as the catalog has it: 600 GB/s in both directions together, PCIe 4. */
static const struct lq_gpu BOARD = {
    .id = "A100-80GB-SXM", .interconnect_bytes_per_s = 600e9, .pcie_generation = 4};
static const struct lq_gpu CARD = {.id = "L40", .pcie_generation = 4};

START_TEST(estimates_are_those_of_a_step_and_lie_on_a_line)
{
    const struct lq_node node = node_of("aaaaaaaa");
    const double latency_s = 8.4e-6 + 2.0 * 7.0 * 3.4e-6; /* a call and twice around the ring */
    double bytes[3] = {1e4, 1e6, 1e8};
    double seconds[3];
    for (int i = 0; i < 3; i++) {
        seconds[i] = lq_collective_estimate_s(&BOARD, &node, LQ_COLLECTIVE_ALL_REDUCE, 8, bytes[i]);
        ck_assert_double_eq_tol(seconds[i], latency_s + 1.75 * bytes[i] / 240e9, 1e-12);
    }
    const struct lq_line line = lq_line_fit(bytes, seconds, 3);
    ck_assert_double_eq_tol(line.latency_s, latency_s, 1e-9 * latency_s);
    ck_assert_double_eq_tol(lq_bus_share(LQ_COLLECTIVE_ALL_REDUCE, 8) * line.bytes_per_s, 240e9,
                            1.0);
    ck_assert_double_eq_tol(
        lq_collective_estimate_s(&BOARD, &node, LQ_COLLECTIVE_ALL_GATHER, 4, 1e8),
        8.4e-6 + 3.0 * 3.4e-6 + 0.75 * 1e8 / 240e9, 1e-12);
    ck_assert_double_eq(
        lq_collective_estimate_s(&BOARD, &node, LQ_COLLECTIVE_REDUCE_SCATTER, 4, 1e8),
        lq_collective_estimate_s(&BOARD, &node, LQ_COLLECTIVE_ALL_GATHER, 4, 1e8));
    ck_assert_double_eq_tol(
        lq_collective_estimate_s(&BOARD, &node, LQ_COLLECTIVE_ALL_TO_ALL, 4, 1e8),
        8.4e-6 + 3.4e-6 + 0.75 * 1e8 / 240e9, 1e-12);
    ck_assert(isinf(lq_collective_estimate_s(&BOARD, &node, LQ_COLLECTIVE_HOST_COPY, 4, 1e8)));
    ck_assert(isinf(lq_collective_estimate_s(&(struct lq_gpu){.id = "unknown"}, &node,
                                             LQ_COLLECTIVE_ALL_REDUCE, 4, 1e8)));
}
END_TEST

START_TEST(an_interconnect_makes_the_estimator_take_what_was_measured)
{
    static const struct lq_gpu UNKNOWN = {.id = "unknown"};
    static const struct {
        const struct lq_gpu *gpu;
        double bus;
        double want;
    } CASES[] = {{&BOARD, 240e9, 600e9},  {&BOARD, 200e9, 500e9},
                 {&BOARD, 100e9, 0.0}, /* with less than five times PCIe's rate it is no board */
                 {&CARD, 18e9, 48e9},     {&CARD, 50e9, 0.0}, /* more than PCIe has */
                 {&UNKNOWN, 80e9, 200e9}, {&UNKNOWN, 0.0, 0.0}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const double got = lq_interconnect_of(CASES[i].gpu, 4, CASES[i].bus);
        ck_assert_msg(fabs(got - CASES[i].want) <= 1e-9 * CASES[i].want, "case %zu: %g, not %g", i,
                      got, CASES[i].want);
    }
}
END_TEST

START_TEST(an_interconnect_is_measured_where_there_are_two)
{
    double bytes_per_s = -1.0;
    const struct lq_rig rig = rig_of('a');
    kinds = "ab";
    ck_assert_int_eq(lq_interconnect_measure(&rig, NULL, &bytes_per_s, &err), LQ_OK);
    ck_assert_double_eq(bytes_per_s, 0.0);
    kinds = "aab";
    ck_assert_int_eq(lq_interconnect_measure(&rig, NULL, &bytes_per_s, &err), LQ_OK);
    ck_assert_double_gt(bytes_per_s, 0.0);
    setenv("PRETEND_GROUP", "absent", 1);
    ck_assert_int_eq(lq_interconnect_measure(&rig, "x.so", &bytes_per_s, &err), LQ_EDEVICE);
    ck_assert_str_eq(err.detail, "NCCL is not installed: x.so");
    err = (struct lq_error){0};
    setenv("PRETEND_GROUP", "lost 1", 1);
    ck_assert_int_eq(lq_interconnect_measure(&rig, NULL, &bytes_per_s, &err), LQ_EDEVICE);
    ck_assert_double_eq(bytes_per_s, 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_collectives");
    TCase *tc = tcase_create("collectives");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, a_node_is_the_devices_of_one_kind);
    tcase_add_test(tc, groups_double_up_to_all_devices);
    tcase_add_test(tc, why_there_is_nothing_to_measure_is_said);
    tcase_add_test(tc, a_line_is_recovered_from_times_that_lie_on_it);
    tcase_add_test(tc, per_cents_of_large_times_do_not_drown_a_latency);
    tcase_add_test(tc, what_times_do_not_tell_is_zero);
    tcase_add_test(tc, every_collective_is_timed_at_sizes_that_fit);
    tcase_add_test(tc, the_smallest_size_is_timed_whatever_the_memory);
    tcase_add_test(tc, wrong_outcomes_are_found_before_they_are_timed);
    tcase_add_test(tc, a_collective_that_fails_is_an_error);
    tcase_add_test(tc, estimates_are_those_of_a_step_and_lie_on_a_line);
    tcase_add_test(tc, an_interconnect_makes_the_estimator_take_what_was_measured);
    tcase_add_test(tc, an_interconnect_is_measured_where_there_are_two);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
