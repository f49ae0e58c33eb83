/* Chooses among fits and points. The spreads below are out-of-sample errors, not tuning knobs. */
#include "core/finetune/evidence.h"

#include "core/base/names.h"

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
/* The same for ln(bytes of the peak).
 * fitted 0.07: published largest batches that contradict each other by 20-25 % of their tokens
 *   (Mixtral, half of whose memory is activations), and peaks of one stack about its own factors.
 * part 0.05: ASSUMED; a peak measured with one setting changed tells.
 * stack 0.10, prior 0.14: peaks of 87 public runs with every constant but the stack's own taken
 *   from other sources, root mean square of the logarithm 0.08 on one device and 0.10 on more;
 *   larger, since no other stack's structure was looked at. */
static const double MEMORY_FITTED_LOG_SD = 0.07;
static const double MEMORY_PART_LOG_SD = 0.05;
static const double MEMORY_STACK_LOG_SD = 0.10;
static const double MEMORY_PRIOR_LOG_SD = 0.14;

static double square(double x)
{
    return x * x;
}

/* How many settings of the run differ, beside model, GPU, GPU count and stack. */
static int differing_settings(const struct lq_identity *a, const struct lq_identity *b)
{
    return (a->method.rank != b->method.rank) + (a->method.targets != b->method.targets) +
           (a->method.quantization != b->method.quantization) +
           (a->method.train_embeddings != b->method.train_embeddings) +
           (a->precision != b->precision) + (a->optimizer != b->optimizer) +
           (a->checkpointing != b->checkpointing);
}

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

/* How far a fit is from the job. Order is that of preference where variance does not decide. */
enum nearness { OWN, SAME_MODEL, SAME_STACK, OTHER_STACK, ANYTHING, NOTHING };

static enum nearness nearness_of(const struct lq_fit *fit, const struct lq_applicant *applicant)
{
    const struct lq_identity *a = &fit->identity;
    const struct lq_identity *b = applicant->identity;
    if (fit->kind != LQ_FIT_STEP_TIME) {
        return NOTHING;
    }
    const bool same_stack = strcmp(a->stack, b->stack) == 0;
    switch (fit->scope) {
    case LQ_SCOPE_ALL:
        return ANYTHING;
    case LQ_SCOPE_STACK:
        return same_stack ? SAME_STACK : NOTHING;
    case LQ_SCOPE_MODEL:
        if (a->method.kind != b->method.kind || strcmp(a->model, b->model) != 0) {
            return NOTHING;
        }
        return same_stack ? SAME_MODEL : OTHER_STACK;
    case LQ_SCOPE_IDENTITY:
        return lq_identity_equal(a, b) ? OWN : NOTHING;
    }
    return NOTHING;
}

/* What a fit's belief says of the job: its own, and what members of its group may differ by on the
 * way down to the job. */
static struct lq_belief carry(const struct lq_fit *fit, enum nearness nearness)
{
    struct lq_belief belief = fit->belief;
    if (nearness == OTHER_STACK || nearness == ANYTHING) {
        lq_belief_widen(&belief, BETWEEN_STACKS);
    }
    if (nearness == SAME_STACK || nearness == ANYTHING) {
        lq_belief_widen(&belief, BETWEEN_MODELS);
    }
    return belief;
}

