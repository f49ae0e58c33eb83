/* Times work on a device from the host's clock, also where operations run behind their calls.
 *
 * A stretch begins and ends with the device idle. On a device that runs behind, each stretch holds
 * the start of the first operation and the wait for the last, some 10 us that no operation of a
 * real step waits for: there work is issued several times back to back, waited for once, and the
 * time is divided. Where the host cannot keep up, as with many small operations, its pace is what
 * such a stretch measures, as it is what a real step has. A device whose operations are done when
 * their calls return, as those of the CPU, is timed once and once again. */
#pragma once

#include "kernels/backend.h"
#include "kernels/measure/timing.h"

/* One run of what is timed. */
typedef enum lq_code lq_work_fn(const void *context, struct lq_error *err);

/* What is timed, and on what. Borrowed pointers. */
struct lq_stopwatch {
    const struct lq_backend *backend;
    struct lq_device *device;
    lq_work_fn *work;
    lq_work_fn *wait; /* for the end of all work; NULL: lq_backend.synchronize of the device */
    const void *context;
};

/* Seconds of one run among `times` back to back, and seconds that were waited for all of them after
 * the last call had returned. */
struct lq_stretch {
    double each_s;
    double behind_s;
};
LQ_MUST_USE enum lq_code lq_stopwatch_run(const struct lq_stopwatch *watch, int times,
                                          struct lq_stretch *out, struct lq_error *err);

/* How often to run it in a stretch, by a stretch of one run: 1 where the device does not run behind
 * by more than a twentieth; else as often as makes 10 ms, 1000 times at most. */
int lq_stretch_repeats(const struct lq_stretch *once);

/* Median and spread of one run: two to settle, then as many stretches as budget_s holds (5 to 50).
 * Errors: those of the work and of the wait. */
LQ_MUST_USE enum lq_code lq_stopwatch_time(const struct lq_stopwatch *watch, double budget_s,
                                           struct lq_timing *out, struct lq_error *err);
