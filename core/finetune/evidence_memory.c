/* Chooses among fits of the memory, as evidence.c does among those of the throughput. */
#include "core/finetune/efficiency.h"
#include "core/finetune/evidence.h"
#include "core/finetune/evidence_nearness.h"

#include <math.h>
#include <string.h>

/* Standard deviations of ln(factor), in the order of struct lq_memory_factors: activation, logits,
 * overhead, communication.
 *
 * DOUBT: of the counts themselves before any measurement; those of tensors are exact where the
 * framework's source was read, context and gathered weights are not. BETWEEN_STACKS, _MODELS,
 * _IDENTITIES: how far members of a group lie apart. Fitted to the 125 public rows of 2023-2025,
 * the factors of six stacks lie within 0.93-1.06, 0.95-1.03, 1.0-1.5 and 0.8-0.97. Together with
 * what a fit misses by beside its factors they are chosen so that 90 % intervals left out by source
 * cover 85 to 97 % of the rows (GET /v1/validation, memory): not one by one, since each source
 * moves all.
 */
static const double DOUBT[LQ_MEMORY_FACTORS] = {0.05, 0.05, 0.15, 0.15};
static const double BETWEEN_STACKS[LQ_MEMORY_FACTORS] = {0.07, 0.07, 0.20, 0.15};
static const double BETWEEN_MODELS[LQ_MEMORY_FACTORS] = {0.05, 0.05, 0.10, 0.10};
static const double BETWEEN_IDENTITIES[LQ_MEMORY_FACTORS] = {0.07, 0.07, 0.15, 0.10};
/* 0.075: what peaks are off by in other ways than by factors, root mean square of the logarithm of
 * the public rows (2023-2025) left out by source; over the square root of its points where an
 * identity's own fit has absorbed it. */
static const double FORM_LOG_SD = 0.075;
/* 0.15: of a stack that nobody described: the same job on two stacks differs by 20-25 % in memory
 * (15 pairs of public rows, 2023-2024), most of which its own constants would tell. */
static const double UNKNOWN_STACK_LOG_SD = 0.15;

struct lq_belief lq_evidence_memory_doubt(void)
{
    struct lq_belief belief = {.factors = LQ_MEMORY_FACTORS};
    lq_belief_widen(&belief, DOUBT);
    return belief;
}

const double *lq_evidence_memory_member_log_sd(enum lq_scope scope)
{
    static const double *const BETWEEN[] = {[LQ_SCOPE_ALL] = BETWEEN_STACKS,
                                            [LQ_SCOPE_STACK] = BETWEEN_MODELS,
                                            [LQ_SCOPE_MODEL] = BETWEEN_IDENTITIES,
                                            [LQ_SCOPE_IDENTITY] = NULL};
    return BETWEEN[scope];
}

double lq_evidence_memory_scatter(const struct lq_fit *own)
{
    return own != NULL ? hypot(own->residual_log, FORM_LOG_SD / sqrt((double)own->points))
                       : FORM_LOG_SD;
}

struct lq_basis lq_evidence_memory(const struct lq_evidence *evidence,
                                   const struct lq_applicant *applicant)
{
    struct lq_identity identity = *applicant->identity;
    memset(identity.gpu, 0, sizeof identity.gpu); /* what a step holds is the same on any */
    const struct lq_nearest nearest =
        lq_nearest_find(evidence, LQ_FIT_MEMORY, &identity, applicant->model_class);
    struct lq_basis basis = {.kind = nearest.kind, .fit = nearest.fit};
    if (nearest.kind == LQ_BASIS_CALIBRATED) {
        basis.log_sd = lq_evidence_memory_scatter(nearest.fit);
        basis.belief = nearest.fit->belief;
        return basis;
    }
    basis.log_sd = lq_evidence_memory_scatter(NULL);
    if (nearest.fit != NULL) {
        basis.belief = lq_nearest_carry(&nearest, lq_evidence_memory_member_log_sd);
    } else {
        basis.belief = lq_evidence_memory_doubt();
        lq_belief_widen(&basis.belief, BETWEEN_STACKS);
        lq_belief_widen(&basis.belief, BETWEEN_MODELS);
        lq_belief_widen(&basis.belief, BETWEEN_IDENTITIES);
    }
    if (nearest.nearness > LQ_NEAR_SAME_STACK && lq_stack_find(identity.stack) == NULL) {
        basis.log_sd = hypot(basis.log_sd, UNKNOWN_STACK_LOG_SD);
    }
    return basis;
}

double lq_basis_memory_log_sd(const struct lq_basis *basis, const double slopes[LQ_MEMORY_FACTORS])
{
    return sqrt(lq_belief_variance(&basis->belief, slopes) + basis->log_sd * basis->log_sd);
}
