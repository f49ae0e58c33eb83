/* Completes points by their data sets and their own two rates. */
#include "server/store/derive.h"

#include "server/store/snapshot.h"

#include <stdlib.h>

static bool same_rule(const struct lq_padding_rule *a, const struct lq_padding_rule *b)
{
    return a->padding == b->padding && a->cutoff_tokens == b->cutoff_tokens &&
           a->padding_multiple == b->padding_multiple;
}

static enum lq_code prepare(struct lq_derivation *derivation, const struct lq_dataset *dataset,
                            const struct lq_padding_rule *rule, struct lq_error *err)
{
    if (derivation->dataset == dataset && same_rule(&derivation->rule, rule)) {
        return LQ_OK;
    }
    derivation->dataset = NULL;
    free(derivation->scratch);
    derivation->scratch = calloc(dataset->count, sizeof *derivation->scratch);
    if (derivation->scratch == NULL) {
        return lq_load_out_of_memory(err);
    }
    struct lq_error cause = {0};
    if (lq_lengths_prepare(dataset->bins, dataset->count, rule, derivation->scratch,
                           &derivation->lengths, &cause) != LQ_OK) {
        return lq_fail(err, LQ_ESTORE, NULL, "data set %s: %s", dataset->id, cause.detail);
    }
    derivation->dataset = dataset;
    derivation->rule = *rule;
    return LQ_OK;
}

/* Row lengths from a named data set, unless the point came with them. */
static enum lq_code derive_rows(const struct lq_catalog *catalog, struct lq_derivation *derivation,
                                struct lq_point *point, struct lq_error *err)
{
    struct lq_conditions *run = &point->conditions;
    const struct lq_dataset *dataset = lq_catalog_dataset(catalog, run->lengths);
    if (dataset == NULL || (run->row_tokens > 0.0 && point->longest_tokens > 0.0)) {
        return LQ_OK;
    }
    LQ_TRY(prepare(derivation, dataset, &run->rule, err));
    if (run->row_tokens <= 0.0) {
        run->row_tokens = lq_lengths_mean_row(&derivation->lengths, run->batch_size);
        run->queries_per_row = derivation->lengths.queries_per_row;
    }
    if (point->longest_tokens <= 0.0) {
        point->longest_tokens = (double)derivation->lengths.longest_tokens;
    }
    return LQ_OK;
}

enum lq_code lq_derive_point(const struct lq_catalog *catalog, struct lq_derivation *derivation,
                             struct lq_point *point, struct lq_error *err)
{
    struct lq_conditions *run = &point->conditions;
    if (run->queries_per_row <= 0.0) {
        run->queries_per_row = 1.0;
    }
    if (run->row_tokens <= 0.0 && run->sequence_tokens > 0) {
        run->row_tokens = (double)run->sequence_tokens;
    }
    LQ_TRY(derive_rows(catalog, derivation, point, err));
    double step_queries =
        (double)run->batch_size * run->queries_per_row * (double)point->identity.layout.data;
    if (point->queries_per_s <= 0.0 && point->step_time_s > 0.0) {
        point->queries_per_s = step_queries / point->step_time_s;
    } else if (point->step_time_s <= 0.0 && point->queries_per_s > 0.0) {
        point->step_time_s = step_queries / point->queries_per_s;
    }
    return LQ_OK;
}

void lq_derivation_release(struct lq_derivation *derivation)
{
    free(derivation->scratch);
    derivation->scratch = NULL;
}
