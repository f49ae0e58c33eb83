/* A mixture of experts as a part of a layer: router, permutation, the routed experts as grouped
 * matmuls, their weighted sum, and the experts that all tokens share. */
#include "kernels/layer/part.h"
#include "kernels/layer/routing.h"

static enum lq_code take_routing(struct lq_space *space, int64_t tokens, struct lq_moe_part *out,
                                 struct lq_error *err)
{
    const size_t slots = (size_t)(tokens * out->active);
    const struct {
        void **at;
        size_t bytes;
        enum lq_use use;
    } arrays[] = {
        {(void **)&out->mixing, slots * sizeof(float), LQ_USE_INNER},
        {(void **)&out->index, slots * sizeof(int32_t), LQ_USE_INNER},
        {(void **)&out->slots, slots * sizeof(int32_t), LQ_USE_INNER},
        {(void **)&out->offsets, (size_t)(out->ffn.experts + 1) * sizeof(int32_t), LQ_USE_INNER},
        {(void **)&out->d_mixing, slots * sizeof(float), LQ_USE_SCRATCH}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        LQ_TRY(lq_space_take_bytes(space, arrays[i].use, arrays[i].bytes, arrays[i].at, err));
    }
    return LQ_OK;
}

/* Router, routed experts and shared ones, in the order of lq_layer_matrices. */
static enum lq_code open_weights(struct lq_space *space, const struct lq_part_job *job,
                                 struct lq_moe_part *out, struct lq_error *err)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_ffn_matrices(job->hidden, &out->ffn, matrices);
    const int each = out->ffn.gated ? 3 : 2;
    const int64_t tokens = job->rows * job->tokens;
    LQ_TRY(lq_weights_open(space, job->method, &matrices[0], tokens, job->seed + 1000, &out->router,
                           err));
    LQ_TRY(lq_network_open(space, job->method, &matrices[1], each, out->ffn.gated,
                           tokens * out->active, job->seed + 1100, &out->experts, err));
    if (n > 1 + each) {
        LQ_TRY(lq_network_open(space, job->method, &matrices[1 + each], each, out->ffn.gated,
                               tokens, job->seed + 1200, &out->shared, err));
    }
    return LQ_OK;
}

enum lq_code lq_moe_open(struct lq_space *space, const struct lq_part_job *job,
                         const struct lq_layer *layer, struct lq_moe_part *out,
                         struct lq_error *err)
{
    *out = (struct lq_moe_part){.ffn = layer->ffn};
    const int64_t asked = job->active_experts > 0 ? job->active_experts : layer->ffn.active_experts;
    out->active = asked < layer->ffn.experts ? asked : layer->ffn.experts;
    LQ_TRY(open_weights(space, job, out, err));
    const int64_t tokens = job->rows * job->tokens;
    const int64_t logits = tokens * out->ffn.experts;
    const int64_t sorted = tokens * out->active * job->hidden;
    const struct lq_buffer buffers[] = {{&out->logits, logits, LQ_USE_INNER},
                                        {&out->d_logits, logits, LQ_USE_SCRATCH},
                                        {&out->sorted, sorted, LQ_USE_INNER},
                                        {&out->sorted_out, sorted, LQ_USE_INNER},
                                        {&out->d_sorted, sorted, LQ_USE_SCRATCH}};
    LQ_TRY(LQ_TAKE_ALL(space, buffers, err));
    LQ_TRY(take_routing(space, tokens, out, err));
    return lq_routing_skew(space, job, out, err);
}

static struct lq_op_router choice(const struct lq_part_job *job, const struct lq_moe_part *part)
{
    return (struct lq_op_router){.tokens = job->rows * job->tokens,
                                 .experts = part->ffn.experts,
                                 .active = part->active,
                                 .normalized = true,
                                 .logits = part->logits,
                                 .weights = part->mixing,
                                 .index = part->index,
                                 .d_weights = part->d_mixing,
                                 .d_logits = part->d_logits};
}

static struct lq_op_permutation permutation(const struct lq_part_job *job,
                                            const struct lq_moe_part *part)
{
    return (struct lq_op_permutation){.tokens = job->rows * job->tokens,
                                      .hidden = job->hidden,
                                      .experts = part->ffn.experts,
                                      .active = part->active,
                                      .index = part->index,
                                      .offsets = part->offsets,
                                      .slots = part->slots,
                                      .sorted = part->sorted,
                                      .weights = part->mixing,
                                      .d_sorted = part->d_sorted,
                                      .d_weights = part->d_mixing};
}

