/* The CUDA backend's devices, on the shim: what they say, why there are none, their memory, and
 * that nothing is left behind whichever call fails. */
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/shim/control.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of cudaError_t. */
enum { STUB_LIBRARY = 34, INSUFFICIENT_DRIVER = 35, NO_DEVICE = 100, UNKNOWN = 999 };

START_TEST(the_table_is_complete)
{
    const struct lq_backend *cuda = subject();
    ck_assert_str_eq(cuda->name, "cuda");
    ck_assert_str_eq(cuda->version(), "CUDA runtime 13.0");
    const void *const *entries = (const void *const *)(const void *)cuda;
    for (size_t i = 0; i < sizeof *cuda / sizeof *entries; i++) {
        ck_assert_msg(entries[i] != NULL, "entry %zu", i);
    }
}
END_TEST

START_TEST(a_device_says_what_it_is)
{
    struct lq_device_info info[3];
    size_t count = 9;
    lq_shim_devices(2, 0);
    OK(subject()->list(info, 3, &count, &err));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(info[1].name, "NVIDIA pretend device");
    ck_assert_str_eq(info[1].vendor, "NVIDIA");
    ck_assert_str_eq(info[1].architecture, "Ampere");
    ck_assert_str_eq(info[1].capability, "8.0");
    ck_assert_str_eq(info[1].driver, "CUDA 13.0");
    ck_assert_double_eq(info[1].memory_bytes, 0x1p30);
    ck_assert_double_eq(info[1].cache_bytes, 0x1p22);
    ck_assert_double_eq(info[1].clock_hz, 1e9);
    ck_assert_int_eq(info[1].units, 2);
    ck_assert_uint_eq(info[1].elements, 7);
    OK(subject()->list(info, 1, &count, &err));
    ck_assert_uint_eq(count, 1);
}
END_TEST

static const struct {
    int major;
    int minor;
    const char *architecture;
    unsigned elements;
    unsigned arithmetics;
} CAPABILITIES[] = {{7, 0, "Volta", 0, 0},      {7, 5, "Turing", 5, 1},
                    {8, 6, "Ampere", 7, 3},     {8, 9, "Ada Lovelace", 7, 7},
                    {9, 0, "Hopper", 7, 7},     {10, 0, "Blackwell", 7, 7},
                    {12, 0, "Blackwell", 7, 7}, {13, 0, "", 7, 7}};

START_TEST(precisions_go_by_compute_capability)
{
    struct lq_device_info info;
    size_t count = 0;
    lq_shim_capability(CAPABILITIES[_i].major, CAPABILITIES[_i].minor);
    OK(subject()->list(&info, 1, &count, &err));
    ck_assert_str_eq(info.architecture, CAPABILITIES[_i].architecture);
    ck_assert_uint_eq(info.elements, CAPABILITIES[_i].elements);
    ck_assert_uint_eq(info.arithmetics, CAPABILITIES[_i].arithmetics);
    for (unsigned element = 0; element < LQ_ELEMENT_COUNT; element++) {
        struct lq_device *device = NULL;
        struct lq_error refused = {0};
        const enum lq_code code = subject()->open(0, (enum lq_element)element, &device, &refused);
        const bool known = (info.elements & LQ_ELEMENT_BIT(element)) != 0;
        ck_assert_int_eq(code, known ? LQ_OK : LQ_EDEVICE);
        ck_assert(known || strstr(refused.detail, info.capability) != NULL);
        subject()->close(device);
    }
    ck_assert_uint_eq(lq_shim_left(), 0);
}
END_TEST

static const struct {
    int status;
    const char *why;
} REASONS[] = {{STUB_LIBRARY, "there is no NVIDIA driver on this machine"},
               {NO_DEVICE, "there is no NVIDIA driver on this machine"},
               {INSUFFICIENT_DRIVER,
                "the NVIDIA driver serves CUDA up to 12.4, and this needs 13.0: "
                "install a newer driver"},
               {UNKNOWN, "counting devices: pretended failure"}};

START_TEST(without_a_device_the_reason_is_said)
{
    struct lq_device_info info;
    struct lq_device *device = NULL;
    size_t count = 0;
    struct lq_error listed = {0};
    struct lq_error opened = {0};
    lq_shim_devices(0, REASONS[_i].status);
    ck_assert_int_eq(subject()->list(&info, 1, &count, &listed), LQ_EDEVICE);
    ck_assert_str_eq(listed.detail, REASONS[_i].why);
    ck_assert_int_eq(subject()->open(0, LQ_ELEMENT_F32, &device, &opened), LQ_EDEVICE);
    ck_assert_str_eq(opened.detail, REASONS[_i].why);
    ck_assert_ptr_null(device);
}
END_TEST

START_TEST(a_driver_without_devices_says_that_they_may_be_hidden)
{
    struct lq_device_info info;
    size_t count = 0;
    struct lq_error err = {0};
    lq_shim_devices(0, 0);
    ck_assert_int_eq(subject()->list(&info, 1, &count, &err), LQ_EDEVICE);
    ck_assert_str_eq(err.detail,
                     "the NVIDIA driver sees no device (CUDA_VISIBLE_DEVICES may hide them)");
}
END_TEST

