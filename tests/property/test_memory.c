/* Memory grows with the batch and the row, and the largest batch is the last that fits: over random
 * jobs on all models. */
#include "core/finetune/memory.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { CASES = 4000, STREAM = 1 };

static const struct lq_catalog *catalog;

static struct lq_memory memory_of(const struct lq_job *job)
{
    const struct lq_memory_job memory_job = {.model = job->model,
                                             .method = &job->method,
                                             .training = &job->training,
                                             .stack = lq_job_stack(job),
                                             .active_experts = job->active_experts,
                                             .activation_factor = 0.3 + 3.0 * random_share()};
    return lq_memory_count(&memory_job);
}

START_TEST(memory_grows_with_batch_and_row)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM, i);
        static struct random_job r;
        random_roomy(catalog, &r);
        const struct lq_memory m = memory_of(&r.job);
        const double batch = (double)random_between(1, 100);
        const double row = (double)random_between(1, 10000);
        const double here = lq_memory_total_bytes(&m, batch, row);
        ck_assert_msg(isfinite(here) && here > 0.0, "case %d: %s", i, random_describe(&r.job));
        ck_assert_msg(lq_memory_total_bytes(&m, batch + 1.0, row) > here, "case %d: %s", i,
                      random_describe(&r.job));
        ck_assert_msg(lq_memory_total_bytes(&m, batch, row + 1.0) > here, "case %d: %s", i,
                      random_describe(&r.job));
        ck_assert_msg(here >= lq_memory_fixed_bytes(&m), "case %d: %s", i, random_describe(&r.job));
    }
}
END_TEST

START_TEST(the_largest_batch_fits_and_one_more_does_not)
{
    int fitting = 0;
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 1, i);
        static struct random_job r;
        random_roomy(catalog, &r);
        const struct lq_memory m = memory_of(&r.job);
        const int64_t row = random_between(1, 8192);
        const double capacity =
            lq_memory_fixed_bytes(&m) * (0.5 + 2.0 * random_share()) / (1.0 - m.fragmentation);
        const int64_t most = lq_memory_max_batch(&m, capacity, row);
        const double slack = 1e-12 * capacity; /* sums and quotients round */
        ck_assert_int_ge(most, 0);
        if (most > 0) {
            fitting++;
            ck_assert_msg(lq_memory_total_bytes(&m, (double)most, (double)row) <= capacity + slack,
                          "case %d: %s", i, random_describe(&r.job));
        }
        ck_assert_msg(lq_memory_total_bytes(&m, (double)most + 1.0, (double)row) > capacity - slack,
                      "case %d: %s", i, random_describe(&r.job));
        ck_assert_int_le(lq_memory_max_batch(&m, capacity, row + 1), most);
        ck_assert_int_ge(lq_memory_max_batch(&m, 1.5 * capacity, row), most);
    }
    ck_assert_int_gt(fitting, CASES / 4);
}
END_TEST

START_TEST(quantised_and_low_rank_tuning_never_take_more_than_full)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 2, i);
        static struct random_job r;
        random_roomy(catalog, &r);
        r.job.training.precision = LQ_PRECISION_BF16;
        r.job.training.optimizer = LQ_OPTIMIZER_ADAMW;
        const struct lq_method full = {.kind = LQ_METHOD_FULL};
        const struct lq_method lora = {
            .kind = LQ_METHOD_LORA, .rank = 8, .targets = LQ_TARGETS_ATTENTION};
        struct lq_method qlora = lora;
        qlora.kind = LQ_METHOD_QLORA;
        qlora.quantization = LQ_QUANTIZATION_NF4_DQ;
        r.job.method = full;
        const double most = lq_memory_fixed_bytes(&(struct lq_memory){0}) +
                            memory_of(&r.job).weights_bytes + memory_of(&r.job).optimizer_bytes;
        r.job.method = lora;
        const double less = memory_of(&r.job).weights_bytes + memory_of(&r.job).optimizer_bytes;
        r.job.method = qlora;
        const double least = memory_of(&r.job).weights_bytes + memory_of(&r.job).optimizer_bytes;
        ck_assert_msg(least < less && less < most, "case %d: %s", i, random_describe(&r.job));
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("memory");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, memory_grows_with_batch_and_row);
    tcase_add_test(tests, the_largest_batch_fits_and_one_more_does_not);
    tcase_add_test(tests, quantised_and_low_rank_tuning_never_take_more_than_full);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
