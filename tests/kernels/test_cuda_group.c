/* Groups of the CUDA backend's devices on the shim, over a library that stands in for NCCL: what
 * collectives leave behind, why there is no group, and that nothing is left whichever call fails.
 */
#include "kernels/cuda/shim/control.h"
#include "kernels/cuda/shim/stand_in.h"
#include "kernels/measure/collectives.h"
#include "tests/kernels/pretend_nccl.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const size_t DEVICES[] = {0, 1, 2, 3, 4, 5, 6, 7};
enum { MOST = sizeof DEVICES / sizeof *DEVICES, PART = 1021 };
static const double LIMIT_S = 10.0;

static struct {
    void *library;
    pretend_nccl_break_fn *break_all;
    pretend_nccl_aborted_fn *aborted;
    pretend_nccl_device_fn *device;
} nccl;

static const struct lq_group_functions *group(void)
{
    return subject()->group;
}

/* POSIX: a symbol's address may be a function's. */
static void find(const char *name, void *function, size_t size)
{
    void *symbol = dlsym(nccl.library, name);
    ck_assert_msg(symbol != NULL, "%s", dlerror());
    memcpy(function, &symbol, size);
}

static void set_up(void)
{
    pretend_nccl_use_fn *use = NULL;
    nccl.library = dlopen(PRETEND_NCCL, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(nccl.library != NULL, "%s", dlerror());
    find("pretend_nccl_use", &use, sizeof use);
    find("pretend_nccl_break", &nccl.break_all, sizeof nccl.break_all);
    find("pretend_nccl_aborted", &nccl.aborted, sizeof nccl.aborted);
    find("pretend_nccl_device", &nccl.device, sizeof nccl.device);
    use((struct pretend_shim){.may = lq_shim_may,
                              .leave_error = lq_shim_leave_error,
                              .hold = lq_shim_hold,
                              .let_go = lq_shim_let_go});
    lq_shim_devices(MOST, 0);
    lq_shim_fail(0);
    lq_shim_busy(0);
}

static void tear_down(void)
{
    release_all();
    dlclose(nccl.library);
}

static struct lq_group *open_group(size_t count)
{
    struct lq_group *opened = NULL;
    OK(group()->open(PRETEND_NCCL, DEVICES, count, &opened, &err));
    return opened;
}

/* What each member of `count` is to find in its output. */
static void expect_output(enum lq_group_collective collective, float *const *inputs, size_t count,
                          size_t member, size_t part, double *want)
{
    for (size_t i = 0; i < count * part; i++) {
        const size_t from = i / part;
        const size_t at = i % part;
        switch (collective) {
        case LQ_GROUP_ALL_GATHER:
            want[i] = (double)inputs[from][at];
            break;
        case LQ_GROUP_ALL_TO_ALL:
            want[i] = (double)inputs[from][member * part + at];
            break;
        case LQ_GROUP_ALL_REDUCE:
        case LQ_GROUP_REDUCE_SCATTER: {
            const bool scatters = collective == LQ_GROUP_REDUCE_SCATTER;
            const size_t place = scatters ? member * part + at : i;
            want[i] = 0.0;
            for (size_t j = 0; j < count; j++) {
                want[i] += (double)inputs[j][place];
            }
            break;
        }
        case LQ_GROUP_COLLECTIVE_COUNT:
            ck_abort_msg("no collective");
        }
    }
}

static void check_collective(enum lq_group_collective collective, size_t count, size_t part)
{
    struct lq_group *opened = open_group(count);
    float *inputs[MOST];
    const size_t whole = count * part;
    const size_t written = collective == LQ_GROUP_REDUCE_SCATTER ? part : whole;
    double *want = zero_doubles(whole);
    float *got = zero_floats(whole + 1);
    OK(group()->reserve(opened, whole + 1, &err));
    for (size_t i = 0; i < count; i++) {
        inputs[i] = random_floats(whole, 17 + i, 1.0);
        OK(group()->write(opened, i, inputs[i], whole, &err));
    }
    OK(group()->start(opened, collective, part, &err));
    OK(group()->wait(opened, LIMIT_S, &err));
    for (size_t i = 0; i < count; i++) {
        OK(group()->read(opened, i, got, whole + 1, &err));
        expect_output(collective, inputs, count, i, part, want);
        assert_near("collective", got, want, written, FORWARD_TOLERANCE);
        assert_same("beyond", got + written, poisoned_floats(whole + 1 - written),
                    whole + 1 - written);
    }
    group()->close(opened);
    ck_assert_uint_eq(lq_shim_left(), 0);
}

START_TEST(every_collective_leaves_what_it_is_to_leave)
{
    static const size_t COUNTS[] = {1, 2, 3, MOST};
    static const size_t PARTS[] = {1, 3, PART};
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
        for (size_t j = 0; j < sizeof PARTS / sizeof *PARTS; j++) {
            check_collective((enum lq_group_collective)_i, COUNTS[i], PARTS[j]);
        }
    }
}
END_TEST

