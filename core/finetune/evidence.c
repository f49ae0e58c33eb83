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
static const double BETWEEN_STACKS[LQ_FACTOR_COUNT] = {0.18, 0.30, 0.25, 0.08,
                                                       0.25, 0.40, 1.00, 0.45};
static const double BETWEEN_MODELS[LQ_FACTOR_COUNT] = {0.20, 0.25, 0.12, 0.05,
                                                       0.15, 0.35, 0.90, 0.30};
static const double BETWEEN_IDENTITIES[LQ_FACTOR_COUNT] = {0.15, 0.30, 0.10, 0.03,
                                                           0.50, 0.30, 0.70, 0.25};
/* 0.05: a fit on CS misses MATH by 0.5 % (Mixtral) and 5.7 % (BlackMamba), both miss profiled steps
 * of 128 tokens by 11 and 28 % (GET /v1/validation), which is further than most data are apart. */
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
    static const double *const BETWEEN[] = {[LQ_SCOPE_ALL] = BETWEEN_STACKS,
                                            [LQ_SCOPE_STACK] = BETWEEN_MODELS,
                                            [LQ_SCOPE_MODEL] = BETWEEN_IDENTITIES,
                                            [LQ_SCOPE_IDENTITY] = NULL};
    return BETWEEN[scope];
}

struct lq_basis lq_evidence_step(const struct lq_evidence *evidence,
                                 const struct lq_applicant *applicant)
{
    const struct lq_nearest nearest =
        lq_nearest_find(evidence, LQ_FIT_STEP_TIME, applicant->identity, applicant->model_class);
    struct lq_basis basis = {.kind = nearest.kind, .fit = nearest.fit};
    if (nearest.fit == NULL) {
        basis.belief = lq_evidence_doubt();
        lq_belief_widen(&basis.belief, BETWEEN_STACKS);
        lq_belief_widen(&basis.belief, BETWEEN_MODELS);
        lq_belief_widen(&basis.belief, BETWEEN_IDENTITIES);
        return basis;
    }
    basis.belief = lq_nearest_carry(&nearest, lq_evidence_member_log_sd);
    if (basis.kind == LQ_BASIS_CALIBRATED) {
        const bool same_data = lq_names_contain(basis.fit->data, applicant->data);
        basis.log_sd = hypot(lq_evidence_scatter(basis.fit), same_data ? 0.0 : DATA_LOG_SD);
    }
    return basis;
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
