/* Timings on devices that run behind their calls, and on those that do not. */
#include "kernels/base/clock.h"
#include "kernels/layer/space.h"
#include "kernels/measure/measure.h"
#include "kernels/measure/rig.h"
#include "kernels/measure/stopwatch.h"
#include "tests/unit/check_main.h"

#include <math.h>

/* What one operation takes on the pretended device, and what a wait takes beyond it. */
static const double WORK_S = 50e-6;
static const double WAIT_S = 100e-6;

static struct {
    double busy_until_s;
    int runs;
    int waits;
    int fails_at; /* number of the run that fails; 0: none */
} device;

/* Time that passes only where it is spent, in place of the machine's. */
static double now_s;

double lq_clock_s(void)
{
    return now_s;
}

static void spend_until(double end_s)
{
    now_s = fmax(now_s, end_s);
}

/* Returns at once; the work queues up. */
static enum lq_code issue(const void *context, struct lq_error *err)
{
    (void)context;
    device.runs++;
    if (device.runs == device.fails_at) {
        return lq_fail(err, LQ_EDEVICE, NULL, "lost");
    }
    device.busy_until_s = fmax(device.busy_until_s, lq_clock_s()) + WORK_S;
    return LQ_OK;
}

static enum lq_code wait_long(struct lq_device *unused, struct lq_error *err)
{
    (void)unused;
    (void)err;
    device.waits++;
    spend_until(fmax(device.busy_until_s, lq_clock_s()) + WAIT_S);
    return LQ_OK;
}

static enum lq_code work_now(const void *context, struct lq_error *err)
{
    (void)context;
    (void)err;
    device.runs++;
    spend_until(lq_clock_s() + WORK_S);
    return LQ_OK;
}

static enum lq_code wait_for_nothing(struct lq_device *unused, struct lq_error *err)
{
    (void)unused;
    (void)err;
    device.waits++;
    return LQ_OK;
}

static const struct lq_backend BEHIND = {.synchronize = wait_long};
static const struct lq_backend IN_STEP = {.synchronize = wait_for_nothing};
static struct lq_error err;
static struct lq_timing timing;

static void set_up(void)
{
    device.busy_until_s = 0.0;
    now_s = 1000.0;
    device.runs = device.waits = device.fails_at = 0;
    err = (struct lq_error){0};
}

START_TEST(waits_and_starts_are_shared_by_many_runs)
{
    const struct lq_stopwatch watch = {.backend = &BEHIND, .work = issue};
    ck_assert_int_eq(lq_stopwatch_time(&watch, 0.1, &timing, &err), LQ_OK);
    const int each = (int)ceil(0.01 / (WORK_S + WAIT_S)); /* as often as makes 10 ms */
    ck_assert_double_eq_tol(timing.least_s, WORK_S + WAIT_S / each, 1e-12);
    ck_assert_int_eq(device.waits, 2 + timing.samples);
    ck_assert_int_eq(device.runs, 2 + each * timing.samples);
}
END_TEST

START_TEST(what_is_done_when_its_call_returns_is_timed_one_by_one)
{
    const struct lq_stopwatch watch = {.backend = &IN_STEP, .work = work_now};
    ck_assert_int_eq(lq_stopwatch_time(&watch, 0.005, &timing, &err), LQ_OK);
    ck_assert_double_eq_tol(timing.median_s, WORK_S, 1e-12);
    ck_assert_int_eq(timing.samples, 50);
    ck_assert_int_eq(device.runs, 2 + timing.samples); /* two to settle */
    ck_assert_int_eq(device.waits, device.runs);
}
END_TEST

START_TEST(repeats_follow_from_what_is_left_when_calls_have_returned)
{
    static const struct {
        struct lq_stretch once;
        int repeats;
    } CASES[] = {
        {{.each_s = 1e-3, .behind_s = 0.0}, 1},     {{.each_s = 1e-3, .behind_s = 4e-5}, 1},
        {{.each_s = 1e-3, .behind_s = 6e-5}, 10},   {{.each_s = 3e-3, .behind_s = 2e-3}, 4},
        {{.each_s = 1e-6, .behind_s = 1e-6}, 1000}, {{.each_s = 1.0, .behind_s = 1.0}, 1},
        {{.each_s = 0.0, .behind_s = 0.0}, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ck_assert_int_eq(lq_stretch_repeats(&CASES[i].once), CASES[i].repeats);
    }
}
END_TEST

START_TEST(a_run_that_fails_ends_it)
{
    const struct lq_stopwatch watch = {.backend = &BEHIND, .work = issue};
    device.fails_at = 3;
    ck_assert_int_eq(lq_stopwatch_time(&watch, 0.1, &timing, &err), LQ_EDEVICE);
    ck_assert_str_eq(err.detail, "lost");
    ck_assert_int_eq(device.runs, 3);
}
END_TEST

/* One layer, far less than a millisecond's work. */
static const struct lq_model SMALL = {
    .id = "small",
    .hidden_size = 32,
    .vocab_size = 64,
    .layer_kinds = 1,
    .layers = {{.count = 1,
                .mixer = {.kind = LQ_MIXER_ATTENTION, .heads = 2, .kv_heads = 2, .head_size = 16},
                .ffn = {.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 64},
                .norm_parameters = 64}}};

static enum lq_code wait_a_millisecond(struct lq_device *unused, struct lq_error *failure)
{
    (void)unused;
    (void)failure;
    spend_until(lq_clock_s() + 1e-3);
    return LQ_OK;
}

/* As of a device that has to be read for it. */
static struct lq_tally wait_for_tally(struct lq_device *unused)
{
    (void)wait_a_millisecond(unused, NULL);
    return (struct lq_tally){.flop = 0.0};
}

START_TEST(waits_are_no_part_of_a_training_step)
{
    static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
    struct lq_rig rig;
    struct lq_measured out;
    ck_assert_int_eq(lq_rig_find(&(struct lq_device_choice){.backend = "cpu"}, &rig, &err), LQ_OK);
    ck_assert_int_eq(lq_rig_open(&rig, &err), LQ_OK);
    struct lq_backend behind = *rig.backend;
    behind.synchronize = wait_a_millisecond;
    behind.tally = wait_for_tally;
    const struct lq_measure_job job = {.backend = &behind,
                                       .device = rig.device,
                                       .element = rig.element,
                                       .model = &SMALL,
                                       .method = &FULL,
                                       .batch_size = 1,
                                       .tokens = 8,
                                       .budget_s = 0.1,
                                       .rounds_max = 1};
    ck_assert_int_eq(lq_measure(&job, &out, &err), LQ_OK);
    /* three passes waited for alone take 3 ms, so that four steps make 10 ms and share one wait, of
     * the layer as of the ends */
    ck_assert_double_eq_tol(out.step.least_s, 2 * 1e-3 / 4, 1e-9);
    ck_assert_double_eq_tol(out.forward_s, out.step.least_s / 3, 1e-9);
    ck_assert_double_eq_tol(out.optimizer_s, out.step.least_s / 3, 1e-9);
    lq_rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_stopwatch");
    TCase *tc = tcase_create("stopwatch");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, waits_and_starts_are_shared_by_many_runs);
    tcase_add_test(tc, what_is_done_when_its_call_returns_is_timed_one_by_one);
    tcase_add_test(tc, repeats_follow_from_what_is_left_when_calls_have_returned);
    tcase_add_test(tc, a_run_that_fails_ends_it);
    tcase_add_test(tc, waits_are_no_part_of_a_training_step);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
