/* Order statistics of a few dozen timings. The clock is the caller's. */
#include "kernels/measure/timing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const double LQ_NOISY_ERROR = 0.05;

enum { SAMPLES_LEAST = 5, SAMPLES_MOST = 50 };

void lq_samples_add(struct lq_samples *samples, double seconds)
{
    if (samples->count < LQ_SAMPLES_MAX) {
        samples->seconds[samples->count] = seconds;
        samples->count++;
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, int n, double q)
{
    const double place = q * (double)(n - 1);
    const int below = (int)place;
    const int above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

struct lq_timing lq_samples_summarize(const struct lq_samples *samples)
{
    double sorted[LQ_SAMPLES_MAX];
    const int n = samples->count;
    if (n == 0) {
        return (struct lq_timing){.samples = 0};
    }
    memcpy(sorted, samples->seconds, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    const double median = quantile(sorted, n, 0.5);
    const double range = quantile(sorted, n, 0.75) - quantile(sorted, n, 0.25);
    const double spread = median > 0.0 ? range / median : 0.0;
    return (struct lq_timing){.median_s = median,
                              .p95_s = quantile(sorted, n, 0.95),
                              .least_s = sorted[0],
                              .spread = spread,
                              .error = 1.85 * spread / sqrt((double)n),
                              .samples = n};
}

bool lq_timing_is_noisy(const struct lq_timing *timing)
{
    return timing->samples < 2 || timing->error > LQ_NOISY_ERROR;
}

bool lq_timings_agree(const struct lq_timing *a, const struct lq_timing *b)
{
    const double apart = fabs(a->median_s - b->median_s);
    return apart <= 2.0 * LQ_NOISY_ERROR * fmin(a->median_s, b->median_s);
}

int lq_sample_count(double once_s, double budget_s)
{
    const double n = once_s > 0.0 ? floor(budget_s / once_s) : (double)SAMPLES_MOST;
    if (n < (double)SAMPLES_LEAST) {
        return SAMPLES_LEAST;
    }
    return n > (double)SAMPLES_MOST ? SAMPLES_MOST : (int)n;
}
