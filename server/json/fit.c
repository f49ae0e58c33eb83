/* Encodes fits. */
#include "server/json/fit.h"

#include "server/json/calibration.h"
#include "server/json/member.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Names of coefficients by kind of fit; those of the step time are its factors'. */
static const char *const NAMES[][LQ_MEMORY_FACTORS] = {
    [LQ_FIT_XIA2024] = {"a", "c"},
    [LQ_FIT_XIA2024_PRINTED] = {"c2", "c4"},
    [LQ_FIT_MEMORY] = {"activation_factor", "logit_factor", "overhead_factor",
                       "communication_factor"},
};

static const char *const FORMULAS[] = {
    [LQ_FIT_STEP_TIME] =
        "step_s = input + ((forward + backward)^1.6 + host^1.6)^(1/1.6) + optimizer "
        "+ network, each the physics' seconds times its factor",
    [LQ_FIT_XIA2024] = "queries_per_s = a + c * ln(batch) / (sparsity * c3)",
    [LQ_FIT_XIA2024_PRINTED] = "queries_per_s = c2 * ln(batch / (sparsity * c3)) + c4",
    [LQ_FIT_MEMORY] =
        ("memory_bytes = states + activation_factor * activations + logit_factor * logits"
         " + overhead_factor * (context + fragmentation) + communication_factor * gathered"),
};

static const char *name_of(const struct lq_fit *fit, int j)
{
    return fit->kind == LQ_FIT_STEP_TIME ? LQ_FACTOR_NAMES[j] : NAMES[fit->kind][j];
}

static bool has_belief(const struct lq_fit *fit)
{
    return fit->kind == LQ_FIT_STEP_TIME || fit->kind == LQ_FIT_MEMORY;
}

static json_t *coefficients_encode(const struct lq_fit *fit)
{
    json_t *o = json_object();
    for (int j = 0; j < fit->coefficients; j++) {
        json_object_set_new(o, name_of(fit, j), json_real(fit->coefficient[j]));
    }
    if (!has_belief(fit)) {
        json_object_set_new(o, "c3", json_real(fit->constant));
    }
    return o;
}

/* Standard errors relative to the coefficient: the belief is about logarithms. */
static json_t *errors_encode(const struct lq_fit *fit)
{
    if (!has_belief(fit)) {
        return json_null();
    }
    json_t *o = json_object();
    for (int j = 0; j < fit->coefficients; j++) {
        const double variance = fit->belief.covariance[j * LQ_FACTORS_MAX + j];
        json_object_set_new(o, name_of(fit, j), json_real(sqrt(variance)));
    }
    return o;
}

/* The same coefficients of the next wider scope, where the fit started from. */
static json_t *prior_encode(const struct lq_fit *fit)
{
    if (!has_belief(fit)) {
        return json_null();
    }
    json_t *o = json_object();
    for (int j = 0; j < fit->coefficients; j++) {
        json_object_set_new(o, name_of(fit, j), json_real(fit->prior[j]));
    }
    return o;
}

json_t *lq_sources_encode(const char *sources)
{
    json_t *list = json_array();
    while (*sources != '\0') {
        const size_t length = strcspn(sources, ",");
        json_array_append_new(list, json_stringn(sources, length));
        sources += length;
        sources += strspn(sources, ", ");
    }
    return list;
}

/* What the fit's points have in common; null where its scope leaves it open. */
static json_t *group_encode(const struct lq_fit *fit)
{
    const bool has_method = fit->scope >= LQ_SCOPE_MODEL;
    json_t *o = json_object();
    json_object_set_new(o, "stack", lq_text_or_null(fit->identity.stack));
    json_object_set_new(o, "model", lq_text_or_null(fit->identity.model));
    json_object_set_new(o, "method",
                        has_method ? json_string(LQ_METHOD_NAMES[fit->identity.method.kind])
                                   : json_null());
    return o;
}

json_t *lq_fit_encode(const struct lq_fit *fit)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(fit->id));
    json_object_set_new(o, "estimator", json_string(LQ_FIT_NAMES[fit->kind]));
    json_object_set_new(o, "scope", json_string(LQ_SCOPE_NAMES[fit->scope]));
    json_object_set_new(o, "formula", json_string(FORMULAS[fit->kind]));
    json_object_set_new(o, "objective", json_string(LQ_OBJECTIVE_NAMES[fit->objective]));
    json_object_set_new(o, "group", group_encode(fit));
    json_object_set_new(o, "identity",
                        fit->scope == LQ_SCOPE_IDENTITY ? lq_identity_encode(&fit->identity)
                                                        : json_null());
    json_object_set_new(o, "lengths", lq_text_or_null(fit->lengths));
    json_object_set_new(o, "coefficients", coefficients_encode(fit));
    json_object_set_new(o, "relative_standard_errors", errors_encode(fit));
    json_object_set_new(o, "prior", prior_encode(fit));
    json_object_set_new(o, "points", json_integer((json_int_t)fit->points));
    json_object_set_new(o, "newest_point_at", lq_text_or_null(fit->newest_at));
    json_object_set_new(o, "sources", lq_sources_encode(fit->sources));
    if (fit->kind != LQ_FIT_MEMORY) {
        json_object_set_new(o, "rmse_queries_per_s", json_real(fit->rmse_queries_per_s));
    }
    json_object_set_new(o, "mape", json_real(fit->mape));
    json_object_set_new(o, "bias", json_real(fit->bias));
    json_object_set_new(o, "residual_log", json_real(fit->residual_log));
    return o;
}
