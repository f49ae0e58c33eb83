/* Expert loads. Where they come from is the caller's business; nothing here knows of time. */
#include "core/arch/expert_load.h"

#include <math.h>

/* The largest variance: everything at one of n experts, in percent squared. */
static double variance_max(int64_t experts)
{
    const double share = 1.0 / (double)experts;
    return 1e4 * share * (1.0 - share);
}

enum lq_code lq_expert_load_set(const double *tokens, size_t n, int64_t experts,
                                struct lq_expert_load *out, struct lq_error *err)
{
    if (experts < 1 || experts > LQ_EXPERTS_MAX || n != (size_t)experts) {
        return lq_fail(err, LQ_EFIELD, "/expert_load",
                       "must have one entry per routed expert, %lld of them, got %zu",
                       (long long)experts, n);
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (!(tokens[i] >= 0.0) || !isfinite(tokens[i])) {
            return lq_fail(err, LQ_EFIELD, "/expert_load", "entry %zu must be 0 or more, got %g", i,
                           tokens[i]);
        }
        sum += tokens[i];
    }
    if (!isfinite(sum)) {
        return lq_fail(err, LQ_EFIELD, "/expert_load", "is too large to be summed");
    }
    if (!(sum > 0.0)) {
        return lq_fail(err, LQ_EFIELD, "/expert_load", "must not be all zero");
    }
    const double mean = 1.0 / (double)n;
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        out->share[i] = tokens[i] / sum;
        squares += (out->share[i] - mean) * (out->share[i] - mean);
    }
    out->experts = n;
    out->variance = 1e4 * squares / (double)n;
    return LQ_OK;
}

enum lq_code lq_expert_load_vary(double variance, int64_t experts, struct lq_expert_load *out,
                                 struct lq_error *err)
{
    if (experts < 1) {
        return lq_fail(err, LQ_EFIELD, "/expert_load", "the model has no routed experts");
    }
    const double most = variance_max(experts);
    if (!(variance >= 0.0) || variance > most * (1.0 + 1e-9)) {
        return lq_fail(err, LQ_EFIELD, "/expert_load/variance",
                       "must be 0 to %.6g, the variance of all tokens at one of %lld experts, got "
                       "%g",
                       most, (long long)experts, variance);
    }
    out->experts = 0;
    out->variance = variance;
    return LQ_OK;
}

static double peak_of_shares(const struct lq_expert_load *load, int64_t ranks)
{
    const int64_t experts = (int64_t)load->experts;
    const int64_t each = (experts + ranks - 1) / ranks;
    double largest = 0.0;
    for (int64_t first = 0; first < experts; first += each) {
        double sum = 0.0;
        for (int64_t i = first; i < first + each && i < experts; i++) {
            sum += load->share[i];
        }
        largest = fmax(largest, sum);
    }
    return largest * (double)ranks;
}

double lq_expert_load_peak(const struct lq_expert_load *load, int64_t experts, int64_t ranks)
{
    if (load == NULL || ranks < 2 || experts < 1) {
        return 1.0;
    }
    if (load->experts > 0) {
        return fmax(peak_of_shares(load, ranks), 1.0);
    }
    /* a rank's load is the sum of experts / ranks of them: its relative deviation shrinks so */
    const double each = fmax((double)experts / (double)ranks, 1.0);
    const double deviation = sqrt(load->variance) / 100.0 * (double)experts / sqrt(each);
    return fmin(1.0 + deviation * sqrt(2.0 * log((double)ranks)), (double)ranks);
}

/* Probability that none of `tokens` tokens visits an expert that each visits with `chance`. */
static double missed(double chance, double tokens)
{
    return chance < 1.0 ? exp(tokens * log1p(-chance)) : 0.0;
}

double lq_expert_load_hit(const struct lq_expert_load *load, int64_t experts, double tokens,
                          double active)
{
    if (!(tokens > 0.0)) {
        return 0.0;
    }
    if (load == NULL || load->experts == 0) {
        const double n = (double)experts;
        return experts > 0 ? n * (1.0 - missed(active / n, tokens)) : 0.0;
    }
    double hit = 0.0;
    for (size_t i = 0; i < load->experts; i++) {
        hit += 1.0 - missed(active * load->share[i], tokens);
    }
    return hit;
}
