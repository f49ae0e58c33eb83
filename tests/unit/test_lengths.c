/* Length distributions: the mean longest of a batch against enumeration, cut-off, padding, packing,
 * and distributions made of quantiles. */
#include "core/arch/lengths.h"
#include "core/arch/quantiles.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

enum { ROOM = 64 };

static struct lq_lengths prepare(const struct lq_length_bin *raw, size_t n,
                                 struct lq_padding_rule rule, struct lq_length_bin scratch[ROOM])
{
    struct lq_lengths lengths;
    struct lq_error err = {0};
    const enum lq_code code = lq_lengths_prepare(raw, n, &rule, scratch, &lengths, &err);
    ck_assert_msg(code == LQ_OK, "%s %s", err.pointer, err.detail);
    return lengths;
}

/* The expectation of the longest padded length over all n^b draws, each weighted by its queries. */
static double enumerate(const struct lq_length_bin *raw, size_t n, int b,
                        const struct lq_padding_rule *rule)
{
    size_t draw[8] = {0};
    double sum = 0.0;
    double weight = 0.0;
    for (;;) {
        int64_t longest = 0;
        double w = 1.0;
        for (int i = 0; i < b; i++) {
            int64_t tokens = raw[draw[i]].tokens;
            if (rule->cutoff_tokens > 0 && tokens > rule->cutoff_tokens) {
                tokens = rule->cutoff_tokens;
            }
            while (tokens % rule->padding_multiple != 0) {
                tokens++;
            }
            longest = tokens > longest ? tokens : longest;
            w *= raw[draw[i]].queries;
        }
        sum += w * (double)longest;
        weight += w;
        int at = 0;
        while (at < b && ++draw[at] == n) {
            draw[at++] = 0;
        }
        if (at == b) {
            return sum / weight;
        }
    }
}

static const struct lq_length_bin RAW[] = {{3, 2.0},  {7, 1.0},  {8, 0.0},
                                           {15, 4.0}, {40, 1.0}, {41, 0.0}};
enum { RAW_COUNT = sizeof RAW / sizeof RAW[0] };

static const struct lq_padding_rule RULES[] = {
    {LQ_PADDING_LONGEST, 0, 1},  {LQ_PADDING_LONGEST, 0, 8},   {LQ_PADDING_LONGEST, 20, 1},
    {LQ_PADDING_LONGEST, 20, 8}, {LQ_PADDING_LONGEST, 3, 16},  {LQ_PADDING_LONGEST, 7, 4},
    {LQ_PADDING_LONGEST, 1, 1},  {LQ_PADDING_LONGEST, 100, 5},
};

START_TEST(the_mean_row_is_the_mean_longest_of_all_draws)
{
    struct lq_length_bin scratch[ROOM];
    const struct lq_lengths lengths = prepare(RAW, RAW_COUNT, RULES[_i], scratch);
    for (int b = 1; b <= 6; b++) {
        const double want = enumerate(RAW, RAW_COUNT, b, &RULES[_i]);
        assert_close("mean row", lq_lengths_mean_row(&lengths, b), want, 1e-12);
    }
}
END_TEST

START_TEST(empty_bins_never_become_the_longest)
{
    struct lq_length_bin scratch[ROOM];
    const struct lq_lengths lengths = prepare(RAW, RAW_COUNT, RULES[0], scratch);
    ck_assert_int_eq(lengths.longest_tokens, 40);
}
END_TEST

START_TEST(the_mean_is_taken_after_the_cut_and_before_padding)
{
    struct lq_length_bin scratch[ROOM];
    const struct lq_lengths lengths = prepare(RAW, RAW_COUNT, RULES[3], scratch);
    /* 2 of 3, 1 of 7, 4 of 15, 1 of 40 cut to 20 */
    assert_close("mean", lengths.mean_tokens, (6.0 + 7.0 + 60.0 + 20.0) / 8.0, 1e-12);
    ck_assert_int_eq(lengths.longest_tokens, 24);
    ck_assert_double_eq(lengths.queries_per_row, 1.0);
    ck_assert_int_eq(lengths.cutoff_tokens, 20);
    ck_assert_int_eq(lengths.padding_multiple, 8);
}
END_TEST

START_TEST(huge_batches_are_as_long_as_the_longest)
{
    struct lq_length_bin scratch[ROOM];
    const struct lq_lengths lengths = prepare(RAW, RAW_COUNT, RULES[0], scratch);
    assert_close("mean row", lq_lengths_mean_row(&lengths, 1000000000), 40.0, 1e-12);
}
END_TEST