START_TEST(a_device_that_is_not_there_cannot_be_opened)
{
    struct lq_device *device = NULL;
    struct lq_error err = {0};
    ck_assert_int_eq(subject()->open(1, LQ_ELEMENT_F32, &device, &err), LQ_EDEVICE);
    ck_assert_str_eq(err.detail, "there are 1 CUDA devices, counted from 0; got 1");
    subject()->close(NULL);
}
END_TEST

START_TEST(what_explains_a_measurement_is_read_or_negative)
{
    struct lq_device_state state;
    unsetenv("LQ_NVML");
    subject()->state(open_device(1), &state);
    ck_assert_double_eq(state.clock_hz, -1.0);
    ck_assert_double_eq(state.temperature_c, -1.0);
    ck_assert_double_eq(state.load, -1.0);
    ck_assert_double_eq(state.free_bytes, 0x1p30);
    ck_assert_int_eq(state.throttled, -1);
    setenv("LQ_NVML", "1410 56 1", 1); /* 1: it idles */
    struct lq_device *device = open_device(1);
    subject()->state(device, &state);
    ck_assert_double_eq(state.clock_hz, 1.41e9);
    ck_assert_double_eq(state.temperature_c, 56.0);
    ck_assert_int_eq(state.throttled, 0);
    setenv("LQ_NVML", "900 91 40", 1); /* 0x40: thermal slowdown by the hardware */
    subject()->state(device, &state);
    ck_assert_int_eq(state.throttled, 1);
    unsetenv("LQ_NVML");
    subject()->state(device, &state);
    ck_assert_int_eq(state.throttled, -1);
}
END_TEST

START_TEST(memory_is_aligned_and_counted)
{
    struct lq_device *device = open_device(1);
    static const size_t BYTES[] = {0, 1, 1000, 9 << 20};
    void *memory[4];
    size_t now = 0;
    size_t peak = 0;
    for (int i = 0; i < 4; i++) {
        OK(subject()->allocate(device, BYTES[i], &memory[i], &err));
        ck_assert_uint_eq((uintptr_t)memory[i] % 64, 0);
    }
    subject()->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 1001 + (9 << 20));
    ck_assert_uint_eq(peak, now);
    subject()->release(device, memory[1]);
    subject()->usage(device, true, &now, &peak);
    ck_assert_uint_eq(now, 1000 + (9 << 20));
    subject()->release(device, memory[3]);
    subject()->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 1000);
    ck_assert_uint_eq(peak, 1000 + (9 << 20));
    subject()->release(device, memory[0]);
    subject()->release(device, memory[2]);
    subject()->release(device, NULL);
    subject()->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 0);
}
END_TEST

START_TEST(many_allocations_are_kept_apart)
{
    enum { MANY = 300 };
    struct lq_device *device = open_device(1);
    void *memory[MANY];
    size_t now = 0;
    size_t peak = 0;
    for (size_t i = 0; i < MANY; i++) {
        OK(subject()->allocate(device, i, &memory[i], &err));
    }
    for (size_t i = 0; i < MANY; i++) {
        subject()->release(device, memory[(i * 7) % MANY]);
    }
    subject()->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 0);
    ck_assert_uint_eq(peak, MANY * (MANY - 1) / 2);
}
END_TEST

START_TEST(more_than_the_device_has_does_not_fit)
{
    struct lq_device *device = open_device(1);
    void *memory = NULL;
    struct lq_error refused = {0};
    ck_assert_int_eq(subject()->allocate(device, ((size_t)1 << 30) + 1, &memory, &refused),
                     LQ_ENOFIT);
    ck_assert_str_eq(refused.detail, "1073741825 bytes asked for, 1073741824 available");
    ck_assert_ptr_null(memory);
    OK(subject()->allocate(device, 1000, &memory, &err)); /* it goes on */
    subject()->release(device, memory);
}
END_TEST

START_TEST(bytes_move_and_zeroing_counts_as_a_stream)
{
    struct lq_device *device = open_device(1);
    const size_t n = 1003;
    const float *x = random_floats(n, 1, 1.0);
    void *a = upload(device, x, n);
    void *b = poisoned(device, n);
    OK(subject()->copy(device, b, a, n * sizeof *x, &err));
    assert_same("moved", download(device, b, n), x, n);
    OK(subject()->copy(device, b, a, 0, &err));
    assert_tally(device, (struct lq_tally){0});
    OK(subject()->zero(device, a, n * sizeof *x, &err));
    OK(subject()->zero(device, a, 0, &err));
    assert_same("zero", download(device, a, n), zero_floats(n), n);
    assert_tally(device, (struct lq_tally){.stream_bytes = 4.0 * (double)n, .calls = 2.0});
}
END_TEST

