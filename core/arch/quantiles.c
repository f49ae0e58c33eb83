/* Distributions from quantiles. The shape between them is an assumption, stated in the header. */
#include "core/arch/quantiles.h"

#include "core/base/normal.h"

#include <math.h>

/* Spread of ln(tokens) where only one quantile is known: that of CS and MATH, 0.35 to 0.45. */
static const double LOG_SD_DEFAULT = 0.4;

static enum lq_code check(const struct lq_quantile *q, size_t n, double min_tokens,
                          double max_tokens, struct lq_error *err)
{
    if (n == 0 || n > LQ_QUANTILES_MAX) {
        return lq_fail(err, LQ_EFIELD, "/quantiles", "must have 1..%d quantiles, got %zu",
                       LQ_QUANTILES_MAX, n);
    }
    double below = min_tokens > 0.0 ? min_tokens : 1.0;
    for (size_t i = 0; i < n; i++) {
        if (!(q[i].share > (i > 0 ? q[i - 1].share : 0.0)) || !(q[i].share < 1.0)) {
            return lq_fail(err, LQ_EFIELD, "/quantiles",
                           "must have each share of the queries once, got p%g", 100.0 * q[i].share);
        }
        if (!(q[i].tokens >= below)) {
            return lq_fail(err, LQ_EFIELD, "/quantiles", "must not decrease: p%g is %g after %g",
                           100.0 * q[i].share, q[i].tokens, below);
        }
        below = q[i].tokens;
    }
    if (!(max_tokens >= below)) {
        return lq_fail(err, LQ_EFIELD, "/quantiles", "must not decrease: max is %g after %g",
                       max_tokens, below);
    }
    return LQ_OK;
}

/* ln(tokens) per unit of normal quantile between two quantiles. */
static double slope(const struct lq_quantile *a, const struct lq_quantile *b)
{
    return log(b->tokens / a->tokens) /
           (lq_normal_quantile(b->share) - lq_normal_quantile(a->share));
}

struct shape {
    const struct lq_quantile *quantiles;
    size_t n;
    double min_tokens;
    double max_tokens;
    double queries;
};

/* The length below which a share of the queries lies. */
static double tokens_at(const struct shape *s, double share)
{
    const struct lq_quantile *q = s->quantiles;
    const struct lq_quantile *last = &q[s->n - 1];
    if (share >= last->share) {
        /* ln(share longer) is linear in ln(tokens), from the last quantile to one query */
        const double span = log((1.0 - last->share) * s->queries);
        const double drop = log((1.0 - last->share) / (1.0 - share));
        const double part = span > 0.0 ? fmin(drop / span, 1.0) : 1.0;
        return last->tokens * pow(s->max_tokens / last->tokens, part);
    }
    size_t i = 0;
    while (i < s->n && q[i].share <= share) {
        i++;
    }
    if (i == 0) {
        const double spread = s->n > 1 ? slope(&q[0], &q[1]) : LOG_SD_DEFAULT;
        const double z = lq_normal_quantile(share) - lq_normal_quantile(q[0].share);
        return fmax(q[0].tokens * exp(spread * z), fmax(s->min_tokens, 1.0));
    }
    const double z = lq_normal_quantile(share) - lq_normal_quantile(q[i - 1].share);
    return q[i - 1].tokens * exp(slope(&q[i - 1], &q[i]) * z);
}

/* Puts a share of the queries at a length; equal lengths share a bin. */
static size_t put(struct lq_length_bin *out, size_t count, double tokens, double queries)
{
    const int64_t whole = (int64_t)llround(fmax(tokens, 1.0));
    if (count > 0 && out[count - 1].tokens >= whole) {
        out[count - 1].queries += queries;
        return count;
    }
    out[count] = (struct lq_length_bin){.tokens = whole, .queries = queries};
    return count + 1;
}

enum lq_code lq_lengths_from_quantiles(const struct lq_quantile *quantiles, size_t n,
                                       double min_tokens, double max_tokens, double queries,
                                       struct lq_length_bin *out, size_t *count,
                                       struct lq_error *err)
{
    LQ_TRY(check(quantiles, n, min_tokens, max_tokens, err));
    const struct shape s = {quantiles, n, min_tokens, max_tokens, queries};
    size_t filled = 0;
    double share = 0.0;
    /* equal shares through the body, then shares that halve through the tail, so that the longest
     * lengths, which decide how far a batch is padded, are resolved */
    const double body = 1.0 / 160.0;
    double step = body;
    for (size_t i = 0; i + 1 < LQ_QUANTILE_BINS; i++) {
        step = fmin(body, 0.25 * (1.0 - share));
        if ((1.0 - share) * queries <= 1.0 || share + step >= 1.0) {
            break;
        }
        filled = put(out, filled, tokens_at(&s, share + 0.5 * step), step * queries);
        share += step;
    }
    filled = put(out, filled, max_tokens, (1.0 - share) * queries);
    *count = filled;
    return LQ_OK;
}
