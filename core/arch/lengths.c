/* Padded length distributions. Nothing here knows where a histogram came from. */
#include "core/arch/lengths.h"

#include <math.h>

const char *const LQ_PADDING_NAMES[] = {"longest", "fixed", "packed", NULL};

static int64_t round_up(int64_t tokens, int64_t multiple)
{
    return (tokens + multiple - 1) / multiple * multiple;
}

static enum lq_code check_raw(const struct lq_length_bin *raw, size_t n, struct lq_error *err)
{
    if (n == 0) {
        return lq_fail(err, LQ_EFIELD, "/lengths", "must have at least one bin");
    }
    double queries = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (raw[i].tokens < 1) {
            return lq_fail(err, LQ_EFIELD, "/lengths", "tokens must be at least 1, got %lld",
                           (long long)raw[i].tokens);
        }
        if (i > 0 && raw[i].tokens <= raw[i - 1].tokens) {
            return lq_fail(err, LQ_EFIELD, "/lengths", "tokens must ascend, got %lld after %lld",
                           (long long)raw[i].tokens, (long long)raw[i - 1].tokens);
        }
        if (!(raw[i].queries >= 0.0) || !isfinite(raw[i].queries)) {
            return lq_fail(err, LQ_EFIELD, "/lengths", "queries must not be negative");
        }
        queries += raw[i].queries;
    }
    if (!(queries > 0.0) || !isfinite(queries)) {
        return lq_fail(err, LQ_EFIELD, "/lengths", "must hold at least one query");
    }
    return LQ_OK;
}

static enum lq_code check_rule(const struct lq_padding_rule *rule, struct lq_error *err)
{
    if (rule->padding_multiple < 1) {
        return lq_fail(err, LQ_EFIELD, "/padding_multiple", "must be at least 1, got %lld",
                       (long long)rule->padding_multiple);
    }
    if (rule->cutoff_tokens < 0) {
        return lq_fail(err, LQ_EFIELD, "/cutoff_tokens", "must be at least 1, got %lld",
                       (long long)rule->cutoff_tokens);
    }
    if (rule->padding == LQ_PADDING_PACKED && rule->cutoff_tokens == 0) {
        return lq_fail(err, LQ_EFIELD, "/cutoff_tokens",
                       "is required where rows are packed: it is their length");
    }
    return LQ_OK;
}

/* One bin for every padded length, with the queries of that length; returns how many. */
static size_t pad_bins(const struct lq_length_bin *raw, size_t n,
                       const struct lq_padding_rule *rule, struct lq_length_bin *out,
                       struct lq_lengths *lengths)
{
    size_t count = 0;
    double queries = 0.0;
    double tokens = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (raw[i].queries == 0.0) {
            continue; /* an empty bin must not become the longest length */
        }
        int64_t cut = raw[i].tokens;
        if (rule->cutoff_tokens > 0 && cut > rule->cutoff_tokens) {
            cut = rule->cutoff_tokens;
        }
        queries += raw[i].queries;
        tokens += raw[i].queries * (double)cut;
        /* lengths ascend: one within the last bin's padded length needs no division */
        if (count > 0 && cut <= out[count - 1].tokens) {
            out[count - 1].queries += raw[i].queries;
        } else {
            out[count++] = (struct lq_length_bin){.tokens = round_up(cut, rule->padding_multiple),
                                                  .queries = raw[i].queries};
        }
    }
    lengths->mean_tokens = tokens / queries;
    double below = 0.0;
    for (size_t i = 0; i < count; i++) {
        below += out[i].queries;
        out[i].queries = i + 1 == count ? 1.0 : below / queries;
    }
    return count;
}

enum lq_code lq_lengths_prepare(const struct lq_length_bin *raw, size_t n,
                                const struct lq_padding_rule *rule, struct lq_length_bin *scratch,
                                struct lq_lengths *out, struct lq_error *err)
{
    LQ_TRY(check_raw(raw, n, err));
    LQ_TRY(check_rule(rule, err));
    struct lq_lengths lengths = {.padding = rule->padding,
                                 .bins = scratch,
                                 .queries_per_row = 1.0,
                                 .padding_multiple = rule->padding_multiple,
                                 .cutoff_tokens = rule->cutoff_tokens};
    lengths.count = pad_bins(raw, n, rule, scratch, &lengths);
    lengths.longest_tokens = scratch[lengths.count - 1].tokens;
    if (rule->padding != LQ_PADDING_LONGEST) {
        const int64_t row = rule->cutoff_tokens > 0 ? rule->cutoff_tokens : lengths.longest_tokens;
        lengths.longest_tokens = round_up(row, rule->padding_multiple);
        scratch[0] = (struct lq_length_bin){.tokens = lengths.longest_tokens, .queries = 1.0};
        lengths.count = 1;
    }
    if (rule->padding == LQ_PADDING_PACKED) {
        lengths.queries_per_row = (double)rule->cutoff_tokens / lengths.mean_tokens;
    }
    *out = lengths;
    return LQ_OK;
}

/* x^n for a whole n >= 1 by squaring: a batch size is a whole number, and pow() is ten times
 * slower. */
static double power(double x, int64_t n)
{
    double result = 1.0;
    for (; n > 0; n >>= 1) {
        if (n & 1) {
            result *= x;
        }
        x *= x;
    }
    return result;
}

double lq_lengths_mean_row(const struct lq_lengths *lengths, int64_t batch_size)
{
    /* E[max] = longest - sum over gaps of gap * F(L)^b: from the top, stopping where F^b has
     * vanished, since large batches only see the tail. */
    const struct lq_length_bin *bins = lengths->bins;
    double mean = (double)bins[lengths->count - 1].tokens;
    for (size_t i = lengths->count - 1; i-- > 0;) {
        const double share = power(bins[i].queries, batch_size);
        mean -= (double)(bins[i + 1].tokens - bins[i].tokens) * share;
        if (share < 1e-12) {
            break;
        }
    }
    return mean;
}
