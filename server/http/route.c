/* The route table and the search through it. */
#include "server/http/route.h"

#include "server/api/auth.h"
#include "server/api/calibrations.h"
#include "server/api/comparisons.h"
#include "server/api/dashboard.h"
#include "server/api/datasets.h"
#include "server/api/estimates.h"
#include "server/api/exclusions.h"
#include "server/api/fits.h"
#include "server/api/gpus.h"
#include "server/api/health.h"
#include "server/api/jobs.h"
#include "server/api/losses.h"
#include "server/api/metrics.h"
#include "server/api/models.h"
#include "server/api/openapi.h"
#include "server/api/plans.h"
#include "server/api/price_lists.h"
#include "server/api/prices.h"
#include "server/api/providers.h"
#include "server/api/receipts.h"
#include "server/api/scaling_laws.h"
#include "server/api/servings.h"
#include "server/api/stacks.h"
#include "server/api/sweeps.h"
#include "server/api/validation.h"
#include "server/config.h"

#include <stdbool.h>
#include <string.h>

#define MIB ((size_t)1024 * 1024)

const struct lq_route LQ_ROUTES[] = {
    /* method, path, handler, scope, body cap */
    {"POST", "/v1/estimates", lq_estimates_post, NULL, MIB},
    {"POST", "/v1/comparisons", lq_comparisons_post, NULL, MIB},
    {"GET", "/v1/estimates", lq_receipts_list, LQ_SCOPE_STORING, 0},
    {"GET", "/v1/estimates/{id}", lq_receipts_get, NULL, 0},
    {"PUT", "/v1/estimates/{id}/outcome", lq_outcomes_put, LQ_SCOPE_STORING, MIB},
    {"POST", "/v1/servings", lq_servings_post, NULL, MIB},
    {"POST", "/v1/plans", lq_plans_post, NULL, MIB},
    {"POST", "/v1/sweeps", lq_sweeps_post, NULL, MIB},
    {"GET", "/v1/models", lq_models_list, NULL, 0},
    {"GET", "/v1/models/{id}", lq_models_get, NULL, 0},
    {"PUT", "/v1/models/{id}", lq_models_put, "catalog:write", MIB},
    {"DELETE", "/v1/models/{id}", lq_models_delete, "catalog:write", 0},
    {"GET", "/v1/gpus", lq_gpus_list, NULL, 0},
    {"GET", "/v1/gpus/{id}", lq_gpus_get, NULL, 0},
    {"PUT", "/v1/gpus/{id}", lq_gpus_put, "catalog:write", MIB},
    {"GET", "/v1/prices", lq_prices_list, NULL, 0},
    {"GET", "/v1/prices/{id}", lq_price_lists_get, NULL, 0},
    {"PUT", "/v1/prices/{id}", lq_price_lists_put, "catalog:write", 32 * MIB},
    {"DELETE", "/v1/prices/{id}", lq_price_lists_delete, "catalog:write", 0},
    {"GET", "/v1/prices/{id}/versions", lq_price_lists_versions, NULL, 0},
    {"GET", "/v1/providers", lq_providers_list, NULL, 0},
    {"GET", "/v1/datasets", lq_datasets_list, NULL, 0},
    {"GET", "/v1/datasets/{id}", lq_datasets_get, NULL, 0},
    {"GET", "/v1/stacks", lq_stacks_list, NULL, 0},
    {"POST", "/v1/calibrations", lq_calibrations_post, "calibrations:write", 32 * MIB},
    {"GET", "/v1/calibrations", lq_calibrations_list, NULL, 0},
    {"GET", "/v1/calibrations/{id}", lq_calibrations_get, NULL, 0},
    {"DELETE", "/v1/calibrations/{id}", lq_calibrations_delete, "calibrations:write", 0},
    {"PUT", "/v1/calibrations/{id}/confirmation", lq_confirmations_put, "admin", 0},
    {"DELETE", "/v1/calibrations/{id}/confirmation", lq_confirmations_delete, "admin", 0},
    {"GET", "/v1/exclusions", lq_exclusions_list, "admin", 0},
    {"PUT", "/v1/exclusions/{id}", lq_exclusions_put, "admin", 0},
    {"DELETE", "/v1/exclusions/{id}", lq_exclusions_delete, "admin", 0},
    {"GET", "/v1/fits", lq_fits_list, NULL, 0},
    {"GET", "/v1/fits/{id}", lq_fits_get, NULL, 0},
    {"GET", "/v1/scaling-laws", lq_scaling_laws_list, NULL, 0},
    {"POST", "/v1/scaling-laws", lq_scaling_laws_post, "catalog:write", 4 * MIB},
    {"GET", "/v1/scaling-laws/{id}", lq_scaling_laws_get, NULL, 0},
    {"POST", "/v1/losses", lq_losses_post, NULL, 4 * MIB},
    {"GET", "/v1/jobs/{id}", lq_jobs_get, NULL, 0},
    {"DELETE", "/v1/jobs/{id}", lq_jobs_delete, "catalog:write", 0},
    {"GET", "/v1/validation", lq_validation_get, NULL, 0},
    {"GET", "/healthz", lq_health_get, NULL, 0},
    {"GET", "/readyz", lq_ready_get, NULL, 0},
    {"GET", "/metrics", lq_metrics_get, NULL, 0},
    {"GET", "/openapi.yaml", lq_openapi_get, NULL, 0},
    {"GET", "/", lq_dashboard_get, NULL, 0},
    {"GET", "/assets/{id}", lq_assets_get, NULL, 0},
};
const size_t LQ_ROUTE_COUNT = sizeof LQ_ROUTES / sizeof LQ_ROUTES[0];

