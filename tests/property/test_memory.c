/* Memory grows with the batch and the row, and the largest batch is the last that fits: over random
 * jobs on all models. */
#include "core/finetune/memory.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { CASES = 4000, STREAM = 1 };

static const struct lq_catalog *catalog;

/* Groups of any size; which of them the model divides into is the layout's own check. */
static struct lq_layout random_layout(void)
{
    struct lq_layout layout = {.data = (int64_t)1 << random_between(0, 5),
                               .tensor = (int64_t)1 << random_between(0, 3),
                               .pipeline = random_between(1, 4),
                               .context = (int64_t)1 << random_between(0, 2),
                               .expert = 1,
                               .zero_stage = (int)random_between(0, 3),
                               .nodes = 1};
    layout.expert = (int64_t)1 << random_between(0, random_flag() ? 0 : 2);
    layout.expert = layout.expert < layout.data ? layout.expert : layout.data;
    return layout;
}

static struct lq_memory_factors random_factors(void)
{
    return (struct lq_memory_factors){.activation = 0.3 + 2.0 * random_share(),
                                      .logits = 0.3 + 2.0 * random_share(),
                                      .overhead = 0.3 + 2.0 * random_share(),
                                      .communication = 0.3 + 2.0 * random_share()};
}

/* A job with a layout, any options and any number of micro-batches; and a batch to ask of it. */
struct memory_case {
    struct random_job random;
    struct lq_memory_factors factors;
    double batch;
    double row;
};

static void fill_case(uint64_t stream, int number, struct memory_case *out)
{
    random_case(stream, number);
    random_roomy(catalog, &out->random);
    out->random.job.layout = random_layout();
    out->random.job.training.options = (uint32_t)random_between(0, 31);
    out->random.job.training.accumulation_steps = random_between(1, 8);
    out->factors = random_factors();
    out->batch = (double)random_between(1, 100);
    out->row = (double)random_between(1, 10000);
}

static double total_of(const struct memory_case *c)
{
    const struct lq_memory m = lq_job_memory(&c->random.job);
    return lq_memory_total_bytes(&m, &c->factors, c->batch, c->row);
}

/* At most as much, but for the rounding of sums. */
static void assert_less(double less, double more, int number, const struct lq_job *job,
                        const char *what)
{
    ck_assert_msg(less <= more * (1.0 + 1e-12), "case %d, %s: %.17g > %.17g: %s", number, what,
                  less, more, random_describe(job));
}

START_TEST(every_part_is_there_and_they_add_up)
{
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM, i, &c);
        const struct lq_memory m = lq_job_memory(&c.random.job);
        const struct lq_memory_parts p = lq_memory_at_peak(&m, &c.factors, c.batch, c.row);
        const double parts[] = {p.weights_bytes,       p.adapter_bytes,    p.gradient_bytes,
                                p.optimizer_bytes,     p.activation_bytes, p.logits_bytes,
                                p.communication_bytes, p.overhead_bytes};
        double sum = 0.0;
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
            ck_assert_msg(isfinite(parts[j]) && parts[j] >= 0.0, "case %d part %zu: %s", i, j,
                          random_describe(&c.random.job));
            sum += parts[j];
        }
        ck_assert_msg(fabs(sum - p.total_bytes) <= 1e-12 * sum && sum > 0.0, "case %d: %s", i,
                      random_describe(&c.random.job));
    }
}
END_TEST

START_TEST(memory_grows_with_batch_row_rank_and_experts)
{
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM + 1, i, &c);
        struct lq_job *job = &c.random.job;
        const double here = total_of(&c);
        c.batch += 1.0;
        assert_less(here, total_of(&c), i, job, "batch");
        c.batch -= 1.0;
        c.row += 1.0;
        assert_less(here, total_of(&c), i, job, "row");
        c.row -= 1.0;
        if (job->active_experts < lq_model_experts(job->model)) {
            job->active_experts++;
            assert_less(here, total_of(&c), i, job, "experts");
            job->active_experts--;
        }
        job->method.rank *= 2;
        assert_less(here, total_of(&c), i, job, "rank");
    }
}
END_TEST

START_TEST(the_largest_batch_fits_and_one_more_does_not)
{
    int fitting = 0;
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM + 2, i, &c);
        const struct lq_memory m = lq_job_memory(&c.random.job);
        const int64_t row = random_between(1, 8192);
        const double capacity = lq_memory_fixed_bytes(&m) * (0.5 + 3.0 * random_share());
        const int64_t most = lq_memory_max_batch(&m, &c.factors, capacity, row);
        const double slack = 1e-11 * capacity; /* sums and quotients round */
        ck_assert_int_ge(most, 0);
        if (most > 0) {
            fitting++;
            ck_assert_msg(lq_memory_total_bytes(&m, &c.factors, (double)most, (double)row) <=
                              capacity + slack,
                          "case %d: %s", i, random_describe(&c.random.job));
        }
        ck_assert_msg(lq_memory_total_bytes(&m, &c.factors, (double)most + 1.0, (double)row) >
                          capacity - slack,
                      "case %d: %s", i, random_describe(&c.random.job));
        ck_assert_int_le(lq_memory_max_batch(&m, &c.factors, capacity, row + 1), most);
        ck_assert_int_ge(lq_memory_max_batch(&m, &c.factors, 1.5 * capacity, row), most);
    }
    ck_assert_int_gt(fitting, CASES / 4);
}
END_TEST

