/* Rates of imported runs. How a tool's log states them is the importers' to know. */
#include "kernels/import/rate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far rows a step may lie off batch * accumulation * GPUs. Above, only rounding of the log can
 * be the reason (HF prints three decimals); below, the short last batch of each epoch, which at its
 * worst is half of a run of short epochs. */
static const double ROWS_ABOVE = 1.1;
static const double ROWS_BELOW = 0.5;
/* A whole number of micro-batches or GPUs is told from its neighbours within a tenth. */
static const double WHOLE = 0.1;

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Linear between the two nearest of sorted values. */
static double quantile(const double *sorted, size_t n, double share)
{
    const double at = share * (double)(n - 1);
    const size_t below = (size_t)at;
    const size_t above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

struct lq_import_steady lq_import_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    const size_t quarter = n / 4;
    double sum = 0.0;
    for (size_t i = quarter; i < n - quarter; i++) {
        sum += values[i];
    }
    return (struct lq_import_steady){.median = quantile(values, n, 0.5),
                                     .middle_mean = sum / (double)(n - 2 * quarter),
                                     .low = quantile(values, n, 0.25),
                                     .high = quantile(values, n, 0.75),
                                     .used = n};
}

struct lq_import_steady lq_import_steady(double *values, size_t n)
{
    const size_t dropped = n > 1 ? (n + 9) / 10 : 0;
    struct lq_import_steady steady = lq_import_median(values + dropped, n - dropped);
    steady.dropped = dropped;
    return steady;
}

/* The whole number a factor must be for `rows` to come out, or 0. */
static double whole_factor(double rows, double others)
{
    const double factor = round(rows / others);
    return factor >= 1.0 && fabs(rows / (others * factor) - 1.0) <= WHOLE ? factor : 0.0;
}

/* Accumulation and GPUs, where the rows of a step tell one of them. */
static void derive_factors(struct lq_import_run *run)
{
    struct lq_facts *facts = &run->facts;
    const double rows = run->rate.rows_per_step;
    const double batch = lq_fact_number(facts, LQ_FACT_BATCH_SIZE, 0.0);
    const double gpus = lq_fact_number(facts, LQ_FACT_GPU_COUNT, 0.0);
    const double steps = lq_fact_number(facts, LQ_FACT_GRADIENT_ACCUMULATION_STEPS, 0.0);
    if (!(rows > 0.0) || !(batch > 0.0) || (gpus > 0.0 && steps > 0.0)) {
        return;
    }
    const double known = gpus > 0.0 ? gpus : steps > 0.0 ? steps : 1.0;
    const double factor = whole_factor(rows, batch * known);
    const bool both = !(gpus > 0.0) && !(steps > 0.0);
    if (!(factor > 0.0) || (both && factor > 1.0)) {
        return; /* whether GPUs or micro-batches make up the product is not known */
    }
    if (!(steps > 0.0)) {
        lq_fact_say(facts, LQ_FACT_GRADIENT_ACCUMULATION_STEPS, "rows a step", "%.0f", factor);
    }
    if (!(gpus > 0.0)) {
        lq_fact_say(facts, LQ_FACT_GPU_COUNT, "rows a step", "%.0f", factor);
    }
    lq_notice(&run->notices, "%.4g rows a step at batch size %.0f: %s %.0f", rows, batch,
              both            ? "gradient_accumulation_steps and gpu_count are"
              : !(gpus > 0.0) ? "gpu_count is"
                              : "gradient_accumulation_steps is",
              factor);
}

/* batch * accumulation * GPUs, 0 where one of them is not known. */
static double rows_of_facts(const struct lq_facts *facts)
{
    return lq_fact_number(facts, LQ_FACT_BATCH_SIZE, 0.0) *
           lq_fact_number(facts, LQ_FACT_GPU_COUNT, 0.0) *
           lq_fact_number(facts, LQ_FACT_GRADIENT_ACCUMULATION_STEPS, 0.0);
}