START_TEST(members_are_the_devices_in_the_order_given)
{
    static const size_t CHOSEN[] = {5, 2};
    struct lq_group *opened = NULL;
    const float x[2] = {1.0F, 2.0F};
    float y[2];
    OK(group()->open(PRETEND_NCCL, CHOSEN, 2, &opened, &err));
    ck_assert_int_eq(nccl.device(0), 5);
    ck_assert_int_eq(nccl.device(1), 2);
    OK(group()->reserve(opened, 2, &err));
    OK(group()->write(opened, 0, &x[0], 1, &err));
    OK(group()->write(opened, 1, &x[1], 1, &err));
    OK(group()->start(opened, LQ_GROUP_ALL_GATHER, 1, &err));
    OK(group()->wait(opened, LIMIT_S, &err));
    OK(group()->read(opened, 1, y, 2, &err));
    assert_same("gathered", y, x, 2);
    group()->close(opened);
}
END_TEST

START_TEST(inputs_are_zero_until_written_and_room_can_grow)
{
    struct lq_group *opened = open_group(2);
    float y[4];
    for (size_t numbers = 2; numbers <= 4; numbers += 2) {
        OK(group()->reserve(opened, numbers, &err));
        OK(group()->start(opened, LQ_GROUP_ALL_REDUCE, numbers / 2, &err));
        OK(group()->wait(opened, LIMIT_S, &err));
        OK(group()->read(opened, 1, y, numbers, &err));
        assert_same("sum", y, zero_floats(numbers), numbers);
    }
    group()->close(opened);
    ck_assert_uint_eq(lq_shim_left(), 0);
}
END_TEST

START_TEST(a_group_says_what_moves_its_data)
{
    struct lq_group *opened = open_group(2);
    ck_assert_str_eq(group()->version(opened), "NCCL 2.28.9");
    group()->close(opened);
    group()->close(NULL);
}
END_TEST

/* Why a group of these devices cannot be opened. */
static struct lq_error refusal(const char *library, const size_t *devices, size_t count)
{
    struct lq_group *opened = NULL;
    struct lq_error err = {0};
    ck_assert_int_eq(group()->open(library, devices, count, &opened, &err), LQ_EDEVICE);
    ck_assert_ptr_null(opened);
    ck_assert_uint_eq(lq_shim_left(), 0);
    return err;
}

START_TEST(without_the_library_the_reason_is_one_sentence)
{
    const struct lq_error err = refusal("/no/such/libnccl.so.2", DEVICES, 2);
    ck_assert_str_eq(err.detail, "NCCL is not installed: /no/such/libnccl.so.2: cannot open shared "
                                 "object file: No such file or directory");
}
END_TEST

START_TEST(a_library_that_lacks_a_call_is_refused)
{
    const struct lq_error err = refusal(WRONG_NCCL, DEVICES, 2);
    ck_assert_str_eq(err.detail,
                     "the NCCL library has no ncclGetErrorString: 2.7 or newer is needed");
}
END_TEST

START_TEST(a_device_that_is_not_there_or_twice_is_refused)
{
    static const size_t BEYOND[] = {0, MOST};
    static const size_t TWICE[] = {3, 1, 3};
    struct lq_error err = refusal(PRETEND_NCCL, BEYOND, 2);
    ck_assert_str_eq(err.detail, "there are 8 CUDA devices, counted from 0; got 8");
    err = refusal(PRETEND_NCCL, TWICE, 3);
    ck_assert_str_eq(err.detail, "a group has every device once; got 3 twice");
}
END_TEST

