/* Chooses among fits of the throughput. The spreads below are out-of-sample errors, not tuning
 * knobs; those of memory are in evidence_memory.c, measured points in evidence_points.c. */
#include "core/finetune/evidence.h"

#include "core/base/names.h"
#include "core/finetune/evidence_nearness.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

const char *const LQ_BASIS_NAMES[] = {"calibrated", "transferred", "prior", NULL};

/* Standard deviations of ln(factor), in the order of enum lq_factor: matmul, expert, sequence,
 * traffic, dequantisation, host, input, network.
 *
 * DOUBT: of the constants themselves before any measurement. dequantisation is tight because
 * kernels were profiled (Xia et al. 2024, Fig. 6); input is nearly free. BETWEEN_STACKS, _MODELS,
 * _IDENTITIES: how far members of a group lie apart. Chosen so that 90 % intervals left out by
 * source cover 85 to 97 % of the public rows (GET /v1/validation shows it): not derived one by one,
 * since each source moves all of them. */
static const double DOUBT[LQ_FACTOR_COUNT] = {0.30, 0.30, 0.25, 0.10, 0.10, 0.40, 1.00, 0.50};
static const double BETWEEN_STACKS[LQ_FACTOR_COUNT] = {0.23, 0.35, 0.30, 0.10,
                                                       0.25, 0.45, 1.20, 0.50};
static const double BETWEEN_MODELS[LQ_FACTOR_COUNT] = {0.25, 0.30, 0.15, 0.05,
                                                       0.15, 0.40, 1.00, 0.30};
static const double BETWEEN_IDENTITIES[LQ_FACTOR_COUNT] = {0.15, 0.30, 0.10, 0.03,
                                                           0.50, 0.30, 0.70, 0.25};
/* 0.05: a fit on CS misses MATH by 0.6 % (Mixtral) and up to 9 % (BlackMamba), both miss profiled
 * steps of 128 tokens by 8 and 16 % (GET /v1/validation). */
static const double DATA_LOG_SD = 0.05;
/* 0.10 over the square root of its points: what an identity's fit misses by in other ways than its
 * factors, left out point by point (GET /v1/validation, held out: point). */
static const double FORM_LOG_SD = 0.10;
/* 0.02: scatter of repeated runs of one job, 1-2 % in Xia et al.'s tables. Part of every interval.
 */
static const double RUN_LOG_SD = 0.02;

struct lq_belief lq_evidence_doubt(void)
{
    struct lq_belief belief = {.factors = LQ_FACTOR_COUNT};
    lq_belief_widen(&belief, DOUBT);
    return belief;
}

const double *lq_evidence_member_log_sd(enum lq_scope scope)
{
    switch (scope) {
    case LQ_SCOPE_ALL:
        return BETWEEN_STACKS;
    case LQ_SCOPE_STACK:
        return BETWEEN_MODELS;
    case LQ_SCOPE_MODEL:
        return BETWEEN_IDENTITIES;
    case LQ_SCOPE_IDENTITY:
        break;
    }
    return NULL;
}

enum lq_nearness lq_nearness_of(const struct lq_fit *fit, const struct lq_identity *of)
{
    const struct lq_identity *own = &fit->identity;
    switch (fit->scope) {
    case LQ_SCOPE_ALL:
        return LQ_NEAR_ANYTHING;
    case LQ_SCOPE_STACK:
        return strcmp(own->stack, of->stack) == 0 ? LQ_NEAR_SAME_STACK : LQ_NEAR_NOTHING;
    case LQ_SCOPE_MODEL:
        if (strcmp(own->model, of->model) != 0 || own->method.kind != of->method.kind) {
            return LQ_NEAR_NOTHING;
        }
        return strcmp(own->stack, of->stack) == 0 ? LQ_NEAR_SAME_MODEL : LQ_NEAR_OTHER_STACK;
    case LQ_SCOPE_IDENTITY:
        return lq_identity_equal(own, of) ? LQ_NEAR_OWN : LQ_NEAR_NOTHING;
    }
    return LQ_NEAR_NOTHING;
}