/* What lies on the device without a batch. */
static double states_of(const struct memory_case *c)
{
    const struct lq_memory m = lq_job_memory(&c->random.job);
    return m.weights_bytes + m.adapter_bytes + m.gradient_bytes + m.optimizer_bytes;
}

/* The states alone: at enough tokens an adapter's own inputs outweigh what it saves of them. */
START_TEST(quantised_and_low_rank_tuning_never_hold_more_than_full)
{
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM + 3, i, &c);
        struct lq_job *job = &c.random.job;
        job->training.precision = LQ_PRECISION_BF16;
        job->training.optimizer = LQ_OPTIMIZER_ADAMW;
        job->training.options = 0;
        job->training.master_weights = false;
        job->layout.zero_stage = (int)random_between(0, 2);
        job->method = (struct lq_method){.kind = LQ_METHOD_FULL};
        const double most = states_of(&c);
        job->method =
            (struct lq_method){.kind = LQ_METHOD_LORA, .rank = 8, .targets = LQ_TARGETS_ATTENTION};
        const double less = states_of(&c);
        assert_less(less, most, i, job, "lora");
        job->method.kind = LQ_METHOD_QLORA;
        job->method.quantization = LQ_QUANTIZATION_NF4_DQ;
        if (!lq_job_stack(job)->upcasts_unquantized) { /* small models are mostly embeddings */
            assert_less(states_of(&c), less, i, job, "qlora");
        }
    }
}
END_TEST

START_TEST(checkpointing_and_offloading_never_take_more)
{
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM + 4, i, &c);
        struct lq_job *job = &c.random.job;
        c.factors.communication = 1.0; /* what is gathered is at most what there is */
        job->training.checkpointing = LQ_CHECKPOINTING_NONE;
        const double none = total_of(&c);
        job->training.checkpointing = LQ_CHECKPOINTING_SELECTIVE;
        const double selective = total_of(&c);
        assert_less(selective, none, i, job, "selective");
        job->training.checkpointing = LQ_CHECKPOINTING_FULL;
        const double full = total_of(&c);
        assert_less(full, selective, i, job, "full");
        const enum lq_option options[] = {LQ_OPTION_OFFLOAD_ACTIVATIONS,
                                          LQ_OPTION_OFFLOAD_OPTIMIZER, LQ_OPTION_CHUNKED_LOSS,
                                          LQ_OPTION_OPTIMIZER_IN_BACKWARD, LQ_OPTION_COMPILE};
        for (size_t j = 0; j < sizeof options / sizeof options[0]; j++) {
            job->training.options &= ~LQ_OPTION_BIT(options[j]);
            const double without = total_of(&c);
            job->training.options |= LQ_OPTION_BIT(options[j]);
            assert_less(total_of(&c), without, i, job, LQ_OPTION_NAMES[options[j]]);
        }
    }
}
END_TEST

START_TEST(more_shards_never_take_more)
{
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM + 5, i, &c);
        struct lq_job *job = &c.random.job;
        c.factors.communication = 1.0;             /* what is gathered is at most what there is */
        job->layout.data = 2 * job->layout.expert; /* peers on both sides */
        const struct lq_layout before = job->layout;
        const double here = total_of(&c);
        job->layout.data *= 2;
        assert_less(total_of(&c), here, i, job, "data");
        job->layout = before;
        job->layout.tensor *= 2;
        assert_less(total_of(&c), here, i, job, "tensor");
        job->layout = before;
        job->layout.context *= 2;
        assert_less(total_of(&c), here, i, job, "context");
        for (job->layout = before; job->layout.zero_stage < 2; job->layout.zero_stage++) {
            const double stage = total_of(&c);
            struct memory_case next = c;
            next.random.job.layout.zero_stage++;
            assert_less(total_of(&next), stage, i, job, "zero stage");
        }
    }
}
END_TEST

START_TEST(factors_move_memory_their_own_way)
{
    for (int i = 0; i < CASES; i++) {
        static struct memory_case c;
        fill_case(STREAM + 6, i, &c);
        const struct lq_memory m = lq_job_memory(&c.random.job);
        double slopes[LQ_MEMORY_FACTORS];
        const double peak =
            lq_memory_peak_bytes(&m, &c.factors, LQ_MEMORY_DEVICE, c.batch, c.row, slopes);
        ck_assert_msg(fabs(peak - total_of(&c)) <= 1e-12 * peak, "case %d: %s", i,
                      random_describe(&c.random.job));
        double sum = 0.0;
        for (int j = 0; j < LQ_MEMORY_FACTORS; j++) {
            ck_assert_msg(slopes[j] >= 0.0, "case %d: %s", i, random_describe(&c.random.job));
            sum += slopes[j];
        }
        ck_assert_msg(sum <= 1.2, "case %d: %.17g: %s", i, sum, random_describe(&c.random.job));
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("memory");
    tcase_add_test(tests, every_part_is_there_and_they_add_up);
    tcase_add_test(tests, memory_grows_with_batch_row_rank_and_experts);
    tcase_add_test(tests, the_largest_batch_fits_and_one_more_does_not);
    tcase_add_test(tests, quantised_and_low_rank_tuning_never_hold_more_than_full);
    tcase_add_test(tests, checkpointing_and_offloading_never_take_more);
    tcase_add_test(tests, more_shards_never_take_more);
    tcase_add_test(tests, factors_move_memory_their_own_way);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