static enum lq_code check_factors(const char *name, const struct lq_import_run *run,
                                  struct lq_error *err)
{
    const double rows = run->rate.rows_per_step;
    const double product = rows_of_facts(&run->facts);
    if (rows > 0.0 && product > 0.0 &&
        (rows > ROWS_ABOVE * product || rows < ROWS_BELOW * product)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.150s: the log counts %.4g rows a step, but --batch-size, "
                       "--gradient-accumulation-steps and --gpu-count make %.0f: one of them is "
                       "wrong",
                       name, rows, product);
    }
    return LQ_OK;
}

/* Tokens of a row, padding included: said, or the mean that the log counts. */
static void derive_length(struct lq_import_run *run)
{
    struct lq_facts *facts = &run->facts;
    double tokens = run->rate.padded_tokens_per_row;
    const double rows =
        run->rate.rows_per_step > 0.0 ? run->rate.rows_per_step : rows_of_facts(facts);
    if (!(tokens > 0.0) && run->rate.padded_tokens_per_step > 0.0 && rows > 0.0) {
        tokens = run->rate.padded_tokens_per_step / rows;
    }
    if (!(tokens >= 1.0) || lq_fact_known(facts, LQ_FACT_SEQUENCE_TOKENS) ||
        lq_fact_known(facts, LQ_FACT_LENGTHS)) {
        return;
    }
    lq_fact_say(facts, LQ_FACT_SEQUENCE_TOKENS, "tokens seen", "%.0f", round(tokens));
    lq_notice(
        &run->notices,
        "sequence_tokens: %.0f, the mean row of the tokens that the log counts (with padding, "
        "on all GPUs)",
        round(tokens));
}

/* Rows a second of the whole job, 0 where something is missing. */
static double rows_per_s(const struct lq_import_run *run)
{
    const struct lq_facts *facts = &run->facts;
    const struct lq_import_rate *rate = &run->rate;
    if (rate->tokens_per_s_per_gpu > 0.0) {
        const double tokens = lq_fact_number(facts, LQ_FACT_ROW_TOKENS, 0.0);
        const double gpus = lq_fact_number(facts, LQ_FACT_GPU_COUNT, 0.0);
        return tokens > 0.0 ? rate->tokens_per_s_per_gpu * gpus / tokens : 0.0;
    }
    if (rate->rows_per_s > 0.0) {
        return rate->rows_per_s;
    }
    const double rows = rows_of_facts(facts);
    return rate->steps_per_s * (rows > 0.0 ? rows : rate->rows_per_step);
}

enum lq_code lq_import_rate_resolve(const char *name, struct lq_import_run *run,
                                    struct lq_error *err)
{
    struct lq_facts *facts = &run->facts;
    if (lq_fact_known(facts, LQ_FACT_QUERIES_PER_S) || lq_fact_known(facts, LQ_FACT_STEP_TIME_S) ||
        lq_fact_is(facts, LQ_FACT_OUT_OF_MEMORY, "true")) {
        return LQ_OK;
    }
    derive_factors(run);
    LQ_TRY(check_factors(name, run, err));
    derive_length(run);
    const double rate = rows_per_s(run);
    if (!(rate > 0.0)) {
        return LQ_OK;
    }
    /* a query of a data set's lengths is less than a row where rows are packed: say the step then
     */
    if (lq_fact_known(facts, LQ_FACT_LENGTHS) && lq_fact_is(facts, LQ_FACT_PADDING, "packed")) {
        const double rows = lq_fact_number(facts, LQ_FACT_BATCH_SIZE, 0.0) *
                            lq_fact_number(facts, LQ_FACT_GPU_COUNT, 0.0);
        if (rows > 0.0) {
            lq_fact_say(facts, LQ_FACT_STEP_TIME_S, run->format, "%.15g", rows / rate);
        }
        return LQ_OK;
    }
    lq_fact_say(facts, LQ_FACT_QUERIES_PER_S, run->format, "%.15g", rate);
    return LQ_OK;
}
