/* Repeated timings and what they say: median, tail, spread, and whether they are to be trusted. */
#pragma once

#include <stdbool.h>

enum { LQ_SAMPLES_MAX = 200 };

/* Seconds of the same work, again and again. */
struct lq_samples {
    double seconds[LQ_SAMPLES_MAX];
    int count;
};

struct lq_timing {
    double median_s;
    double p95_s;
    double least_s;
    double spread; /* interquartile range over the median */
    double error; /* of the median, relative, at 95 %: 1.85 spread / sqrt(samples). A quartile range
                     is 1.35 standard deviations, a median's error 1.25 times a mean's */
    int samples;
};

/* 0.05: how far a median may be off before it is called noisy, and how far two rounds may lie
 * apart: what a calibrated estimate is expected to meet. */
extern const double LQ_NOISY_ERROR;

/* Adds one; those beyond LQ_SAMPLES_MAX are dropped. */
void lq_samples_add(struct lq_samples *samples, double seconds);

/* Quantiles interpolate between neighbours. All 0 without samples. */
struct lq_timing lq_samples_summarize(const struct lq_samples *samples);

/* Whether the median may be off by more than LQ_NOISY_ERROR, or one sample is all there is. */
bool lq_timing_is_noisy(const struct lq_timing *timing);

/* Whether two timings of the same work agree: medians within 2 LQ_NOISY_ERROR of the smaller. What
 * disturbs a machine for a whole round is not in that round's spread. */
bool lq_timings_agree(const struct lq_timing *a, const struct lq_timing *b);

/* How many samples to take when one takes `once_s`: as many as budget_s holds, 5 to 50. */
int lq_sample_count(double once_s, double budget_s);