struct lq_belief lq_nearness_carry(const struct lq_fit *fit, enum lq_nearness nearness,
                                   const double *(*member_log_sd)(enum lq_scope scope))
{
    struct lq_belief belief = fit->belief;
    if (nearness == LQ_NEAR_OTHER_STACK || nearness == LQ_NEAR_ANYTHING) {
        lq_belief_widen(&belief, member_log_sd(LQ_SCOPE_ALL));
    }
    if (nearness == LQ_NEAR_SAME_STACK || nearness == LQ_NEAR_ANYTHING) {
        lq_belief_widen(&belief, member_log_sd(LQ_SCOPE_STACK));
    }
    return belief;
}

enum lq_basis_kind lq_nearness_kind(const struct lq_fit *fit, enum lq_nearness nearness,
                                    const struct lq_applicant *applicant)
{
    switch (nearness) {
    case LQ_NEAR_OWN:
        return LQ_BASIS_CALIBRATED;
    case LQ_NEAR_SAME_MODEL:
    case LQ_NEAR_OTHER_STACK:
        return LQ_BASIS_TRANSFERRED;
    case LQ_NEAR_SAME_STACK: {
        const unsigned own = lq_fit_class(applicant->identity->method.kind, applicant->model_class);
        return (fit->calibrated & own) != 0 ? LQ_BASIS_TRANSFERRED : LQ_BASIS_PRIOR;
    }
    case LQ_NEAR_ANYTHING:
    case LQ_NEAR_NOTHING:
        break;
    }
    return LQ_BASIS_PRIOR;
}

static double step_variance(const struct lq_belief *belief, const struct lq_step_parts *parts)
{
    double factor[LQ_FACTOR_COUNT];
    struct lq_step_time step;
    lq_belief_factors(belief, factor);
    lq_step_evaluate(parts, factor, &step);
    return lq_belief_variance(belief, step.share);
}

struct lq_basis lq_evidence_step(const struct lq_evidence *evidence,
                                 const struct lq_applicant *applicant)
{
    struct lq_basis best = {.kind = LQ_BASIS_PRIOR, .belief = lq_evidence_doubt()};
    enum lq_nearness best_nearness = LQ_NEAR_NOTHING;
    double least = HUGE_VAL;
    lq_belief_widen(&best.belief, BETWEEN_STACKS);
    for (size_t i = 0; i < evidence->fit_count; i++) {
        const struct lq_fit *fit = &evidence->fits[i];
        const enum lq_nearness nearness = fit->kind == LQ_FIT_STEP_TIME
                                              ? lq_nearness_of(fit, applicant->identity)
                                              : LQ_NEAR_NOTHING;
        if (nearness == LQ_NEAR_NOTHING ||
            (best_nearness <= LQ_NEAR_SAME_MODEL && nearness >= best_nearness)) {
            continue;
        }
        const struct lq_belief belief = lq_nearness_carry(fit, nearness, lq_evidence_member_log_sd);
        /* what is the job's own, or its model's, needs no comparison */
        const double variance =
            nearness <= LQ_NEAR_SAME_MODEL ? 0.0 : step_variance(&belief, applicant->parts);
        if (nearness <= LQ_NEAR_SAME_MODEL || variance < least) {
            least = variance;
            best_nearness = nearness;
            best.fit = fit;
            best.belief = belief;
        }
    }
    if (best.fit == NULL) {
        return best;
    }
    best.kind = lq_nearness_kind(best.fit, best_nearness, applicant);
    if (best.kind == LQ_BASIS_CALIBRATED) {
        const bool same_data = lq_names_contain(best.fit->data, applicant->data);
        best.log_sd = hypot(lq_evidence_scatter(best.fit), same_data ? 0.0 : DATA_LOG_SD);
    }
    return best;
}

double lq_evidence_scatter(const struct lq_fit *fit)
{
    return hypot(fit->residual_log, FORM_LOG_SD / sqrt((double)fit->points));
}

double lq_basis_log_sd(const struct lq_basis *basis, const struct lq_step_time *step)
{
    return sqrt(lq_belief_variance(&basis->belief, step->share) + basis->log_sd * basis->log_sd +
                RUN_LOG_SD * RUN_LOG_SD);
}

const struct lq_fit *lq_evidence_xia2024(const struct lq_evidence *evidence, enum lq_fit_kind kind,
                                         const struct lq_identity *identity, const char *lengths)
{
    for (size_t i = 0; i < evidence->fit_count; i++) {
        const struct lq_fit *fit = &evidence->fits[i];
        if (fit->kind == kind && strcmp(fit->lengths, lengths) == 0 &&
            lq_identity_equal(&fit->identity, identity)) {
            return fit;
        }
    }
    return NULL;
}
