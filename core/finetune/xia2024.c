/* The formulas of Xia et al. 2024 and their fit. Their known inconsistencies are in
 * migrations/seed/xia2024/README.md; numbers are reproduced, mistakes are not. */
#include "core/finetune/xia2024.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const struct {
    const char *model;
    double c3;
    bool has_code;
    struct lq_xia2024_batch code;
    struct lq_xia2024_batch printed;
} MODELS[] = {
    /* analytical_capacity/plot.py; section V-A; Table I */
    {"mixtral-8x7b", 1.8, true, {62.0, 0.89, 23.35}, {82.0, 0.95, 23.35}},
    /* section V-A alone: the code has no pair for it */
    {"blackmamba-2.8b", 2.5, false, {83.0, 0.88, 5.6}, {83.0, 0.88, 5.6}},
};

const struct lq_xia2024_batch *lq_xia2024_batch_find(const char *model, bool printed)
{
    for (size_t i = 0; i < sizeof MODELS / sizeof MODELS[0]; i++) {
        if (strcmp(MODELS[i].model, model) == 0) {
            return printed || !MODELS[i].has_code ? &MODELS[i].printed : &MODELS[i].code;
        }
    }
    return NULL;
}

double lq_xia2024_c3(const char *model)
{
    for (size_t i = 0; i < sizeof MODELS / sizeof MODELS[0]; i++) {
        if (strcmp(MODELS[i].model, model) == 0) {
            return MODELS[i].c3;
        }
    }
    return 1.0;
}

int64_t lq_xia2024_max_batch(const struct lq_xia2024_batch *c, double gpu_gb, double tokens,
                             double sparsity)
{
    const double batch =
        c->c0 * (gpu_gb - c->model_gb) / (tokens * ((1.0 - c->c1) + c->c1 * sparsity));
    return batch >= 1.0 ? (int64_t)floor(batch) : 0;
}

static double abscissa(enum lq_fit_kind kind, double c3, double batch, double sparsity)
{
    return kind == LQ_FIT_XIA2024 ? log(batch) / (sparsity * c3) : log(batch / (sparsity * c3));
}

double lq_xia2024_rate(const double coefficient[], double c3, double batch, double sparsity)
{
    return coefficient[0] + coefficient[1] * abscissa(LQ_FIT_XIA2024, c3, batch, sparsity);
}

double lq_xia2024_printed_rate(const double coefficient[], double c3, double batch, double sparsity)
{
    return coefficient[0] * abscissa(LQ_FIT_XIA2024_PRINTED, c3, batch, sparsity) + coefficient[1];
}

enum lq_code lq_fit_xia2024(enum lq_fit_kind kind, const struct lq_observation *observations,
                            size_t n, double experts, double c3, struct lq_fit *out,
                            struct lq_error *err)
{
    double sx = 0.0;
    double sy = 0.0;
    double sxx = 0.0;
    double sxy = 0.0;
    for (size_t i = 0; i < n; i++) {
        const struct lq_observation *o = &observations[i];
        const double sparsity = experts > 0.0 ? o->active_experts / experts : 1.0;
        const double x = abscissa(kind, c3, o->batch_size, sparsity);
        sx += x;
        sy += o->queries_per_s;
        sxx += x * x;
        sxy += x * o->queries_per_s;
    }
    const double count = (double)n;
    const double determinant = count * sxx - sx * sx;
    if (n < 2 || !(determinant > 1e-12 * count * sxx)) {
        return lq_fail(err, LQ_EFIT, NULL,
                       "%zu points at one batch size and sparsity do not determine a slope", n);
    }
    const double slope = (count * sxy - sx * sy) / determinant;
    const double intercept = (sy - slope * sx) / count;
    out->kind = kind;
    out->objective = LQ_OBJECTIVE_ABSOLUTE;
    out->coefficients = 2;
    out->coefficient[0] = kind == LQ_FIT_XIA2024 ? intercept : slope;
    out->coefficient[1] = kind == LQ_FIT_XIA2024 ? slope : intercept;
    out->constant = c3;
    struct lq_fit_sums sums = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        lq_fit_sums_add(&sums, lq_fit_predict(out, &observations[i], experts),
                        observations[i].queries_per_s);
    }
    lq_fit_set_errors(out, &sums);
    return LQ_OK;
}