START_TEST(fixed_rows_are_the_cutoff_or_the_longest_there_is)
{
    struct lq_length_bin scratch[ROOM];
    const struct lq_padding_rule cut = {LQ_PADDING_FIXED, 20, 8};
    const struct lq_padding_rule whole = {LQ_PADDING_FIXED, 0, 8};
    const struct lq_padding_rule longer = {LQ_PADDING_FIXED, 64, 8};
    const struct lq_padding_rule *rules[] = {&cut, &whole, &longer};
    const int64_t want[] = {24, 40, 64};
    for (int i = 0; i < 3; i++) {
        const struct lq_lengths lengths = prepare(RAW, RAW_COUNT, *rules[i], scratch);
        ck_assert_int_eq(lengths.longest_tokens, want[i]);
        for (int b = 1; b < 5; b++) {
            ck_assert_double_eq(lq_lengths_mean_row(&lengths, b), (double)want[i]);
        }
        ck_assert_double_eq(lengths.queries_per_row, 1.0);
    }
}
END_TEST

START_TEST(packed_rows_hold_the_cutoff_over_the_mean)
{
    struct lq_length_bin scratch[ROOM];
    const struct lq_padding_rule rule = {LQ_PADDING_PACKED, 32, 8};
    const struct lq_lengths lengths = prepare(RAW, RAW_COUNT, rule, scratch);
    const double mean = (6.0 + 7.0 + 60.0 + 32.0) / 8.0;
    ck_assert_int_eq(lengths.longest_tokens, 32);
    ck_assert_double_eq(lq_lengths_mean_row(&lengths, 4), 32.0);
    assert_close("queries per row", lengths.queries_per_row, 32.0 / mean, 1e-12);
}
END_TEST

static const struct {
    struct lq_length_bin bins[3];
    size_t n;
    struct lq_padding_rule rule;
    const char *pointer;
} REFUSED[] = {
    {{{0, 0.0}}, 0, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{0, 1.0}}, 1, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, 1.0}, {5, 1.0}}, 2, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, 1.0}, {4, 1.0}}, 2, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, -1.0}}, 1, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, (double)NAN}}, 1, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, (double)INFINITY}}, 1, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, 0.0}, {6, 0.0}}, 2, {LQ_PADDING_LONGEST, 0, 8}, "/lengths"},
    {{{5, 1.0}}, 1, {LQ_PADDING_LONGEST, 0, 0}, "/padding_multiple"},
    {{{5, 1.0}}, 1, {LQ_PADDING_LONGEST, -1, 8}, "/cutoff_tokens"},
    {{{5, 1.0}}, 1, {LQ_PADDING_PACKED, 0, 8}, "/cutoff_tokens"},
};

START_TEST(bad_histograms_and_rules_are_refused_where_they_are_wrong)
{
    struct lq_length_bin scratch[ROOM];
    struct lq_lengths lengths;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_lengths_prepare(REFUSED[_i].bins, REFUSED[_i].n, &REFUSED[_i].rule, scratch,
                                        &lengths, &err),
                     LQ_EFIELD);
    ck_assert_str_eq(err.pointer, REFUSED[_i].pointer);
}
END_TEST

/* Share of the queries in bins up to `tokens`. */
static double share_at(const struct lq_length_bin *bins, size_t count, double tokens)
{
    double below = 0.0;
    double all = 0.0;
    for (size_t i = 0; i < count; i++) {
        all += bins[i].queries;
        below += (double)bins[i].tokens <= tokens ? bins[i].queries : 0.0;
    }
    return below / all;
}

static const struct {
    struct lq_quantile q[4];
    size_t n;
    double min;
    double max;
} SHAPES[] = {
    {{{0.5, 174.0}, {0.9, 271.0}}, 2, 0.0, 1470.0},
    {{{0.1, 40.0}, {0.5, 79.0}, {0.9, 130.0}, {0.99, 300.0}}, 4, 20.0, 400.0},
    {{{0.5, 1000.0}}, 1, 0.0, 8000.0},
    {{{0.25, 300.0}, {0.5, 300.0}, {0.75, 900.0}}, 3, 300.0, 900.0},
};

