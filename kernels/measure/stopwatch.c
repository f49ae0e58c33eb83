/* Stretches of work between two waits. What is made of many samples stands in timing.c. */
#include "kernels/measure/stopwatch.h"

#include "kernels/base/clock.h"
#include "kernels/layer/space.h"

#include <math.h>

/* 10 ms: a start and a wait take some 10 us on a GPU, a thousandth of it. */
static const double STRETCH_S = 0.01;
enum { REPEATS_MOST = 1000 };

/* Runs before those that count: caches, threads and clocks settle. */
enum { SETTLING = 2 };

/* What a device that does not run behind takes to say so is far less. */
static const double BEHIND_SHARE = 0.05;

static enum lq_code wait_for(const struct lq_stopwatch *watch, struct lq_error *err)
{
    return watch->wait != NULL ? watch->wait(watch->context, err)
                               : watch->backend->synchronize(watch->device, err);
}

enum lq_code lq_stopwatch_run(const struct lq_stopwatch *watch, int times, struct lq_stretch *out,
                              struct lq_error *err)
{
    const double start_s = lq_clock_s();
    for (int i = 0; i < times; i++) {
        LQ_TRY(watch->work(watch->context, err));
    }
    const double issued_s = lq_clock_s();
    LQ_TRY(wait_for(watch, err));
    const double end_s = lq_clock_s();
    *out = (struct lq_stretch){.each_s = (end_s - start_s) / times, .behind_s = end_s - issued_s};
    return LQ_OK;
}

int lq_stretch_repeats(const struct lq_stretch *once)
{
    if (!(once->behind_s > BEHIND_SHARE * once->each_s)) {
        return 1;
    }
    const double repeats = ceil(STRETCH_S / once->each_s);
    return repeats < (double)REPEATS_MOST ? (int)repeats : REPEATS_MOST;
}

enum lq_code lq_stopwatch_time(const struct lq_stopwatch *watch, double budget_s,
                               struct lq_timing *out, struct lq_error *err)
{
    struct lq_stretch stretch;
    struct lq_samples samples = {.count = 0};
    int repeats =
        REPEATS_MOST; /* the least that both say: a pause of the host's looks like a wait */
    for (int i = 0; i < SETTLING; i++) {
        LQ_TRY(lq_stopwatch_run(watch, 1, &stretch, err));
        const int said = lq_stretch_repeats(&stretch);
        repeats = said < repeats ? said : repeats;
    }
    const int n = lq_sample_count((double)repeats * stretch.each_s, budget_s);
    for (int i = 0; i < n; i++) {
        LQ_TRY(lq_stopwatch_run(watch, repeats, &stretch, err));
        lq_samples_add(&samples, stretch.each_s);
    }
    *out = lq_samples_summarize(&samples);
    return LQ_OK;
}
