/* Fitted coefficients with what they rest on: one set per estimator and identity. */
#pragma once

#include "core/base/error.h"
#include "core/finetune/memory.h"
#include "core/finetune/point.h"
#include "core/finetune/regress.h"
#include "core/finetune/step_time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a fit's coefficients mean. */
enum lq_fit_kind {
    LQ_FIT_STEP_TIME,       /* default: factors of the step-time model, LQ_FACTOR_NAMES */
    LQ_FIT_XIA2024,         /* a, c of a + c * ln(batch) / (sparsity * C3) */
    LQ_FIT_XIA2024_PRINTED, /* C2, C4 of C2 * ln(batch / (sparsity * C3)) + C4 */
    LQ_FIT_MEMORY           /* factors of the memory model, struct lq_memory_factors */
};
extern const char *const LQ_FIT_NAMES[];

/* How much measurements of one fit have in common. Each scope's fit starts from the belief that the
 * next wider one came to, so that one mechanism runs from no evidence to plenty. */
enum lq_scope {
    LQ_SCOPE_ALL,     /* everything measured */
    LQ_SCOPE_STACK,   /* one software stack */
    LQ_SCOPE_MODEL,   /* one stack, model and kind of method */
    LQ_SCOPE_IDENTITY /* all that identifies a measurement */
};
extern const char *const LQ_SCOPE_NAMES[];

/* How residuals are weighted. */
enum lq_fit_objective {
    LQ_OBJECTIVE_ROBUST,   /* pseudo-Huber of ln(predicted / measured) with a prior */
    LQ_OBJECTIVE_ABSOLUTE, /* squares of predicted - measured queries/s */
    LQ_OBJECTIVE_MINIMAX   /* largest miss in units of its resolution */
};
extern const char *const LQ_OBJECTIVE_NAMES[];

enum { LQ_COEFFICIENTS_MAX = LQ_FACTORS_MAX, LQ_FIT_ID_MAX = 160 };

struct lq_fit {
    char id[LQ_FIT_ID_MAX]; /* set by whoever keeps the fit */
    enum lq_fit_kind kind;
    enum lq_fit_objective objective;
    enum lq_scope scope;
    struct lq_identity identity; /* what the scope leaves open is "" or zero; memory: no GPU */
    char lengths[LQ_ID_MAX];     /* xia2024 forms: the distribution they hold for; else "" */
    int coefficients;
    double coefficient[LQ_COEFFICIENTS_MAX];
    struct lq_belief belief;           /* step time: of ln(coefficient) */
    double prior[LQ_COEFFICIENTS_MAX]; /* the coefficients of the next wider scope */
    double step_tokens[2];             /* fewest and most padded tokens of a measured step */
    double row_range[2];               /* shortest and longest mean padded row of a point */
    char data[LQ_ID_MAX * 2];          /* distributions of the points, see lq_conditions_data */
    unsigned calibrated;               /* bits lq_fit_class of the calibrations among the points */
    double constant;                   /* xia2024 forms: C3 */
    size_t points;
    double rmse_queries_per_s;
    double mape;                 /* mean |predicted / measured - 1| */
    double bias;                 /* mean of predicted / measured - 1 */
    double residual_log;         /* standard deviation of ln(predicted / measured) */
    char newest_at[32];          /* measured_at of the newest point; "" = not known */
    char sources[LQ_ID_MAX * 2]; /* distinct sources, comma-separated, ascending */
};

/* The bit of a kind of method on a class of models (lq_model_class): what calibrations of one stack
 * carry over to. */
unsigned lq_fit_class(enum lq_method_kind kind, unsigned model_class);

/* One observation of throughput: what the xia2024 forms need of a point. */
struct lq_observation {
    double batch_size;
    double active_experts;
    double row_tokens; /* mean padded tokens of a row */
    double queries_per_row;
    double gpu_count;
    double queries_per_s; /* measured; > 0 */
};

/* Queries per second that a form of Xia et al. predicts for a job like `o` (its queries_per_s is
 * not read); 0 for other kinds. `experts`: routed experts of the model, 0 for dense. */
double lq_fit_predict(const struct lq_fit *fit, const struct lq_observation *o, double experts);

/* Errors of a fit as they add up, pair by pair of queries/s. Start from zero. */
struct lq_fit_sums {
    size_t n;
    double squares;
    double relative;
    double bias;
    double log_squares;
};
void lq_fit_sums_add(struct lq_fit_sums *sums, double predicted, double measured);

/* Sets points, rmse, mape, bias and residual_log of a fit from n >= 1 pairs. */
void lq_fit_set_errors(struct lq_fit *fit, const struct lq_fit_sums *sums);

