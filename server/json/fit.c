/* Encodes fits. */
#include "server/json/fit.h"

#include "server/json/calibration.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Names of coefficients, with their units, by kind of fit. */
static const char *const NAMES[][LQ_COEFFICIENTS_MAX] = {
    [LQ_FIT_STEP_TIME] = {"t0_s", "t1_s_per_token", "t1_s_per_token_and_active_expert"},
    [LQ_FIT_XIA2024] = {"a", "c", NULL},
    [LQ_FIT_XIA2024_PRINTED] = {"c2", "c4", NULL},
    [LQ_FIT_MEMORY] = {"activation_factor", "logit_factor", "overhead_factor"},
};

static const char *const FORMULAS[] = {
    [LQ_FIT_STEP_TIME] =
        "step_s = t0 + (t1 + active_experts * t1_expert) * batch * mean_longest(batch)",
    [LQ_FIT_XIA2024] = "queries_per_s = a + c * ln(batch) / (sparsity * c3)",
    [LQ_FIT_XIA2024_PRINTED] = "queries_per_s = c2 * ln(batch / (sparsity * c3)) + c4",
    [LQ_FIT_MEMORY] =
        ("memory_bytes = states + activation_factor * activations + logit_factor * logits"
         " + overhead_factor * (context + fragmentation)"),
};

/* A number of the j-th coefficient; null where the job has no work for it (experts of a dense
 * model). */
static json_t *number_encode(const struct lq_fit *fit, int j, double number)
{
    const bool idle = fit->kind == LQ_FIT_STEP_TIME && !(fit->prior[j] > 0.0);
    return idle ? json_null() : json_real(number);
}

static json_t *coefficients_encode(const struct lq_fit *fit)
{
    json_t *o = json_object();
    for (int j = 0; j < fit->coefficients; j++) {
        json_object_set_new(o, NAMES[fit->kind][j], number_encode(fit, j, fit->coefficient[j]));
    }
    if (fit->kind == LQ_FIT_XIA2024 || fit->kind == LQ_FIT_XIA2024_PRINTED) {
        json_object_set_new(o, "c3", json_real(fit->constant));
    }
    return o;
}

/* Standard errors relative to the coefficient: the covariance is that of logarithms. */
static json_t *errors_encode(const struct lq_fit *fit)
{
    if (fit->kind != LQ_FIT_STEP_TIME && fit->kind != LQ_FIT_MEMORY) {
        return json_null();
    }
    json_t *o = json_object();
    for (int j = 0; j < fit->coefficients; j++) {
        const double variance = fit->covariance[j * LQ_COEFFICIENTS_MAX + j];
        json_object_set_new(o, NAMES[fit->kind][j], number_encode(fit, j, sqrt(variance)));
    }
    return o;
}

/* What physics alone gives for the same coefficients. */
static json_t *prior_encode(const struct lq_fit *fit)
{
    if (fit->kind != LQ_FIT_STEP_TIME && fit->kind != LQ_FIT_MEMORY) {
        return json_null();
    }
    json_t *o = json_object();
    for (int j = 0; j < fit->coefficients; j++) {
        json_object_set_new(o, NAMES[fit->kind][j], number_encode(fit, j, fit->prior[j]));
    }
    return o;
}

static json_t *sources_encode(const char *sources)
{
    json_t *list = json_array();
    while (*sources != '\0') {
        const size_t length = strcspn(sources, ",");
        json_array_append_new(list, json_stringn(sources, length));
        sources += length;
        sources += strspn(sources, ",");
    }
    return list;
}

json_t *lq_fit_encode(const struct lq_fit *fit)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(fit->id));
    json_object_set_new(o, "estimator", json_string(LQ_FIT_NAMES[fit->kind]));
    json_object_set_new(o, "formula", json_string(FORMULAS[fit->kind]));
    json_object_set_new(o, "objective", json_string(LQ_OBJECTIVE_NAMES[fit->objective]));
    json_object_set_new(o, "identity", lq_identity_encode(&fit->identity));
    json_object_set_new(o, "lengths",
                        fit->lengths[0] != '\0' ? json_string(fit->lengths) : json_null());
    json_object_set_new(o, "coefficients", coefficients_encode(fit));
    json_object_set_new(o, "relative_standard_errors", errors_encode(fit));
    json_object_set_new(o, "prior", prior_encode(fit));
    json_object_set_new(o, "points", json_integer((json_int_t)fit->points));
    json_object_set_new(o, "newest_point_at",
                        fit->newest_at[0] != '\0' ? json_string(fit->newest_at) : json_null());
    json_object_set_new(o, "sources", sources_encode(fit->sources));
    if (fit->kind != LQ_FIT_MEMORY) {
        json_object_set_new(o, "rmse_queries_per_s", json_real(fit->rmse_queries_per_s));
    }
    json_object_set_new(o, "mape", json_real(fit->mape));
    json_object_set_new(o, "bias", json_real(fit->bias));
    json_object_set_new(o, "residual_log", json_real(fit->residual_log));
    return o;
}
