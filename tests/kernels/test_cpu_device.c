/* The CPU backend as a device: what it says of itself, its memory, its threads and its tally. */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(the_table_is_complete)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    ck_assert_str_eq(cpu->name, "cpu");
    ck_assert_ptr_nonnull(strstr(cpu->version(), "OpenBLAS"));
    ck_assert_ptr_null(cpu->group); /* one device has nobody to talk to */
    /* the rest of a table of pointers alone: none may be NULL */
    const unsigned char nothing[sizeof(void *)] = {0};
    for (size_t at = 0; at < sizeof *cpu; at += sizeof(void *)) {
        if (at == offsetof(struct lq_backend, group)) {
            continue;
        }
        ck_assert_msg(memcmp((const char *)cpu + at, nothing, sizeof nothing) != 0, "member %zu",
                      at / sizeof(void *));
    }
}
END_TEST

START_TEST(this_machine_is_the_only_device)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    struct lq_device_info devices[2];
    size_t count = 0;
    OK(cpu->list(devices, 2, &count, &err));
    ck_assert_uint_eq(count, 1);
    const struct lq_device_info *info = &devices[0];
    ck_assert_str_ne(info->name, "");
    ck_assert_str_ne(info->architecture, "");
    ck_assert_ptr_nonnull(strstr(info->driver, "OpenBLAS"));
    ck_assert_double_gt(info->memory_bytes, 1e6);
    ck_assert_double_lt(info->memory_bytes, HUGE_VAL);
    ck_assert_double_ge(info->cache_bytes, 0.0);
    ck_assert_double_ge(info->clock_hz, 0.0);
    ck_assert_int_ge(info->units, 1);
    ck_assert_int_le(info->units, sysconf(_SC_NPROCESSORS_CONF));
    ck_assert_uint_eq(info->elements, LQ_ELEMENT_BIT(LQ_ELEMENT_F32));
    char host[65] = {0};
    ck_assert_int_eq(gethostname(host, sizeof host - 1), 0);
    ck_assert(strlen(host) < 4 || strstr(info->name, host) == NULL);
    OK(cpu->list(devices, 0, &count, &err));
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(what_explains_a_measurement_is_read_or_negative)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    struct lq_device_state state;
    cpu->state(open_device(1), &state);
    ck_assert(state.clock_hz < 0.0 || state.clock_hz > 1e8);
    ck_assert(state.temperature_c < 0.0 || state.temperature_c < 150.0);
    ck_assert(state.load < 0.0 || isfinite(state.load));
    ck_assert(state.free_bytes < 0.0 || isfinite(state.free_bytes));
    ck_assert(state.throttled <= 1);
}
END_TEST

START_TEST(only_the_first_device_and_fp32_can_be_opened)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    struct lq_device *device = NULL;
    struct lq_error refused = {0};
    ck_assert_int_eq(cpu->open(1, LQ_ELEMENT_F32, &device, &refused), LQ_EDEVICE);
    ck_assert_str_ne(refused.detail, "");
    ck_assert_int_eq(cpu->open(0, LQ_ELEMENT_BF16, &device, NULL), LQ_EDEVICE);
    ck_assert_ptr_null(device);
    OK(cpu->open(0, LQ_ELEMENT_F32, &device, &err));
    ck_assert_int_eq(lq_pool_threads(device->pool), lq_cpu_cores());
    OK(cpu->synchronize(device, &err));
    cpu->close(device);
    cpu->close(NULL);
}
END_TEST

START_TEST(memory_is_aligned_and_counted)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    struct lq_device *device = open_device(2);
    static const size_t BYTES[] = {0, 1, 1000, 9 << 20};
    void *memory[4];
    size_t now = 0;
    size_t peak = 0;
    for (int i = 0; i < 4; i++) {
        OK(cpu->allocate(device, BYTES[i], &memory[i], &err));
        ck_assert_uint_eq((uintptr_t)memory[i] % 64, 0);
        memset(memory[i], 1, BYTES[i]);
    }
    cpu->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 1001 + (9 << 20));
    ck_assert_uint_eq(peak, now);
    cpu->release(device, memory[3]);
    cpu->usage(device, true, &now, &peak);
    ck_assert_uint_eq(now, 1001);
    ck_assert_uint_eq(peak, 1001 + (9 << 20));
    cpu->usage(device, false, &now, &peak);
    ck_assert_uint_eq(peak, 1001);
    for (int i = 0; i < 3; i++) {
        cpu->release(device, memory[i]);
    }
    cpu->release(device, NULL);
    cpu->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 0);
}
END_TEST

START_TEST(more_than_the_machine_has_does_not_fit)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    struct lq_device *device = open_device(1);
    static const size_t BYTES[] = {(size_t)1 << 50, SIZE_MAX, SIZE_MAX - 64};
    for (int i = 0; i < 3; i++) {
        void *memory = NULL;
        struct lq_error err = {0};
        char text[32];
        snprintf(text, sizeof text, "%zu", BYTES[i]);
        ck_assert_int_eq(cpu->allocate(device, BYTES[i], &memory, &err), LQ_ENOFIT);
        ck_assert_msg(strstr(err.detail, text) != NULL, "%s", err.detail);
        ck_assert_ptr_null(memory);
    }
    size_t now = 1;
    size_t peak = 1;
    cpu->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, 0);
    ck_assert_uint_eq(peak, 0);
}
END_TEST