/* Whether a path fits a route's, and which part of it stands at {id}. */
static bool path_matches(const char *pattern, const char *path, struct lq_match *match)
{
    static const char PARAM[] = "{id}";
    const char *param = strstr(pattern, PARAM);
    if (param == NULL) {
        return strcmp(pattern, path) == 0;
    }
    size_t before = (size_t)(param - pattern);
    if (strncmp(pattern, path, before) != 0) {
        return false;
    }
    size_t size = strcspn(path + before, "/");
    if (size == 0 || strcmp(path + before + size, param + sizeof PARAM - 1) != 0) {
        return false;
    }
    match->param = path + before;
    match->param_size = size;
    return true;
}

static void allow(struct lq_match *match, const char *method)
{
    size_t used = strlen(match->allow);
    const char *also = strcmp(method, "GET") == 0 ? ", HEAD" : "";
    snprintf(match->allow + used, sizeof match->allow - used, "%s%s%s", used > 0 ? ", " : "",
             method, also);
}

enum lq_code lq_route_find(const char *method, const char *path, struct lq_match *match,
                           struct lq_error *err)
{
    *match = (struct lq_match){0};
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < LQ_ROUTE_COUNT; i++) {
        if (!path_matches(LQ_ROUTES[i].path, path, match)) {
            continue;
        }
        allow(match, LQ_ROUTES[i].method);
        if (strcmp(LQ_ROUTES[i].method, wanted) == 0) {
            match->route = &LQ_ROUTES[i];
        }
    }
    if (match->allow[0] == '\0') {
        return lq_fail(err, LQ_ENOTFOUND, NULL, "there is nothing at this path");
    }
    allow(match, "OPTIONS");
    if (match->route == NULL) {
        return lq_fail(err, LQ_EMETHOD, NULL, "%.32s is not one of %s", method, match->allow);
    }
    return LQ_OK;
}

const char *lq_route_scope(const struct lq_route *route, const struct lq_config *config)
{
    if (route->scope != NULL) {
        return route->scope;
    }
    const bool is_metrics = strcmp(route->path, "/metrics") == 0;
    const bool is_read = strncmp(route->path, "/v1/", 4) == 0;
    return (is_metrics && config->metrics_need_token) || (is_read && config->reads_need_token)
               ? LQ_SCOPE_READ
               : NULL;
}

bool lq_route_is_free(const struct lq_route *route)
{
    return route->handler == lq_health_get || route->handler == lq_ready_get ||
           route->handler == lq_dashboard_get || route->handler == lq_assets_get;
}

bool lq_route_takes_csv(const struct lq_route *route)
{
    return route->handler == lq_price_lists_put;
}

bool lq_route_is_secret(const struct lq_route *route)
{
    return route->handler == lq_receipts_list || route->handler == lq_receipts_get ||
           route->handler == lq_outcomes_put;
}

void lq_route_print(FILE *out)
{
    for (size_t i = 0; i < LQ_ROUTE_COUNT; i++) {
        fprintf(out, "%s %s\n", LQ_ROUTES[i].method, LQ_ROUTES[i].path);
    }
}
