/* Causal attention with grouped queries and rotary positions as a part of a layer. Biases and
 * normalised queries and keys, under a percent of the work, are left out. */
#include "kernels/layer/part.h"

#include <math.h>

/* 10,000: RoFormer's base (arXiv 2104.09864); any other takes as long. */
static const double ROTARY_BASE = 10000.0;

enum { Q, K, V, O };

enum lq_code lq_attention_open(struct lq_space *space, const struct lq_part_job *job,
                               const struct lq_layer *layer, struct lq_attention_part *out,
                               struct lq_error *err)
{
    *out = (struct lq_attention_part){.mixer = layer->mixer};
    const struct lq_mixer *m = &out->mixer;
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_mixer_matrices(job->hidden, m, matrices);
    LQ_TRY(lq_part_weights_open(space, job, matrices, n, &out->weights, err));
    const int64_t tokens = job->rows * job->tokens;
    const int64_t wide = tokens * m->heads * m->head_size;
    const int64_t narrow = tokens * m->kv_heads * m->head_size;
    const struct lq_buffer buffers[] = {
        {&out->q, wide, LQ_USE_INNER},       {&out->k, narrow, LQ_USE_INNER},
        {&out->v, narrow, LQ_USE_INNER},     {&out->out, wide, LQ_USE_INNER},
        {&out->d_q, wide, LQ_USE_SCRATCH},   {&out->d_k, narrow, LQ_USE_SCRATCH},
        {&out->d_v, narrow, LQ_USE_SCRATCH}, {&out->d_out, wide, LQ_USE_SCRATCH}};
    LQ_TRY(LQ_TAKE_ALL(space, buffers, err));
    void *log_sum = NULL;
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_INNER, (size_t)(tokens * m->heads) * sizeof(float),
                               &log_sum, err));
    out->log_sum = log_sum;
    return LQ_OK;
}

static enum lq_code rotate(struct lq_space *space, const struct lq_part_job *job,
                           const struct lq_mixer *m, void *q, void *k, enum lq_pass pass,
                           struct lq_error *err)
{
    if (m->head_size < 2) {
        return LQ_OK;
    }
    struct lq_op_rotation op = {.rows = job->rows,
                                .tokens = job->tokens,
                                .heads = m->heads,
                                .head_size = m->head_size / 2 * 2, /* pairs are rotated */
                                .stride = m->head_size,
                                .base = ROTARY_BASE,
                                .x = q};
    LQ_TRY(space->backend->rotation(space->device, &op, pass, err));
    op.heads = m->kv_heads;
    op.x = k;
    LQ_TRY(space->backend->rotation(space->device, &op, pass, err));
    return lq_space_count(space, LQ_TERM_ATTENTION, err);
}

static struct lq_op_attention scores(const struct lq_part_job *job,
                                     const struct lq_attention_part *part)
{
    const struct lq_mixer *m = &part->mixer;
    return (struct lq_op_attention){.rows = job->rows,
                                    .tokens = job->tokens,
                                    .heads = m->heads,
                                    .kv_heads = m->kv_heads,
                                    .head_size = m->head_size,
                                    .value_size = m->head_size,
                                    .window = m->window_tokens,
                                    .scale = 1.0 / sqrt((double)m->head_size),
                                    .q = part->q,
                                    .k = part->k,
                                    .v = part->v,
                                    .out = part->out,
                                    .log_sum = part->log_sum,
                                    .d_out = part->d_out,
                                    .d_q = part->d_q,
                                    .d_k = part->d_k,
                                    .d_v = part->d_v};
}

enum lq_code lq_attention_forward(struct lq_space *space, const struct lq_part_job *job,
                                  struct lq_attention_part *part, void *x, void *y,
                                  struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    struct lq_weights *w = part->weights.at;
    LQ_TRY(lq_weights_forward(space, &w[Q], &rows, x, part->q, false, err));
    LQ_TRY(lq_weights_forward(space, &w[K], &rows, x, part->k, false, err));
    LQ_TRY(lq_weights_forward(space, &w[V], &rows, x, part->v, false, err));
    LQ_TRY(rotate(space, job, &part->mixer, part->q, part->k, LQ_PASS_FORWARD, err));
    const struct lq_op_attention op = scores(job, part);
    LQ_TRY(space->backend->attention(space->device, &op, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count_apart(space, LQ_TERM_ATTENTION_SCORES, LQ_TERM_ATTENTION, err));
    return lq_weights_forward(space, &w[O], &rows, part->out, y, false, err);
}

enum lq_code lq_attention_backward(struct lq_space *space, const struct lq_part_job *job,
                                   struct lq_attention_part *part, void *x, void *d_y, void *d_x,
                                   struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    struct lq_weights *w = part->weights.at;
    LQ_TRY(lq_weights_backward(space, &w[O], &rows, part->out, d_y, part->d_out, false, err));
    const struct lq_op_attention op = scores(job, part);
    LQ_TRY(space->backend->attention(space->device, &op, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_space_count_apart(space, LQ_TERM_ATTENTION_SCORES, LQ_TERM_ATTENTION, err));
    LQ_TRY(rotate(space, job, &part->mixer, part->d_q, part->d_k, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_weights_backward(space, &w[Q], &rows, x, part->d_q, d_x, false, err));
    LQ_TRY(lq_weights_backward(space, &w[K], &rows, x, part->d_k, d_x, true, err));
    return lq_weights_backward(space, &w[V], &rows, x, part->d_v, d_x, true, err);
}

enum lq_code lq_attention_step(struct lq_space *space, struct lq_attention_part *part, int64_t step,
                               struct lq_error *err)
{
    return lq_part_weights_step(space, &part->weights, step, err);
}