/* Everything that is done with a group, as far as it succeeds. */
static enum lq_code use(struct lq_group *opened, struct lq_error *err)
{
    const float x[6] = {1.0F, 2.0F};
    float y[6];
    LQ_TRY(group()->reserve(opened, 6, err));
    LQ_TRY(group()->write(opened, 1, x, 6, err));
    for (int i = 0; i < LQ_GROUP_COLLECTIVE_COUNT; i++) {
        LQ_TRY(group()->start(opened, (enum lq_group_collective)i, 3, err));
    }
    LQ_TRY(group()->wait(opened, LIMIT_S, err));
    return group()->read(opened, 0, y, 6, err);
}

/* What failed in a group, or went on, is no fault of the next kernel. */
static void launch(struct lq_device *device, void *memory)
{
    const struct lq_op_add add = {.n = 1, .a = memory, .b = memory, .out = memory};
    OK(subject()->add(device, &add, &err));
}

/* Every way of failing, of which the walk must meet each. */
static const char *const NAMES[] = {"ncclGetVersion: unhandled cuda error",
                                    "ncclCommInitAll: unhandled cuda error",
                                    "ncclGroupStart: unhandled cuda error",
                                    "ncclGroupEnd: unhandled cuda error",
                                    "ncclAllReduce: unhandled cuda error",
                                    "ncclAllGather: unhandled cuda error",
                                    "ncclReduceScatter: unhandled cuda error",
                                    "ncclSend: unhandled cuda error",
                                    "ncclRecv: unhandled cuda error",
                                    "ncclCommGetAsyncError: unhandled cuda error",
                                    "making a stream: out of memory",
                                    "memory of a group: out of memory",
                                    "zeroing: pretended failure",
                                    "waiting for a device: pretended failure",
                                    "copying: pretended failure",
                                    "waiting for a copy: pretended failure",
                                    "waiting for a collective: pretended failure"};
enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };

START_TEST(whichever_call_fails_is_named_and_leaves_nothing)
{
    struct lq_device *device = open_device(1);
    void *memory = upload(device, zero_floats(1), 1);
    const size_t before = lq_shim_left();
    bool seen[NAME_COUNT] = {false};
    uint64_t calls = 1;
    for (uint64_t n = 1; n <= calls; n++) {
        struct lq_group *opened = NULL;
        struct lq_error failure = {0};
        lq_shim_fail(n);
        enum lq_code code = group()->open(PRETEND_NCCL, DEVICES, 2, &opened, &failure);
        code = code == LQ_OK ? use(opened, &failure) : code;
        calls = code == LQ_OK ? lq_shim_calls() : calls + 1;
        ck_assert_msg(code != LQ_OK || lq_shim_calls() < n, "call %u is missed", (unsigned)n);
        group()->close(opened);
        ck_assert_uint_eq(lq_shim_left(), before);
        if (code != LQ_OK) {
            launch(device, memory);
        }
        for (int i = 0; i < NAME_COUNT; i++) {
            seen[i] = seen[i] || strcmp(failure.detail, NAMES[i]) == 0;
        }
    }
    lq_shim_fail(0);
    for (int i = 0; i < NAME_COUNT; i++) {
        ck_assert_msg(seen[i], "never: %s", NAMES[i]);
    }
}
END_TEST

START_TEST(a_failure_while_closing_leaves_nothing)
{
    struct lq_device *device = open_device(1);
    void *memory = upload(device, zero_floats(1), 1);
    const size_t before = lq_shim_left();
    enum { CALLS = 8 }; /* two communicators, four buffers, two streams */
    for (uint64_t n = 1; n <= CALLS; n++) {
        struct lq_group *opened = open_group(2);
        OK(use(opened, &err));
        ck_assert_int_eq(nccl.aborted(), 0);
        lq_shim_fail(n);
        group()->close(opened);
        ck_assert_uint_eq(lq_shim_left(), before);
        ck_assert_uint_eq(lq_shim_calls(), CALLS);
        launch(device, memory);
        lq_shim_fail(0);
    }
}
END_TEST