START_TEST(a_distribution_reproduces_its_own_quantiles)
{
    struct lq_length_bin bins[LQ_QUANTILE_BINS];
    size_t count = 0;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_lengths_from_quantiles(SHAPES[_i].q, SHAPES[_i].n, SHAPES[_i].min,
                                               SHAPES[_i].max, 10000.0, bins, &count, &err),
                     LQ_OK);
    ck_assert_uint_le(count, LQ_QUANTILE_BINS);
    double queries = 0.0;
    for (size_t i = 0; i < count; i++) {
        ck_assert(i == 0 || bins[i].tokens > bins[i - 1].tokens);
        ck_assert_double_gt(bins[i].queries, 0.0);
        queries += bins[i].queries;
    }
    assert_close("queries", queries, 10000.0, 1e-9);
    ck_assert_int_eq(bins[count - 1].tokens, (int64_t)SHAPES[_i].max);
    ck_assert_double_ge((double)bins[0].tokens, fmax(SHAPES[_i].min, 1.0));
    for (size_t j = 0; j < SHAPES[_i].n; j++) {
        const struct lq_quantile *q = &SHAPES[_i].q[j];
        /* at least the share is at most that long, and less is notably shorter: a bin is 1/160 */
        ck_assert_double_ge(share_at(bins, count, 1.01 * q->tokens), q->share - 0.01);
        ck_assert_double_le(share_at(bins, count, 0.99 * q->tokens), q->share + 0.01);
    }
}
END_TEST

START_TEST(about_one_query_is_as_long_as_the_maximum)
{
    struct lq_length_bin bins[LQ_QUANTILE_BINS];
    size_t count = 0;
    struct lq_error err = {0};
    ck_assert_int_eq(
        lq_lengths_from_quantiles(SHAPES[0].q, 2, 0.0, 1470.0, 10000.0, bins, &count, &err), LQ_OK);
    ck_assert_double_gt(bins[count - 1].queries, 0.1);
    ck_assert_double_le(bins[count - 1].queries, 2.0);
}
END_TEST

static const struct {
    struct lq_quantile q[2];
    size_t n;
    double min;
    double max;
} BAD_SHAPES[] = {
    {{{0.5, 100.0}}, 0, 0.0, 200.0},                    /* none */
    {{{0.5, 100.0}}, LQ_QUANTILES_MAX + 1, 0.0, 200.0}, /* too many; none is read */
    {{{0.5, 100.0}, {0.9, 99.0}}, 2, 0.0, 200.0},       /* decreases */
    {{{0.5, 100.0}, {0.9, 110.0}}, 2, 0.0, 109.0},      /* the maximum below the last */
    {{{0.5, 100.0}, {0.9, 110.0}}, 2, 101.0, 200.0},    /* the minimum above the first */
    {{{0.5, 0.5}}, 1, 0.0, 200.0},                      /* less than a token */
    {{{0.5, (double)NAN}}, 1, 0.0, 200.0},
    {{{0.5, 100.0}}, 1, 0.0, (double)NAN},
    {{{0.5, 100.0}, {0.5, 110.0}}, 2, 0.0, 200.0}, /* two lengths for one share */
    {{{0.9, 100.0}, {0.5, 110.0}}, 2, 0.0, 200.0}, /* shares that descend */
    {{{0.0, 100.0}}, 1, 0.0, 200.0},
    {{{1.0, 100.0}}, 1, 0.0, 200.0},
};

START_TEST(quantiles_that_make_no_distribution_are_refused)
{
    struct lq_length_bin bins[LQ_QUANTILE_BINS];
    size_t count = 0;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_lengths_from_quantiles(BAD_SHAPES[_i].q, BAD_SHAPES[_i].n,
                                               BAD_SHAPES[_i].min, BAD_SHAPES[_i].max, 1000.0, bins,
                                               &count, &err),
                     LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/quantiles");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lengths");
    TCase *tests = tcase_create("lengths");
    tcase_add_loop_test(tests, the_mean_row_is_the_mean_longest_of_all_draws, 0,
                        sizeof RULES / sizeof RULES[0]);
    tcase_add_test(tests, empty_bins_never_become_the_longest);
    tcase_add_test(tests, the_mean_is_taken_after_the_cut_and_before_padding);
    tcase_add_test(tests, huge_batches_are_as_long_as_the_longest);
    tcase_add_test(tests, fixed_rows_are_the_cutoff_or_the_longest_there_is);
    tcase_add_test(tests, packed_rows_hold_the_cutoff_over_the_mean);
    tcase_add_loop_test(tests, bad_histograms_and_rules_are_refused_where_they_are_wrong, 0,
                        sizeof REFUSED / sizeof REFUSED[0]);
    tcase_add_loop_test(tests, a_distribution_reproduces_its_own_quantiles, 0,
                        sizeof SHAPES / sizeof SHAPES[0]);
    tcase_add_test(tests, about_one_query_is_as_long_as_the_maximum);
    tcase_add_loop_test(tests, quantiles_that_make_no_distribution_are_refused, 0,
                        sizeof BAD_SHAPES / sizeof BAD_SHAPES[0]);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
