/* The one fitted number of the memory model: its activation factor. */
#include "core/finetune/fit.h"

#include <math.h>
#include <stdbool.h>

/* Spread of largest batches between runs of one kind: Xia et al.'s own pairs differ by 20-25 %
 * (3 and 4, 8 and 10 queries; 27 * 512 and 17 * 1024 tokens on 80 GB). */
static const double RESOLUTION_LOG = 0.15;

/* A factor beyond 30 either way is no allocator's doing: ln 30. */
static const double FACTOR_LOG_MAX = 3.4;

/* Signed distance of ln(factor) from what one observation allows, in units of its resolution;
 * `*bare` gets it in plain logarithms. */
static double miss(const struct lq_memory_observation *o, double log_factor, double *bare)
{
    const double high = log(o->free_bytes / o->activation_bytes);
    const double one_more = log((o->batch_size + 1.0) / o->batch_size);
    const double low = o->is_peak ? high : high - one_more;
    const double one_query = o->is_peak ? 0.0 : one_more;
    double distance = 0.0;
    if (log_factor > high) {
        distance = log_factor - high;
    } else if (log_factor < low) {
        distance = log_factor - low;
    }
    *bare = distance;
    return distance / (one_query > RESOLUTION_LOG ? one_query : RESOLUTION_LOG);
}

static bool usable(const struct lq_memory_observation *o)
{
    return o->activation_bytes > 0.0 && o->free_bytes > 0.0 && o->batch_size >= 1.0;
}

static double objective(const struct lq_memory_observation *observations, size_t n,
                        double log_factor)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (usable(&observations[i])) {
            double bare = 0.0;
            largest = fmax(largest, fabs(miss(&observations[i], log_factor, &bare)));
        }
    }
    return largest;
}

/* Golden-section search; the objective is convex in ln(factor). Where a whole range of factors
 * misses nothing, the search ends at its lower or `upper` end. */
static double minimize(const struct lq_memory_observation *observations, size_t n, double low,
                       double high, bool upper)
{
    const double golden = 0.6180339887498949;
    double left = high - golden * (high - low);
    double right = low + golden * (high - low);
    double at_left = objective(observations, n, left);
    double at_right = objective(observations, n, right);
    for (int i = 0; i < 100; i++) {
        if (at_left < at_right || (at_left == at_right && !upper)) {
            high = right;
            right = left;
            at_right = at_left;
            left = high - golden * (high - low);
            at_left = objective(observations, n, left);
        } else {
            low = left;
            left = right;
            at_left = at_right;
            right = low + golden * (high - low);
            at_right = objective(observations, n, right);
        }
    }
    return 0.5 * (low + high);
}

enum lq_code lq_fit_memory(const struct lq_memory_observation *observations, size_t n,
                           struct lq_fit *out, struct lq_error *err)
{
    double low = HUGE_VAL;
    double high = -HUGE_VAL;
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (usable(&observations[i])) {
            const double top = log(observations[i].free_bytes / observations[i].activation_bytes);
            low = top - 1.0 < low ? top - 1.0 : low;
            high = top > high ? top : high;
            used++;
        }
    }
    if (used == 0) {
        return lq_fail(err, LQ_EFIT, NULL, "no measurement says anything about activations");
    }
    low = fmin(fmax(low, -FACTOR_LOG_MAX), FACTOR_LOG_MAX);
    high = fmin(fmax(high, -FACTOR_LOG_MAX), FACTOR_LOG_MAX);
    /* the middle of what is allowed: at an end the batch that was seen would only just fit */
    const double log_factor = 0.5 * (minimize(observations, n, low, high, false) +
                                     minimize(observations, n, low, high, true));
    double squares = 0.0;
    double mean = 0.0;
    double absolute = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (usable(&observations[i])) {
            double bare = 0.0;
            (void)miss(&observations[i], log_factor, &bare);
            squares += bare * bare;
            mean += bare;
            absolute += fabs(bare);
        }
    }
    out->kind = LQ_FIT_MEMORY;
    out->objective = LQ_OBJECTIVE_MINIMAX;
    out->coefficients = 1;
    out->coefficient[0] = exp(log_factor);
    out->prior[0] = 1.0;
    out->points = used;
    out->residual_log = sqrt(squares / (double)used);
    out->mape = absolute / (double)used;
    out->bias = mean / (double)used;
    /* one piece of evidence is no better than the resolution, however well it is met */
    const double variance = fmax(squares / (double)used, RESOLUTION_LOG * RESOLUTION_LOG);
    out->belief.factors = 1;
    out->belief.mean[0] = log_factor;
    out->belief.covariance[0] = variance / (double)used;
    return LQ_OK;
}
