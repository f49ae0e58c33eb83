/* Lists fits. They are made in server/jobs and never changed: other points make another fit. */
#include "server/api/fits.h"

#include "server/api/page.h"
#include "server/jobs/refit.h"
#include "server/json/fit.h"
#include "server/store/store.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct query {
    const struct lq_catalog *catalog;
    const char *estimator;
    const char *model;
    const char *gpu;
    const char *stack;
    int64_t pending_points;
};

static bool is(const char *asked, const char *value)
{
    return asked == NULL || strcasecmp(asked, value) == 0;
}

static bool match(const void *context, size_t i)
{
    const struct query *query = context;
    const struct lq_fit *fit = &query->catalog->fits[i];
    return is(query->estimator, LQ_FIT_NAMES[fit->kind]) && is(query->model, fit->identity.model) &&
           is(query->gpu, fit->identity.gpu) && is(query->stack, fit->identity.stack);
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct query *query = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", query->catalog->fits[i].id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct query *query = context;
    return lq_fit_encode(&query->catalog->fits[i]);
}

static json_t *head(const void *context)
{
    const struct query *query = context;
    return lq_pending_encode(query->pending_points);
}

enum lq_code lq_fits_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "estimator", "model",
                                        "gpu",   "stack",  NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    const struct query query = {call->catalog,
                                lq_query_get(call->request, "estimator"),
                                lq_query_get(call->request, "model"),
                                lq_query_get(call->request, "gpu"),
                                lq_query_get(call->request, "stack"),
                                lq_store_pending_points(call->store, call->catalog)};
    const struct lq_list list = {.name = "fits",
                                 .context = &query,
                                 .head = head,
                                 .count = call->catalog->fit_count,
                                 .sorted = true,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

/* Only an identity's own points: wider scopes take a few of each. */
static bool is_point_of(const struct lq_fit *fit, const struct lq_point *point)
{
    return fit->kind != LQ_FIT_MEMORY && fit->scope == LQ_SCOPE_IDENTITY &&
           lq_point_is_fitted(point) && point->queries_per_s > 0.0 &&
           lq_identity_equal(&fit->identity, &point->identity) &&
           (fit->lengths[0] == '\0' || strcmp(fit->lengths, point->conditions.lengths) == 0);
}

static void residuals_append(const struct lq_catalog *catalog, const struct lq_fit *fit,
                             const struct lq_point *points, size_t n, json_t *list)
{
    for (size_t i = 0; i < n; i++) {
        const struct lq_point *point = &points[i];
        if (!is_point_of(fit, point)) {
            continue;
        }
        const double predicted = lq_fit_predict_point(catalog, fit, point);
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f}", "calibration", point->id,
                            "active_experts", (json_int_t)point->conditions.active_experts,
                            "batch_size", (json_int_t)point->conditions.batch_size, "row_tokens",
                            point->conditions.row_tokens, "queries_per_s", point->queries_per_s,
                            "predicted_queries_per_s", predicted, "relative_error",
                            predicted / point->queries_per_s - 1.0));
    }
}

static json_t *residuals_encode(const struct lq_catalog *catalog, const struct lq_fit *fit)
{
    json_t *list = json_array();
    residuals_append(catalog, fit, catalog->points, catalog->point_count, list);
    residuals_append(catalog, fit, catalog->runs, catalog->run_count, list);
    return list;
}

enum lq_code lq_fits_get(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    const struct lq_catalog *catalog = call->catalog;
    for (size_t i = 0; i < catalog->fit_count; i++) {
        if (strcasecmp(catalog->fits[i].id, call->request->param) == 0) {
            json_t *object = lq_fit_encode(&catalog->fits[i]);
            json_object_set_new(object, "residuals", residuals_encode(catalog, &catalog->fits[i]));
            return lq_reply_computed(call, object, reply);
        }
    }
    return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL, "no fit \"%.160s\"",
                         call->request->param);
}
