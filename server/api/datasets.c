/* Lists named length distributions by their moments and quantiles; one alone comes with its
 * histogram. Lengths are as measured: no cut-off, no padding. */
#include "server/api/datasets.h"

#include "server/api/page.h"
#include "server/json/catalog.h"

#include <stdio.h>

static double mean_tokens(const struct lq_dataset *dataset)
{
    double sum = 0.0;
    for (size_t i = 0; i < dataset->count; i++) {
        sum += (double)dataset->bins[i].tokens * dataset->bins[i].queries;
    }
    return dataset->queries > 0.0 ? sum / dataset->queries : 0.0;
}

/* The shortest length that at least `share` of the queries do not exceed. */
static int64_t quantile_tokens(const struct lq_dataset *dataset, double share)
{
    double seen = 0.0;
    for (size_t i = 0; i < dataset->count; i++) {
        seen += dataset->bins[i].queries;
        if (seen >= share * dataset->queries) {
            return dataset->bins[i].tokens;
        }
    }
    return dataset->count > 0 ? dataset->bins[dataset->count - 1].tokens : 0;
}

/* The longest length that a query has; bins may be empty. */
static int64_t max_tokens(const struct lq_dataset *dataset)
{
    size_t i = dataset->count;
    while (i > 0 && dataset->bins[i - 1].queries <= 0.0) {
        i--;
    }
    return i > 0 ? dataset->bins[i - 1].tokens : 0;
}

static json_t *dataset_encode(const struct lq_dataset *dataset)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(dataset->id));
    json_object_set_new(object, "description", json_string(dataset->description));
    json_object_set_new(object, "unit", json_string(dataset->unit));
    json_object_set_new(object, "queries", lq_quantity_encode(dataset->queries));
    json_object_set_new(object, "mean_tokens", lq_quantity_encode(mean_tokens(dataset)));
    json_object_set_new(object, "median_tokens", json_integer(quantile_tokens(dataset, 0.5)));
    json_object_set_new(object, "p90_tokens", json_integer(quantile_tokens(dataset, 0.9)));
    json_object_set_new(object, "max_tokens", json_integer(max_tokens(dataset)));
    json_object_set_new(object, "provenance", lq_provenance_encode(&dataset->provenance));
    return object;
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct lq_catalog *catalog = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", catalog->datasets[i].id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct lq_catalog *catalog = context;
    return dataset_encode(&catalog->datasets[i]);
}

enum lq_code lq_datasets_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_reply_unchanged(call, call->catalog->catalog_version, reply)) {
        return LQ_OK;
    }
    const struct lq_list list = {.name = "datasets",
                                 .context = call->catalog,
                                 .count = call->catalog->dataset_count,
                                 .sorted = true,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

enum lq_code lq_datasets_get(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    const char *id = call->request->param;
    const struct lq_dataset *dataset = lq_catalog_dataset(call->catalog, id);
    if (dataset == NULL) {
        return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL, "no data set has the id \"%.80s\"",
                             id);
    }
    if (lq_reply_unchanged(call, call->catalog->catalog_version, reply)) {
        return LQ_OK;
    }
    json_t *object = dataset_encode(dataset);
    json_object_set_new(object, "histogram", lq_histogram_encode(dataset->bins, dataset->count));
    return lq_reply_json(call, object, 200, reply);
}
