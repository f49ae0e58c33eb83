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
    int samples;
};

/* 0.10: a spread above which a median of five samples may be off by 5 % (1.25 of the standard error
 * of a mean, a quartile range being 1.35 standard deviations). */
extern const double LQ_NOISY_SPREAD;

/* Adds one; those beyond LQ_SAMPLES_MAX are dropped. */
void lq_samples_add(struct lq_samples *samples, double seconds);

/* Quantiles interpolate between neighbours. All 0 without samples. */
struct lq_timing lq_samples_summarize(const struct lq_samples *samples);

/* Whether the spread is above LQ_NOISY_SPREAD, or one sample is all there is. */
bool lq_timing_is_noisy(const struct lq_timing *timing);

/* How many samples to take when one takes `once_s`: as many as budget_s holds, 5 to 50. */
int lq_sample_count(double once_s, double budget_s);
