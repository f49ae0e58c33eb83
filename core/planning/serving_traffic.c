/* Sums over the kinds of requests. What they cost is serving.c's business. */
#include "core/planning/serving_traffic.h"

#include <math.h>
#include <stdbool.h>

/* Integral over t in 0..length of min(start + t, window). */
static double held_over(double start, double length, double window)
{
    if (!(window > 0.0) || start + length <= window) {
        return start * length + 0.5 * length * length;
    }
    if (start >= window) {
        return window * length;
    }
    const double rise = window - start;
    return start * rise + 0.5 * rise * rise + window * (length - rise);
}

/* Sums over all kinds with caches of at most `window` tokens; 0: no limit. */
static struct lq_traffic_sums sum_kinds(const struct lq_traffic *traffic, double window)
{
    struct lq_traffic_sums sums = {0};
    for (size_t i = 0; i < traffic->count; i++) {
        const struct lq_request_kind *kind = &traffic->kinds[i];
        sums.share += kind->share;
        sums.prompt_tokens += kind->share * kind->prompt_tokens;
        sums.output_tokens += kind->share * kind->output_tokens;
        sums.held += kind->share * held_over(kind->prompt_tokens, kind->output_tokens, window);
        sums.keys += kind->share * held_over(0.0, kind->prompt_tokens, window);
        if (kind->share > 0.0) {
            sums.longest = fmax(sums.longest, kind->prompt_tokens + kind->output_tokens);
        }
    }
    return sums;
}

static struct lq_traffic_sums sums_of(const struct lq_traffic *traffic, double window)
{
    const bool known = traffic->sums.share > 0.0 && !(window > 0.0);
    return known ? traffic->sums : sum_kinds(traffic, window);
}

void lq_traffic_sum(struct lq_traffic *traffic)
{
    traffic->sums = sum_kinds(traffic, 0.0);
}

double lq_traffic_prompt_tokens(const struct lq_traffic *traffic)
{
    const struct lq_traffic_sums sums = sums_of(traffic, 0.0);
    return sums.prompt_tokens / sums.share;
}

double lq_traffic_output_tokens(const struct lq_traffic *traffic)
{
    const struct lq_traffic_sums sums = sums_of(traffic, 0.0);
    return sums.output_tokens / sums.share;
}

double lq_traffic_held_tokens(const struct lq_traffic *traffic, double window)
{
    const struct lq_traffic_sums sums = sums_of(traffic, window);
    return sums.held / sums.output_tokens;
}

double lq_traffic_prompt_keys(const struct lq_traffic *traffic, double window)
{
    const struct lq_traffic_sums sums = sums_of(traffic, window);
    return sums.keys / sums.prompt_tokens;
}

double lq_traffic_longest_tokens(const struct lq_traffic *traffic, double window)
{
    const double longest = sums_of(traffic, 0.0).longest;
    return window > 0.0 ? fmin(longest, window) : longest;
}