START_TEST(an_error_that_comes_late_ends_the_wait)
{
    for (int busy = 0; busy < 2; busy++) { /* found while it goes on, and after its end */
        struct lq_group *opened = open_group(2);
        struct lq_error late = {0};
        OK(group()->reserve(opened, 2, &err));
        OK(group()->start(opened, LQ_GROUP_ALL_REDUCE, 1, &err));
        nccl.break_all(1);
        lq_shim_busy(busy == 0 ? UINT64_MAX : 0);
        ck_assert_int_eq(group()->wait(opened, LIMIT_S, &late), LQ_EDEVICE);
        ck_assert_str_eq(late.detail, "a collective: unhandled cuda error");
        nccl.break_all(0);
        lq_shim_busy(0);
        group()->close(opened);
        ck_assert_int_eq(nccl.aborted(), 2 * (busy + 1)); /* it might wait for ever */
    }
    ck_assert_uint_eq(lq_shim_left(), 0);
}
END_TEST

START_TEST(what_goes_on_is_waited_for_up_to_a_limit)
{
    struct lq_device *device = open_device(1);
    void *memory = upload(device, zero_floats(1), 1);
    const size_t before = lq_shim_left();
    struct lq_group *opened = open_group(2);
    struct lq_error late = {0};
    OK(group()->reserve(opened, 2, &err));
    OK(group()->start(opened, LQ_GROUP_ALL_GATHER, 1, &err));
    lq_shim_busy(1000);
    OK(group()->wait(opened, LIMIT_S, &err));
    launch(device, memory);
    OK(group()->start(opened, LQ_GROUP_ALL_GATHER, 1, &err));
    lq_shim_busy(UINT64_MAX);
    ck_assert_int_eq(group()->wait(opened, 0.01, &late), LQ_EDEVICE);
    ck_assert_ptr_nonnull(strstr(late.detail, "a collective does not end on device 0"));
    lq_shim_busy(0);
    group()->close(opened);
    ck_assert_int_eq(nccl.aborted(), 2);
    ck_assert_uint_eq(lq_shim_left(), before);
}
END_TEST

START_TEST(collectives_are_checked_and_timed_over_a_group)
{
    struct lq_rig rig = {.backend = subject(), .info = {.memory_bytes = 0x1p22}};
    struct lq_node node;
    strcpy(rig.info.name, "NVIDIA pretend device");
    OK(lq_node_find(&rig, &node, &err));
    ck_assert_uint_eq(node.count, MOST);
    struct lq_group *opened = open_group(3);
    for (int i = 0; i < LQ_GROUP_COLLECTIVE_COUNT; i++) {
        struct lq_collective_times times;
        OK(lq_collective_measure(&node, opened, 3, (enum lq_group_collective)i, &times, &err));
        ck_assert_int_eq(times.count, 2); /* two buffers in an eighth of 4 MiB */
        ck_assert_double_gt(times.seconds[1], 0.0);
    }
    group()->close(opened);
    ck_assert_uint_eq(lq_shim_left(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_group");
    TCase *tests = tcase_create("cuda_group");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_collective_leaves_what_it_is_to_leave, 0,
                        LQ_GROUP_COLLECTIVE_COUNT);
    tcase_add_test(tests, members_are_the_devices_in_the_order_given);
    tcase_add_test(tests, inputs_are_zero_until_written_and_room_can_grow);
    tcase_add_test(tests, a_group_says_what_moves_its_data);
    tcase_add_test(tests, without_the_library_the_reason_is_one_sentence);
    tcase_add_test(tests, a_library_that_lacks_a_call_is_refused);
    tcase_add_test(tests, a_device_that_is_not_there_or_twice_is_refused);
    tcase_add_test(tests, whichever_call_fails_is_named_and_leaves_nothing);
    tcase_add_test(tests, a_failure_while_closing_leaves_nothing);
    tcase_add_test(tests, an_error_that_comes_late_ends_the_wait);
    tcase_add_test(tests, what_goes_on_is_waited_for_up_to_a_limit);
    tcase_add_test(tests, collectives_are_checked_and_timed_over_a_group);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