/* One measured step: its physics, and what was seen. */
struct lq_step_observation {
    struct lq_step_parts parts;
    double step_s;  /* of one micro-batch */
    double queries; /* finished with it by all devices */
};

/* A measured step in a sample. */
struct lq_timed_step {
    size_t parts;    /* which of the sample's parts it worked through */
    double step_s;   /* of one micro-batch */
    double queries;  /* finished with it by all devices */
    double siblings; /* steps of the same member of the group, this one included */
};

/* Measured steps. Those that did the same work share its parts, which are large and slow to
 * evaluate: a sample costs what its different work costs, however often each was measured. */
struct lq_step_sample {
    const struct lq_step_parts *parts;
    size_t parts_count;
    const struct lq_timed_step *steps;
    size_t count;
};

/* How many doubles of scratch a fit of such a sample takes. */
size_t lq_step_sample_scratch(const struct lq_step_sample *sample);

/* Fits the factors to a sample of one measured step or more.
 * prior: belief about the group's factors · member_log_sd: by how much members of the group differ
 * in each factor, LQ_FACTOR_COUNT entries; NULL where the group is one identity. Observations of
 * one member share its difference, so that many of them count little more than one. scratch:
 * lq_step_sample_scratch doubles. out: kind, objective, coefficients, belief, prior and errors are
 * set. Errors: LQ_EFIT. */
LQ_MUST_USE enum lq_code lq_fit_step_time(const struct lq_step_sample *sample,
                                          const struct lq_belief *prior,
                                          const double *member_log_sd, double *scratch,
                                          struct lq_fit *out, struct lq_error *err);

/* Seconds of a micro-batch by a step-time fit's factors. */
double lq_fit_step_s(const struct lq_fit *fit, const struct lq_step_parts *parts);

/* What was seen of memory. */
enum lq_memory_evidence {
    LQ_MEMORY_LARGEST,  /* the batch fitted `held_bytes`, and one more row did not */
    LQ_MEMORY_PEAK,     /* the batch took `held_bytes`, as far as memory.scope counts */
    LQ_MEMORY_TOO_LARGE /* the batch did not fit `held_bytes` */
};

struct lq_memory_observation {
    struct lq_memory memory;
    enum lq_memory_evidence kind;
    double batch_size;
    double row_tokens;
    double held_bytes;
    double siblings; /* observations of the same member of the group, this one included */
};

/* The factors that a belief about them comes to. */
struct lq_memory_factors lq_memory_factors_of(const struct lq_belief *belief);

/* Whether any factors explain an observation: batch and row are positive, and not even with next to
 * no activations is it larger than what was held. */
bool lq_memory_is_usable(const struct lq_memory_observation *observation);

/* The bytes to compare with those held, at the factors, and d ln / d ln(factor) (may be NULL): a
 * peak's as far as its scope counts; else all, since a device has to hold all of it. */
double lq_memory_observed_bytes(const struct lq_memory_observation *observation,
                                const struct lq_memory_factors *factors,
                                double slopes[LQ_MEMORY_FACTORS]);

/* ln(predicted / held) of an observation, and its gradient by ln(factor): of a peak as it is; of a
 * largest batch where even it exceeds the device, or one more row does not; of one that did not fit
 * where it would. Else 0; inside the bracket of a largest batch the gradient stays that of the
 * batch, since the bracket, too, holds the factors. */
double lq_memory_log_ratio(const struct lq_memory_observation *observation,
                           const struct lq_memory_factors *factors,
                           double gradient[LQ_MEMORY_FACTORS]);

/* Fits the factors to n >= 1 usable observations; arguments and results as of lq_fit_step_time,
 * with member_log_sd of LQ_MEMORY_FACTORS entries. Where one identity's evidence has largest
 * batches its factors are those of lq_fit_memory_largest. Errors: LQ_EFIT. */
LQ_MUST_USE enum lq_code lq_fit_memory(const struct lq_memory_observation *observations, size_t n,
                                       const struct lq_belief *prior, const double *member_log_sd,
                                       double *scratch, struct lq_fit *out, struct lq_error *err);

/* Moves the means of activation, logits and overhead to where the largest miss of n >= 1 usable
 * observations is least, since a batch is chosen where the model is worst. A miss is the logarithm
 * of predicted over measured, batch or peak, over what is allowed: one query or 15 %, whichever is
 * more. Where the evidence leaves a choice they stay near the prior. */
void lq_fit_memory_largest(const struct lq_memory_observation *observations, size_t n,
                           const struct lq_belief *prior, struct lq_belief *belief);
