/* Fitted coefficients with what they rest on: one set per estimator and identity. */
#pragma once

#include "core/base/error.h"
#include "core/finetune/memory.h"
#include "core/finetune/point.h"
#include "core/finetune/step_time.h"

#include <stddef.h>
#include <stdint.h>

/* What a fit's coefficients mean. */
enum lq_fit_kind {
    LQ_FIT_STEP_TIME,       /* default: t0_s, t1_s_per_token, t1_s_per_token_and_expert */
    LQ_FIT_XIA2024,         /* a, c of a + c * ln(batch) / (sparsity * C3) */
    LQ_FIT_XIA2024_PRINTED, /* C2, C4 of C2 * ln(batch / (sparsity * C3)) + C4 */
    LQ_FIT_MEMORY           /* activation, logit and overhead factors of the memory model */
};
extern const char *const LQ_FIT_NAMES[];

/* How residuals are weighted. */
enum lq_fit_objective {
    LQ_OBJECTIVE_ROBUST,   /* pseudo-Huber of ln(predicted / measured) with scale 0.02 */
    LQ_OBJECTIVE_ABSOLUTE, /* squares of predicted - measured queries/s */
    LQ_OBJECTIVE_MINIMAX   /* largest miss in units of its resolution */
};
extern const char *const LQ_OBJECTIVE_NAMES[];

enum { LQ_COEFFICIENTS_MAX = 3, LQ_FIT_ID_MAX = 160 };

struct lq_fit {
    char id[LQ_FIT_ID_MAX]; /* set by whoever keeps the fit */
    enum lq_fit_kind kind;
    enum lq_fit_objective objective;
    struct lq_identity identity; /* gpu is "" where the fit spans all GPUs (memory) */
    char lengths[LQ_ID_MAX];     /* xia2024 forms: the distribution they hold for; else "" */
    int coefficients;
    double coefficient[LQ_COEFFICIENTS_MAX];
    /* of ln(coefficient) for step time and memory, of the coefficient for the xia2024 forms;
     * row-major */
    double covariance[LQ_COEFFICIENTS_MAX * LQ_COEFFICIENTS_MAX];
    double prior[LQ_COEFFICIENTS_MAX]; /* what physics alone gives for the same coefficients */
    double row_tokens;                 /* mean padded row of the points: where `prior` holds */
    double step_tokens[2];             /* fewest and most padded tokens of a measured step */
    double row_range[2];               /* shortest and longest mean padded row of a point */
    char data[LQ_ID_MAX * 2];          /* distributions of the points, see lq_conditions_data */
    unsigned model_class;              /* lq_model_class of the identity's model */
    double constant;                   /* xia2024 forms: C3 */
    size_t points;
    double rmse_queries_per_s;
    double mape;                 /* mean |predicted / measured - 1| */
    double bias;                 /* mean of predicted / measured - 1 */
    double residual_log;         /* standard deviation of ln(predicted / measured), robust */
    char newest_at[32];          /* measured_at of the newest point; "" = not known */
    char sources[LQ_ID_MAX * 2]; /* distinct sources, comma-separated, ascending */
};

/* One observation of the step time: what the forms need of a point. */
struct lq_observation {
    double batch_size;
    double active_experts;
    double row_tokens; /* mean padded tokens of a row */
    double queries_per_row;
    double gpu_count;
    double token_scale; /* work per token at row_tokens over that at the fit's mean row; about 1 */
    double queries_per_s; /* measured; > 0 */
};

/* Queries per second that a step of `step_s` seconds means for this observation's job. */
double lq_observation_rate(const struct lq_observation *o, double step_s);

/* Mean padded row of n >= 1 observations: where a fit of them takes its prior. */
double lq_observations_mean_row(const struct lq_observation *observations, size_t n);

/* Doubles of workspace for lq_fit_step_time over n observations. */
size_t lq_fit_workspace(size_t n);

/* Fits t0, t1 and t1 per active expert, all positive, to n observations of one identity.
 * prior: what physics gives; with the robust objective it is one observation of each logarithm with
 *   standard deviation 1 against the points' 0.02, so that what few points cannot tell apart stays
 *   near it; the absolute objective ignores it but starts there.
 * out: kind, objective, coefficients, covariance, prior and errors are set; id and identity are
 * not. Errors: LQ_EFIT (no observation; absolute with fewer than three). Source of the form: step
 * time against padded tokens, Xia et al. 2024 throughput data. */
LQ_MUST_USE enum lq_code lq_fit_step_time(const struct lq_observation *observations, size_t n,
                                          const struct lq_step_coefficients *prior,
                                          enum lq_fit_objective objective, double *workspace,
                                          struct lq_fit *out, struct lq_error *err);

/* The step coefficients of a step-time fit. */
struct lq_step_coefficients lq_fit_step_coefficients(const struct lq_fit *fit);

/* Queries per second that a fit of any step-time or xia2024 kind predicts for a job like `o`
 * (its queries_per_s is not read). `experts`: routed experts of the model, 0 for dense. */
double lq_fit_predict(const struct lq_fit *fit, const struct lq_observation *o, double experts);

/* Fills rmse, mape, bias and residual_log of a fit from the observations it was made of. */
void lq_fit_errors(struct lq_fit *fit, const struct lq_observation *observations, size_t n,
                   double experts);

/* What was seen of memory. */
enum lq_memory_evidence {
    LQ_MEMORY_LARGEST,  /* the batch fitted `held_bytes`, and one more row did not */
    LQ_MEMORY_PEAK,     /* the batch took `held_bytes`, as far as its stack's scope counts */
    LQ_MEMORY_TOO_LARGE /* the batch did not fit `held_bytes` */
};

struct lq_memory_observation {
    struct lq_memory memory;
    enum lq_memory_evidence kind;
    double batch_size;
    double row_tokens;
    double held_bytes;
};

/* The factors that a memory fit stands for; all 1 for NULL. */
struct lq_memory_factors lq_fit_memory_factors(const struct lq_fit *fit);

/* Fits a factor of activations (and logits, if that is better) and one of the overhead. A miss is
 * the logarithm of predicted over measured, batch or peak, over what is allowed: one query or 15 %,
 * whichever is more. The factors minimise the largest miss, since a batch is chosen where the model
 * is worst, and stay near 1 where they have a choice. out: as above, coefficients are the three
 * factors. Errors: LQ_EFIT (no usable observation). */
LQ_MUST_USE enum lq_code lq_fit_memory(const struct lq_memory_observation *observations, size_t n,
                                       struct lq_fit *out, struct lq_error *err);
