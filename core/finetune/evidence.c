/* Chooses among fits and points. The spreads below are out-of-sample errors, not tuning knobs. */
#include "core/finetune/evidence.h"

#include "core/base/names.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

const char *const LQ_BASIS_NAMES[] = {"calibrated", "transferred", "prior", NULL};

/* Standard deviations of ln(predicted / measured) outside the sample, per part that differs.
 * GPU 0.10, and 0.10 more for each factor e between what physics gives the two: each of A40,
 *   A100-40, A100-80, H100 predicted from each other one misses Mixtral's step times by 0 to 18 %,
 *   standard deviation 0.08 (one_gpu_predicts_another in tests/golden/test_xia2024.c prints them);
 *   taken larger, since all are one model on one stack.
 * data 0.12: a fit on CS misses MATH by 0.6 % (Mixtral) and 9 % (BlackMamba), both miss profiled
 *   steps of 128 tokens by 8 % and 16 % (/v1/validation).
 * method 0.10 per differing rank, target set, quantisation, precision, optimizer, checkpointing:
 *   ASSUMED; measured by calibrating a pair that differs in one.
 * stack 0.22: the same job on two stacks differs by 20-25 % (15 public pairs).
 * model 0.35: ASSUMED between one GPU and the prior; two models measured on one GPU tell.
 * prior 0.60: uncalibrated throughput against single-GPU rows of torchtune (13 rows, root mean
 *   square of the logarithm 0.65) and LLaMA-Factory (5 rows, 0.25), migrations/seed/measured. */
static const double GPU_LOG_SD = 0.10;
static const double GPU_LOG_SD_PER_LOG = 0.10;
static const double DATA_LOG_SD = 0.12;
static const double METHOD_LOG_SD = 0.10;
static const double STACK_LOG_SD = 0.22;
static const double MODEL_LOG_SD = 0.35;
const double LQ_PRIOR_LOG_SD = 0.60;
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

/* Standard deviation between two GPUs by how far apart physics puts the job's step and the same
 * tokens on the fit's device. Where the models differ, too, that says nothing of the devices. */
static double gpu_log_sd(const struct lq_fit *fit, const struct lq_applicant *applicant,
                         bool same_model)
{
    const struct lq_step_coefficients there = {fit->prior[0], fit->prior[1], fit->prior[2]};
    const double here_s =
        lq_step_seconds(&applicant->prior, applicant->tokens, applicant->active_experts);
    const double there_s = lq_step_seconds(&there, applicant->tokens, applicant->active_experts);
    return GPU_LOG_SD + (same_model ? GPU_LOG_SD_PER_LOG * fabs(log(here_s / there_s)) : 0.0);
}

/* Variance of ln(step time) that the differences between a fit's identity and the job's stand for;
 * negative where the measurement does not carry over. */
static double distance(const struct lq_fit *fit, const struct lq_applicant *applicant)
{
    const struct lq_identity *a = &fit->identity;
    const struct lq_identity *b = applicant->identity;
    const bool same_model = strcmp(a->model, b->model) == 0;
    if (a->method.kind != b->method.kind ||
        (!same_model && fit->model_class != applicant->model_class)) {
        return -1.0;
    }
    double variance = same_model ? 0.0 : square(MODEL_LOG_SD);
    if (strcmp(a->gpu, b->gpu) != 0) {
        variance += square(gpu_log_sd(fit, applicant, same_model));
    }
    variance += strcmp(a->stack, b->stack) == 0 ? 0.0 : square(STACK_LOG_SD);
    const int parts = (a->gpu_count != b->gpu_count) + differing_settings(a, b);
    return variance + (double)parts * square(METHOD_LOG_SD);
}

struct lq_basis lq_evidence_step(const struct lq_evidence *evidence,
                                 const struct lq_applicant *applicant)
{
    struct lq_basis best = {.kind = LQ_BASIS_PRIOR, .log_sd = LQ_PRIOR_LOG_SD};
    double best_variance = square(LQ_PRIOR_LOG_SD);
    for (size_t i = 0; i < evidence->fit_count; i++) {
        const struct lq_fit *fit = &evidence->fits[i];
        const double apart = fit->kind == LQ_FIT_STEP_TIME ? distance(fit, applicant) : -1.0;
        /* a fit whose own points contradict each other is no better than the prior */
        const double variance = apart + square(fit->residual_log);
        const bool nearer =
            variance < best_variance ||
            (variance == best_variance && best.fit != NULL && fit->points > best.fit->points);
        if (apart < 0.0 || !nearer) {
            continue;
        }
        const bool same_data = lq_names_contain(fit->data, applicant->data);
        best_variance = variance;
        best.kind = apart > 0.0 ? LQ_BASIS_TRANSFERRED : LQ_BASIS_CALIBRATED;
        best.fit = fit;
        best.log_sd = sqrt(apart + (same_data ? 0.0 : square(DATA_LOG_SD)));
    }
    return best;
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
        if (point->implausible || strcmp(point->identity.model, identity->model) != 0) {
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
