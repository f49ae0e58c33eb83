/* The feed-forward network, dense or as every routed expert has it. */
#include "kernels/layer/part.h"

enum lq_code lq_network_open(struct lq_space *space, const struct lq_method *method,
                             const struct lq_matrix *matrices, int count, bool gated, int64_t rows,
                             uint64_t seed, struct lq_dense_part *out, struct lq_error *err)
{
    *out = (struct lq_dense_part){.gated = gated, .width = matrices[0].rows};
    for (int i = 0; i < count; i++) {
        LQ_TRY(lq_weights_open(space, method, &matrices[i], rows, seed + (uint64_t)i * 16,
                               &out->weights.at[i], err));
        out->weights.count = i + 1;
    }
    const int64_t n = rows * out->width;
    const struct lq_buffer buffers[] = {{&out->up, n, LQ_USE_INNER},
                                        {&out->inner, n, LQ_USE_INNER},
                                        {&out->d_up, n, LQ_USE_SCRATCH},
                                        {&out->d_inner, n, LQ_USE_SCRATCH},
                                        {&out->gate, gated ? n : 0, LQ_USE_INNER},
                                        {&out->d_gate, gated ? n : 0, LQ_USE_SCRATCH}};
    return LQ_TAKE_ALL(space, buffers, err);
}

/* What the activation is counted under: the experts' goes with the permutation. */
static enum lq_term activation_term(const struct lq_dense_part *part)
{
    const struct lq_weights *first = &part->weights.at[0];
    return first->matrix.routed ? LQ_TERM_EXPERT_PERMUTATION : first->term;
}

static enum lq_code activate(struct lq_space *space, const struct lq_dense_part *part, int64_t rows,
                             enum lq_pass pass, struct lq_error *err)
{
    const struct lq_op_activation op = {.kind =
                                            part->gated ? LQ_ACTIVATION_SWIGLU : LQ_ACTIVATION_GELU,
                                        .n = rows * part->width,
                                        .gate = part->gated ? part->gate : part->up,
                                        .up = part->gated ? part->up : NULL,
                                        .out = part->inner,
                                        .d_out = part->d_inner,
                                        .d_gate = part->gated ? part->d_gate : part->d_up,
                                        .d_up = part->gated ? part->d_up : NULL};
    LQ_TRY(space->backend->activation(space->device, &op, pass, err));
    return lq_space_count(space, activation_term(part), err);
}

enum lq_code lq_network_forward(struct lq_space *space, struct lq_dense_part *part,
                                const struct lq_rows *rows, void *x, void *y, bool accumulate,
                                struct lq_error *err)
{
    struct lq_weights *w = part->weights.at;
    if (part->gated) {
        LQ_TRY(lq_weights_forward(space, w, rows, x, part->gate, false, err));
        w++;
    }
    LQ_TRY(lq_weights_forward(space, &w[0], rows, x, part->up, false, err));
    LQ_TRY(activate(space, part, rows->count, LQ_PASS_FORWARD, err));
    return lq_weights_forward(space, &w[1], rows, part->inner, y, accumulate, err);
}

enum lq_code lq_network_backward(struct lq_space *space, struct lq_dense_part *part,
                                 const struct lq_rows *rows, void *x, void *d_y, void *d_x,
                                 bool accumulate, struct lq_error *err)
{
    struct lq_weights *w = part->weights.at + (part->gated ? 1 : 0);
    LQ_TRY(lq_weights_backward(space, &w[1], rows, part->inner, d_y, part->d_inner, false, err));
    LQ_TRY(activate(space, part, rows->count, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_weights_backward(space, &w[0], rows, x, part->d_up, d_x, accumulate, err));
    if (!part->gated) {
        return LQ_OK;
    }
    return lq_weights_backward(space, &part->weights.at[0], rows, x, part->d_gate, d_x, true, err);
}

enum lq_code lq_dense_open(struct lq_space *space, const struct lq_part_job *job,
                           const struct lq_layer *layer, struct lq_dense_part *out,
                           struct lq_error *err)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_ffn_matrices(job->hidden, &layer->ffn, matrices);
    return lq_network_open(space, job->method, matrices, n, layer->ffn.gated,
                           job->rows * job->tokens, job->seed + 1000, out, err);
}

enum lq_code lq_dense_forward(struct lq_space *space, const struct lq_part_job *job,
                              struct lq_dense_part *part, void *x, void *y, struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    return lq_network_forward(space, part, &rows, x, y, false, err);
}

enum lq_code lq_dense_backward(struct lq_space *space, const struct lq_part_job *job,
                               struct lq_dense_part *part, void *x, void *d_y, void *d_x,
                               struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    return lq_network_backward(space, part, &rows, x, d_y, d_x, false, err);
}

enum lq_code lq_dense_step(struct lq_space *space, struct lq_dense_part *part, int64_t step,
                           struct lq_error *err)
{
    return lq_part_weights_step(space, &part->weights, step, err);
}
