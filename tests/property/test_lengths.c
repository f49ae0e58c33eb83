/* The mean padded row of random distributions, and distributions made of random quantiles. */
#include "core/arch/quantiles.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { CASES = 5000, STREAM = 10 };

START_TEST(the_mean_row_rises_from_the_mean_to_the_longest)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM, i);
        struct lq_length_bin raw[RANDOM_BINS];
        struct lq_length_bin bins[RANDOM_BINS];
        const size_t n = random_histogram(raw, RANDOM_BINS, random_between(1, 20000));
        const struct lq_padding_rule rule = {LQ_PADDING_LONGEST,
                                             random_flag() ? random_between(1, 8000) : 0,
                                             random_between(1, 128)};
        struct lq_lengths lengths;
        struct lq_error err = {0};
        ck_assert_int_eq(lq_lengths_prepare(raw, n, &rule, bins, &lengths, &err), LQ_OK);
        double last = lengths.mean_tokens * (1.0 - 1e-12); /* padding only adds */
        for (int64_t batch = 1; batch < 2000; batch += 1 + batch / 3) {
            const double row = lq_lengths_mean_row(&lengths, batch);
            ck_assert_msg(row >= last * (1.0 - 1e-12) && row <= (double)lengths.longest_tokens,
                          "case %d batch %d: %.17g after %.17g, longest %d", i, (int)batch, row,
                          last, (int)lengths.longest_tokens);
            last = row;
        }
        ck_assert_int_eq(lengths.longest_tokens % rule.padding_multiple, 0);
        ck_assert_double_le(lengths.mean_tokens, (double)lengths.longest_tokens);
    }
}
END_TEST

START_TEST(a_shorter_cutoff_never_lengthens_a_row)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 1, i);
        struct lq_length_bin raw[RANDOM_BINS];
        struct lq_length_bin a[RANDOM_BINS];
        struct lq_length_bin b[RANDOM_BINS];
        const size_t n = random_histogram(raw, RANDOM_BINS, random_between(1, 20000));
        struct lq_padding_rule rule = {LQ_PADDING_LONGEST, random_between(2, 8000), 8};
        struct lq_lengths longer;
        struct lq_lengths shorter;
        struct lq_error err = {0};
        ck_assert_int_eq(lq_lengths_prepare(raw, n, &rule, a, &longer, &err), LQ_OK);
        rule.cutoff_tokens = random_between(1, rule.cutoff_tokens);
        ck_assert_int_eq(lq_lengths_prepare(raw, n, &rule, b, &shorter, &err), LQ_OK);
        for (int64_t batch = 1; batch <= 64; batch *= 2) {
            ck_assert_double_le(lq_lengths_mean_row(&shorter, batch),
                                lq_lengths_mean_row(&longer, batch) * (1.0 + 1e-12));
        }
    }
}
END_TEST

START_TEST(quantiles_make_ascending_bins_of_all_queries)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 2, i);
        struct lq_quantile q[LQ_QUANTILES_MAX];
        const size_t n = (size_t)random_between(1, 6);
        double share = 0.0;
        double tokens = 1.0;
        for (size_t j = 0; j < n; j++) {
            share += (1.0 - share) * (0.01 + 0.9 * random_share());
            tokens += (double)random_between(0, 500);
            q[j] = (struct lq_quantile){share, tokens};
        }
        const double longest = tokens + (double)random_between(0, 3000);
        const double queries = (double)random_between(1, 10000000);
        struct lq_length_bin bins[LQ_QUANTILE_BINS];
        size_t count = 0;
        struct lq_error err = {0};
        ck_assert_msg(lq_lengths_from_quantiles(q, n, 0.0, longest, queries, bins, &count, &err) ==
                          LQ_OK,
                      "case %d: %s", i, err.detail);
        double sum = 0.0;
        for (size_t j = 0; j < count; j++) {
            ck_assert_msg(j == 0 || bins[j].tokens > bins[j - 1].tokens, "case %d bin %zu", i, j);
            ck_assert_msg(bins[j].queries > 0.0 && bins[j].tokens >= 1, "case %d bin %zu", i, j);
            sum += bins[j].queries;
        }
        ck_assert_msg(fabs(sum - queries) <= 1e-9 * queries, "case %d: %.17g of %.17g", i, sum,
                      queries);
        ck_assert_msg(bins[count - 1].tokens == (int64_t)longest, "case %d: %d for %g", i,
                      (int)bins[count - 1].tokens, longest);
    }
}
END_TEST

int main(void)
{
    random_start();
    Suite *suite = suite_create("lengths");
    TCase *tests = tcase_create("lengths");
    tcase_add_test(tests, the_mean_row_rises_from_the_mean_to_the_longest);
    tcase_add_test(tests, a_shorter_cutoff_never_lengthens_a_row);
    tcase_add_test(tests, quantiles_make_ascending_bins_of_all_queries);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
