/* Looks measured points up: the one that answers a job as it was run, those that did not fit, and
 * what a stack ran with. */
#include "core/finetune/evidence.h"

#include "core/arch/parallelism.h"

#include <stdbool.h>
#include <string.h>

/* How many settings of the run differ, beside model, GPU, GPU count and stack. */
static int differing_settings(const struct lq_identity *a, const struct lq_identity *b)
{
    return (a->method.rank != b->method.rank) + (a->method.targets != b->method.targets) +
           (a->method.quantization != b->method.quantization) +
           (a->method.train_embeddings != b->method.train_embeddings) +
           (a->precision != b->precision) + (a->optimizer != b->optimizer) +
           (a->checkpointing != b->checkpointing);
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
        if (point->out_of_memory || !lq_point_counts(point) ||
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

int64_t lq_evidence_too_large(const struct lq_evidence *evidence,
                              const struct lq_identity *identity, int64_t active_experts,
                              double longest_tokens)
{
    int64_t least = 0;
    for (size_t i = 0; i < evidence->point_count; i++) {
        const struct lq_point *point = &evidence->points[i];
        const double longest =
            point->longest_tokens > 0.0 ? point->longest_tokens : point->conditions.row_tokens;
        const int64_t batch = point->conditions.batch_size;
        if (point->out_of_memory && lq_point_counts(point) &&
            point->conditions.active_experts == active_experts && longest <= longest_tokens &&
            (least == 0 || batch < least) && lq_identity_equal(&point->identity, identity)) {
            least = batch;
        }
    }
    return least;
}

uint32_t lq_evidence_parallelism(const struct lq_evidence *evidence, const char *stack,
                                 const struct lq_method *method)
{
    const bool quantized = method->quantization != LQ_QUANTIZATION_NONE;
    uint32_t kinds = 0;
    for (size_t i = 0; i < evidence->point_count; i++) {
        const struct lq_point *point = &evidence->points[i];
        const struct lq_identity *id = &point->identity;
        if (!point->out_of_memory && lq_point_counts(point) && strcmp(id->stack, stack) == 0 &&
            (id->method.quantization != LQ_QUANTIZATION_NONE) == quantized) {
            kinds |= lq_layout_parallelism(&id->layout);
        }
    }
    return kinds;
}