START_TEST(noise_is_that_of_the_cpu)
{
    static const int64_t COUNTS[] = {0, 1, 2, 3, 20001};
    const int64_t n = COUNTS[_i / VARIANTS];
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    struct lq_device *cpu = NULL;
    OK(lq_cpu_open_threads(1, &cpu, &err));
    float *want = zero_floats((size_t)n);
    void *got = poisoned(device, (size_t)n + 1);
    OK(lq_cpu_randomize(cpu, want, n, 5, 0.02, &err));
    OK(subject()->randomize(device, got, n, 5, 0.02, &err));
    const float *there = download(device, got, (size_t)n + 1);
    assert_near("noise", there, widen(want, (size_t)n), (size_t)n,
                within(device, FORWARD_TOLERANCE));
    ck_assert(isnan(there[n]));
    lq_cpu_close(cpu);
}
END_TEST

/* Everything between opening and closing, as far as it succeeds. */
static enum lq_code use(struct lq_device *device, void **memory, struct lq_error *err)
{
    enum { N = 64 };
    const float x[N] = {1.0F};
    float y[N];
    LQ_TRY(subject()->allocate(device, sizeof x, &memory[0], err));
    LQ_TRY(subject()->allocate(device, sizeof x, &memory[1], err));
    LQ_TRY(subject()->to_device(device, memory[0], x, sizeof x, err));
    LQ_TRY(subject()->copy(device, memory[1], memory[0], sizeof x, err));
    LQ_TRY(subject()->zero(device, memory[1], sizeof x, err));
    LQ_TRY(subject()->randomize(device, memory[1], N, 1, 1.0, err));
    const struct lq_op_add add = {.n = N, .a = memory[0], .b = memory[1], .out = memory[1]};
    LQ_TRY(subject()->add(device, &add, err));
    const struct lq_op_norm norm = {.tokens = 4,
                                    .width = 16,
                                    .epsilon = 1e-5,
                                    .x = memory[0],
                                    .weight = memory[0],
                                    .d_y = memory[0],
                                    .d_x = memory[1],
                                    .d_weight = memory[1]};
    LQ_TRY(subject()->norm(device, &norm, LQ_PASS_BACKWARD, err));
    LQ_TRY(subject()->synchronize(device, err));
    return subject()->to_host(device, y, memory[1], sizeof y, err);
}

START_TEST(whichever_call_fails_is_reported_and_leaves_nothing)
{
    uint64_t calls = 1;
    setenv("LQ_NVML", "1410 56 1", 1); /* the library's handle is given back too */
    for (uint64_t n = 1; n <= calls; n++) {
        struct lq_device *device = NULL;
        void *memory[2] = {NULL, NULL};
        struct lq_error err = {0};
        lq_shim_fail(n);
        enum lq_code code = subject()->open(0, LQ_ELEMENT_F32, &device, &err);
        code = code == LQ_OK ? use(device, memory, &err) : code;
        calls = code == LQ_OK ? lq_shim_calls() : calls + 1;
        ck_assert_msg(code == LQ_EDEVICE || code == LQ_ENOFIT || lq_shim_calls() < n,
                      "call %llu of %llu is not missed", (unsigned long long)n,
                      (unsigned long long)lq_shim_calls());
        ck_assert(code == LQ_OK || err.detail[0] != '\0');
        for (int i = 0; i < 2 && device != NULL; i++) {
            subject()->release(device, memory[i]);
        }
        subject()->close(device);
        ck_assert_uint_eq(lq_shim_left(), 0);
    }
    ck_assert_uint_gt(calls, 25); /* all of it has been walked */
}
END_TEST

START_TEST(a_failure_while_closing_leaves_nothing)
{
    for (uint64_t n = 1; n <= 4; n++) {
        struct lq_device *device = NULL;
        void *memory[2] = {NULL, NULL};
        lq_shim_fail(0);
        OK(subject()->open(0, LQ_ELEMENT_F32, &device, &err));
        OK(use(device, memory, &err));
        lq_shim_fail(n);
        subject()->release(device, memory[0]);
        subject()->release(device, memory[1]);
        subject()->close(device);
        ck_assert_uint_eq(lq_shim_left(), 0);
    }
    lq_shim_fail(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_device");
    TCase *tests = tcase_create("cuda_device");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_test(tests, the_table_is_complete);
    tcase_add_test(tests, a_device_says_what_it_is);
    tcase_add_loop_test(tests, precisions_go_by_compute_capability, 0, 8);
    tcase_add_loop_test(tests, without_a_device_the_reason_is_said, 0, 4);
    tcase_add_test(tests, a_driver_without_devices_says_that_they_may_be_hidden);
    tcase_add_test(tests, a_device_that_is_not_there_cannot_be_opened);
    tcase_add_test(tests, what_explains_a_measurement_is_read_or_negative);
    tcase_add_test(tests, memory_is_aligned_and_counted);
    tcase_add_test(tests, many_allocations_are_kept_apart);
    tcase_add_test(tests, more_than_the_device_has_does_not_fit);
    tcase_add_test(tests, bytes_move_and_zeroing_counts_as_a_stream);
    tcase_add_loop_test(tests, noise_is_that_of_the_cpu, 0, 5 * VARIANTS);
    tcase_add_test(tests, whichever_call_fails_is_reported_and_leaves_nothing);
    tcase_add_test(tests, a_failure_while_closing_leaves_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