START_TEST(bytes_move_and_zeroing_counts_as_a_stream)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    struct lq_device *device = open_device(3);
    const size_t n = 1000003; /* enough for three threads */
    const float *x = random_floats(n, 1, 1.0);
    float *a = poisoned_floats(n);
    float *b = poisoned_floats(n);
    float *c = poisoned_floats(n);
    OK(cpu->to_device(device, a, x, n * sizeof *x, &err));
    OK(cpu->copy(device, b, a, n * sizeof *x, &err));
    OK(cpu->to_host(device, c, b, n * sizeof *x, &err));
    assert_same("moved", c, x, n);
    assert_tally(device, (struct lq_tally){0});
    OK(cpu->zero(device, a, n * sizeof *x, &err));
    assert_same("zero", a, zero_floats(n), n);
    const struct lq_tally tally = cpu->tally(device);
    ck_assert_double_eq(tally.stream_bytes, 4.0 * (double)n);
    ck_assert_double_eq(tally.calls, 1.0);
}
END_TEST

START_TEST(noise_is_normal_and_the_same_for_any_number_of_threads)
{
    const struct lq_backend *cpu = lq_cpu_backend();
    const int64_t n = 50001;
    float *x = poisoned_floats((size_t)n);
    float *y = poisoned_floats((size_t)n);
    OK(cpu->randomize(open_device(1), x, n, 5, 0.02, &err));
    OK(cpu->randomize(open_device(3), y, n, 5, 0.02, &err));
    assert_same("threads", y, x, (size_t)n);
    double moments[5] = {0.0};
    for (int64_t i = 0; i < n; i++) {
        const double z = (double)x[i] / 0.02;
        double power = 1.0;
        for (int m = 1; m < 5; m++) {
            power *= z;
            moments[m] += power / (double)n;
        }
    }
    /* six standard errors of each moment: sqrt(var / n) with var 1, 2, 15, 96 */
    const double error = 6.0 / sqrt((double)n);
    ck_assert_double_le(fabs(moments[1]), error);
    ck_assert_double_le(fabs(moments[2] - 1.0), error * sqrt(2.0));
    ck_assert_double_le(fabs(moments[3]), error * sqrt(15.0));
    ck_assert_double_le(fabs(moments[4] - 3.0), error * sqrt(96.0));
    OK(cpu->randomize(open_device(1), y, n, 6, 0.02, &err));
    ck_assert(!same_bytes(x, y, (size_t)n * sizeof *x));
}
END_TEST

struct visits {
    int64_t n;
    int64_t begin[8];
    int64_t end[8];
};

static void visit(void *context, int64_t begin, int64_t end, int thread)
{
    struct visits *visits = context;
    visits->begin[thread] = begin;
    visits->end[thread] = end;
}

START_TEST(threads_take_adjacent_ranges_that_cover_all)
{
    struct lq_device *device = open_device(1 + _i);
    static const int64_t ITEMS[] = {0, 1, 2, 3, 7, 1000};
    for (int i = 0; i < 6; i++) {
        for (int64_t grain = 0; grain < 4; grain++) {
            struct visits visits = {.n = ITEMS[i]};
            lq_parallel(device, ITEMS[i], grain, visit, &visits);
            int64_t covered = 0;
            for (int t = 0; t < 8; t++) {
                const int64_t taken = visits.end[t] - visits.begin[t];
                ck_assert(taken == 0 || visits.begin[t] == covered);
                ck_assert(taken == 0 || taken >= grain || ITEMS[i] < grain);
                covered += taken;
            }
            ck_assert_int_eq(covered, ITEMS[i]);
        }
    }
}
END_TEST

START_TEST(scratch_grows_and_is_kept)
{
    struct lq_device *device = open_device(1);
    void *small = NULL;
    void *again = NULL;
    OK(lq_cpu_scratch(device, 1000, &small, &err));
    OK(lq_cpu_scratch(device, 10, &again, &err));
    ck_assert_ptr_eq(small, again);
    OK(lq_cpu_scratch(device, 100000, &again, &err));
    memset(again, 1, 100000);
    ck_assert_int_eq(lq_cpu_scratch(device, (size_t)1 << 50, &again, NULL), LQ_ENOFIT);
    OK(lq_cpu_scratch(device, 10, &again, &err));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_device");
    TCase *tests = tcase_create("cpu_device");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_test(tests, the_table_is_complete);
    tcase_add_test(tests, this_machine_is_the_only_device);
    tcase_add_test(tests, what_explains_a_measurement_is_read_or_negative);
    tcase_add_test(tests, only_the_first_device_and_fp32_can_be_opened);
    tcase_add_test(tests, memory_is_aligned_and_counted);
    tcase_add_test(tests, more_than_the_machine_has_does_not_fit);
    tcase_add_test(tests, bytes_move_and_zeroing_counts_as_a_stream);
    tcase_add_test(tests, noise_is_normal_and_the_same_for_any_number_of_threads);
    tcase_add_loop_test(tests, threads_take_adjacent_ranges_that_cover_all, 0, 4);
    tcase_add_test(tests, scratch_grows_and_is_kept);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
