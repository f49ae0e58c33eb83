/* Sums over the kinds of requests. What they cost is serving.c's business. */
#include "core/planning/serving_traffic.h"

#include <math.h>

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

static double shares(const struct lq_traffic *traffic)
{
    double sum = 0.0;
    for (size_t i = 0; i < traffic->count; i++) {
        sum += traffic->kinds[i].share;
    }
    return sum;
}

double lq_traffic_prompt_tokens(const struct lq_traffic *traffic)
{
    double sum = 0.0;
    for (size_t i = 0; i < traffic->count; i++) {
        sum += traffic->kinds[i].share * traffic->kinds[i].prompt_tokens;
    }
    return sum / shares(traffic);
}

double lq_traffic_output_tokens(const struct lq_traffic *traffic)
{
    double sum = 0.0;
    for (size_t i = 0; i < traffic->count; i++) {
        sum += traffic->kinds[i].share * traffic->kinds[i].output_tokens;
    }
    return sum / shares(traffic);
}

double lq_traffic_held_tokens(const struct lq_traffic *traffic, double window)
{
    double held = 0.0;
    double lives = 0.0;
    for (size_t i = 0; i < traffic->count; i++) {
        const struct lq_request_kind *kind = &traffic->kinds[i];
        held += kind->share * held_over(kind->prompt_tokens, kind->output_tokens, window);
        lives += kind->share * kind->output_tokens;
    }
    return held / lives;
}

double lq_traffic_prompt_keys(const struct lq_traffic *traffic, double window)
{
    double keys = 0.0;
    double tokens = 0.0;
    for (size_t i = 0; i < traffic->count; i++) {
        const struct lq_request_kind *kind = &traffic->kinds[i];
        keys += kind->share * held_over(0.0, kind->prompt_tokens, window);
        tokens += kind->share * kind->prompt_tokens;
    }
    return keys / tokens;
}

double lq_traffic_longest_tokens(const struct lq_traffic *traffic, double window)
{
    double longest = 0.0;
    for (size_t i = 0; i < traffic->count; i++) {
        const struct lq_request_kind *kind = &traffic->kinds[i];
        if (kind->share > 0.0) {
            longest = fmax(longest, kind->prompt_tokens + kind->output_tokens);
        }
    }
    return window > 0.0 ? fmin(longest, window) : longest;
}