static enum lq_basis_kind kind_of(const struct lq_fit *fit, enum nearness nearness,
                                  const struct lq_applicant *applicant)
{
    switch (nearness) {
    case OWN:
        return LQ_BASIS_CALIBRATED;
    case SAME_MODEL:
    case OTHER_STACK:
        return LQ_BASIS_TRANSFERRED;
    case SAME_STACK: {
        const unsigned own = lq_fit_class(applicant->identity->method.kind, applicant->model_class);
        return (fit->calibrated & own) != 0 ? LQ_BASIS_TRANSFERRED : LQ_BASIS_PRIOR;
    }
    case ANYTHING:
    case NOTHING:
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
    enum nearness best_nearness = NOTHING;
    double least = HUGE_VAL;
    lq_belief_widen(&best.belief, BETWEEN_STACKS);
    for (size_t i = 0; i < evidence->fit_count; i++) {
        const struct lq_fit *fit = &evidence->fits[i];
        const enum nearness nearness = nearness_of(fit, applicant);
        if (nearness == NOTHING || (best_nearness <= SAME_MODEL && nearness >= best_nearness)) {
            continue;
        }
        const struct lq_belief belief = carry(fit, nearness);
        /* what is the job's own, or its model's, needs no comparison */
        const double variance =
            nearness <= SAME_MODEL ? 0.0 : step_variance(&belief, applicant->parts);
        if (nearness <= SAME_MODEL || variance < least) {
            least = variance;
            best_nearness = nearness;
            best.fit = fit;
            best.belief = belief;
        }
    }
    if (best.fit == NULL) {
        return best;
    }
    best.kind = kind_of(best.fit, best_nearness, applicant);
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

/* Variance of ln(bytes of the peak) between two identities of one model, whatever their GPUs;
 * negative where nothing carries over. */
static double memory_distance(const struct lq_identity *a, const struct lq_identity *b)
{
    if (strcmp(a->model, b->model) != 0 || a->method.kind != b->method.kind) {
        return -1.0;
    }
    const double stack = strcmp(a->stack, b->stack) == 0 ? 0.0 : square(MEMORY_STACK_LOG_SD);
    return stack + (double)differing_settings(a, b) * square(MEMORY_PART_LOG_SD);
}

struct lq_basis lq_evidence_memory(const struct lq_evidence *evidence,
                                   const struct lq_identity *identity)
{
    struct lq_basis best = {.kind = LQ_BASIS_PRIOR, .log_sd = MEMORY_PRIOR_LOG_SD};
    double best_variance = square(MEMORY_PRIOR_LOG_SD);
    for (size_t i = 0; i < evidence->fit_count; i++) {
        const struct lq_fit *fit = &evidence->fits[i];
        const double apart =
            fit->kind == LQ_FIT_MEMORY ? memory_distance(&fit->identity, identity) : -1.0;
        const double variance = apart + square(MEMORY_FITTED_LOG_SD);
        const bool nearer =
            variance < best_variance ||
            (variance == best_variance && best.fit != NULL && fit->points > best.fit->points);
        if (apart < 0.0 || !nearer) {
            continue;
        }
        best_variance = variance;
        best.kind = apart > 0.0 ? LQ_BASIS_TRANSFERRED : LQ_BASIS_CALIBRATED;
        best.fit = fit;
        best.log_sd = sqrt(variance);
    }
    return best;
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

/* Same rows: both of one fixed length, or both drawn from one named distribution under one rule. */
static bool same_data(const struct lq_conditions *a, const struct lq_conditions *b)
{
    if (a->sequence_tokens > 0 || b->sequence_tokens > 0) {
        return a->sequence_tokens == b->sequence_tokens;
    }
    return a->lengths[0] != '\0' && strcmp(a->lengths, b->lengths) == 0 &&
           a->rule.padding == b->rule.padding && a->rule.cutoff_tokens == b->rule.cutoff_tokens &&
           a->rule.padding_multiple == b->rule.padding_multiple;
}

static int64_t batch_gap(const struct lq_point *point, const struct lq_conditions *conditions)
{
    if (point == NULL) {
        return INT64_MAX;
    }
    const int64_t gap = point->conditions.batch_size - conditions->batch_size;
    return gap < 0 ? -gap : gap;
}

/* How much of the GPU's name two identities share: of A100-80GB-SXM, A100-80GB-PCIe is nearer than
 * A40. Plus one where everything but the GPU is the same. */
static size_t likeness(const struct lq_identity *a, const struct lq_identity *b)
{
    size_t shared = 0;
    while (a->gpu[shared] != '\0' && a->gpu[shared] == b->gpu[shared]) {
        shared++;
    }
    return 2 * shared + (differing_settings(a, b) == 0 && strcmp(a->stack, b->stack) == 0 ? 1 : 0);
}

static bool is_nearer(const struct lq_point *point, const struct lq_point *than,
                      const struct lq_identity *identity, const struct lq_conditions *conditions)
{
    if (than == NULL) {
        return true;
    }
    const size_t like = likeness(&point->identity, identity);
    const size_t other = likeness(&than->identity, identity);
    return like > other ||
           (like == other && batch_gap(point, conditions) < batch_gap(than, conditions));
}

const struct lq_point *lq_evidence_point(const struct lq_evidence *evidence,
                                         const struct lq_identity *identity,
                                         const struct lq_conditions *conditions,
                                         const struct lq_point **nearest)
{
    const struct lq_point *found = NULL;
    const struct lq_point *sibling = NULL;
    const struct lq_point *cousin = NULL;
    for (size_t i = 0; i < evidence->point_count; i++) {
        const struct lq_point *point = &evidence->points[i];
        if (point->out_of_memory || point->implausible ||
            strcmp(point->identity.model, identity->model) != 0) {
            continue;
        }
        if (!lq_identity_equal(&point->identity, identity)) {
            cousin = is_nearer(point, cousin, identity, conditions) ? point : cousin;
            continue;
        }
        const struct lq_conditions *c = &point->conditions;
        if (same_data(c, conditions) && c->active_experts == conditions->active_experts &&
            c->accumulation_steps == conditions->accumulation_steps &&
            (conditions->batch_size == 0 || c->batch_size == conditions->batch_size)) {
            /* the newest of several; with no batch asked, the largest */
            if (found == NULL || c->batch_size >= found->conditions.batch_size) {
                found = point;
            }
        }
        sibling = batch_gap(point, conditions) < batch_gap(sibling, conditions) ? point : sibling;
    }
    *nearest = sibling != NULL ? sibling : cousin;
    return found;
}