static struct lq_rows routed_rows(const struct lq_part_job *job, const struct lq_moe_part *part)
{
    return (struct lq_rows){.count = job->rows * job->tokens * part->active,
                            .groups = part->ffn.experts,
                            .offsets = part->offsets};
}

static enum lq_code choose(struct lq_space *space, const struct lq_part_job *job,
                           struct lq_moe_part *part, void *x, struct lq_error *err)
{
    const struct lq_rows all = lq_all_rows(job);
    LQ_TRY(lq_weights_forward(space, &part->router, &all, x, part->logits, false, err));
    if (part->bias != NULL) {
        const struct lq_op_add add = {.n = all.count * part->ffn.experts,
                                      .a = part->logits,
                                      .b = part->bias,
                                      .out = part->logits};
        LQ_TRY(space->backend->add(space->device, &add, err));
    }
    const struct lq_op_router op = choice(job, part);
    LQ_TRY(space->backend->router(space->device, &op, LQ_PASS_FORWARD, err));
    return lq_space_count(space, LQ_TERM_ROUTER, err);
}

enum lq_code lq_moe_forward(struct lq_space *space, const struct lq_part_job *job,
                            struct lq_moe_part *part, void *x, void *y, struct lq_error *err)
{
    LQ_TRY(choose(space, job, part, x, err));
    struct lq_op_permutation op = permutation(job, part);
    op.x = x;
    LQ_TRY(space->backend->sort(space->device, &op, err));
    LQ_TRY(space->backend->gather(space->device, &op, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_EXPERT_PERMUTATION, err));
    const struct lq_rows rows = routed_rows(job, part);
    LQ_TRY(lq_network_forward(space, &part->experts, &rows, part->sorted, part->sorted_out, false,
                              err));
    op.sorted = part->sorted_out;
    op.y = y;
    LQ_TRY(space->backend->combine(space->device, &op, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_EXPERT_PERMUTATION, err));
    if (part->shared.width == 0) {
        return LQ_OK;
    }
    const struct lq_rows all = lq_all_rows(job);
    return lq_network_forward(space, &part->shared, &all, x, y, true, err);
}

/* The experts' way back: d_x is written. */
static enum lq_code experts_backward(struct lq_space *space, const struct lq_part_job *job,
                                     struct lq_moe_part *part, void *d_y, void *d_x,
                                     struct lq_error *err)
{
    struct lq_op_permutation op = permutation(job, part);
    op.sorted = part->sorted_out;
    op.d_y = d_y;
    LQ_TRY(space->backend->combine(space->device, &op, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_EXPERT_PERMUTATION, err));
    const struct lq_rows rows = routed_rows(job, part);
    /* the output of the experts is not needed any more: the gradient of their input goes there */
    LQ_TRY(lq_network_backward(space, &part->experts, &rows, part->sorted, part->d_sorted,
                               part->sorted_out, false, err));
    op.d_sorted = part->sorted_out;
    op.d_x = d_x;
    LQ_TRY(space->backend->gather(space->device, &op, LQ_PASS_BACKWARD, err));
    return lq_space_count(space, LQ_TERM_EXPERT_PERMUTATION, err);
}

enum lq_code lq_moe_backward(struct lq_space *space, const struct lq_part_job *job,
                             struct lq_moe_part *part, void *x, void *d_y, void *d_x,
                             struct lq_error *err)
{
    const struct lq_rows all = lq_all_rows(job);
    LQ_TRY(experts_backward(space, job, part, d_y, d_x, err));
    const struct lq_op_router op = choice(job, part);
    LQ_TRY(space->backend->router(space->device, &op, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_ROUTER, err));
    LQ_TRY(lq_weights_backward(space, &part->router, &all, x, part->d_logits, d_x, true, err));
    if (part->shared.width == 0) {
        return LQ_OK;
    }
    return lq_network_backward(space, &part->shared, &all, x, d_y, d_x, true, err);
}

enum lq_code lq_moe_step(struct lq_space *space, struct lq_moe_part *part, int64_t step,
                         struct lq_error *err)
{
    LQ_TRY(lq_weights_step(space, &part->router, step, err));
    LQ_TRY(lq_part_weights_step(space, &part->experts.weights, step, err));
    return lq_part_weights_step(space, &part->shared.weights, step, err);
}
