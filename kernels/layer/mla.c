/* Multi-head latent attention (arXiv 2405.04434, section 2.1) as a part of a layer: queries and
 * keys have a part without positions and one with; keys and values expand from a latent. The
 * normalisations of the latents, under a percent of the work, are left out. */
#include "kernels/layer/part.h"

#include <math.h>

/* 10,000: RoFormer's base (arXiv 2104.09864); any other takes as long. */
static const double ROTARY_BASE = 10000.0;

/* Positions in weights.at behind the query's one or two matrices. */
enum { JOINT, EXPANSION, OUTPUT };

static struct lq_weights *behind_query(struct lq_mla_part *part, int which)
{
    return &part->weights.at[(part->low_rank_query ? 2 : 1) + which];
}

static int64_t key_size(const struct lq_mixer *m)
{
    return m->nope_size + m->rope_size;
}

enum lq_code lq_mla_open(struct lq_space *space, const struct lq_part_job *job,
                         const struct lq_layer *layer, struct lq_mla_part *out,
                         struct lq_error *err)
{
    *out = (struct lq_mla_part){.mixer = layer->mixer, .low_rank_query = layer->mixer.q_rank > 0};
    const struct lq_mixer *m = &out->mixer;
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_mixer_matrices(job->hidden, m, matrices);
    LQ_TRY(lq_part_weights_open(space, job, matrices, n, &out->weights, err));
    const int64_t tokens = job->rows * job->tokens;
    const int64_t low = tokens * m->q_rank;
    const int64_t key = tokens * m->heads * key_size(m);
    const int64_t joint = tokens * (m->kv_rank + m->rope_size);
    const int64_t latent = tokens * m->kv_rank;
    const int64_t expanded = tokens * m->heads * (m->nope_size + m->value_size);
    const int64_t value = tokens * m->heads * m->value_size;
    const struct lq_buffer buffers[] = {{&out->q_low, low, LQ_USE_INNER},
                                        {&out->d_q_low, low, LQ_USE_SCRATCH},
                                        {&out->q, key, LQ_USE_INNER},
                                        {&out->d_q, key, LQ_USE_SCRATCH},
                                        {&out->k, key, LQ_USE_INNER},
                                        {&out->d_k, key, LQ_USE_SCRATCH},
                                        {&out->joint, joint, LQ_USE_INNER},
                                        {&out->d_joint, joint, LQ_USE_SCRATCH},
                                        {&out->latent, latent, LQ_USE_INNER},
                                        {&out->d_latent, latent, LQ_USE_SCRATCH},
                                        {&out->expanded, expanded, LQ_USE_INNER},
                                        {&out->d_expanded, expanded, LQ_USE_SCRATCH},
                                        {&out->v, value, LQ_USE_INNER},
                                        {&out->d_v, value, LQ_USE_SCRATCH},
                                        {&out->out, value, LQ_USE_INNER},
                                        {&out->d_out, value, LQ_USE_SCRATCH}};
    LQ_TRY(LQ_TAKE_ALL(space, buffers, err));
    void *log_sum = NULL;
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_INNER, (size_t)(tokens * m->heads) * sizeof(float),
                               &log_sum, err));
    out->log_sum = log_sum;
    return LQ_OK;
}

/* `offset` elements into an array of the space's type. */
static void *at(const struct lq_space *space, void *array, int64_t offset)
{
    return (char *)array + (size_t)offset * space->element_bytes;
}

/* One side of a copy: where blocks lie in an array. */
struct side {
    void *array;
    int64_t stride;      /* from token to token */
    int64_t head_stride; /* from head to head; 0: all heads share */
};

static enum lq_code copy(struct lq_space *space, const struct lq_part_job *job, int64_t heads,
                         int64_t width, struct side from, struct side to, bool accumulate,
                         struct lq_error *err)
{
    if (width == 0) { /* a model without rotated keys */
        return LQ_OK;
    }
    const struct lq_op_blocks op = {.tokens = job->rows * job->tokens,
                                    .heads = heads,
                                    .width = width,
                                    .source = from.array,
                                    .source_stride = from.stride,
                                    .source_head_stride = from.head_stride,
                                    .target = to.array,
                                    .target_stride = to.stride,
                                    .target_head_stride = to.head_stride,
                                    .accumulate = accumulate};
    return space->backend->blocks(space->device, &op, err);
}

/* Where the pieces of keys, values and the joint projection lie. */
struct pieces {
    struct side latent_in_joint, latent;
    struct side rope_in_joint, rope_in_key;
    struct side nope_in_expanded, nope_in_key;
    struct side value_in_expanded, value;
};

static struct pieces pieces_of(const struct lq_space *space, const struct lq_mixer *m, void *joint,
                               void *latent, void *expanded, void *key, void *value)
{
    const int64_t width = m->nope_size + m->value_size;
    const int64_t joint_stride = m->kv_rank + m->rope_size;
    const int64_t key_stride = m->heads * key_size(m);
    return (struct pieces){
        .latent_in_joint = {joint, joint_stride, m->kv_rank},
        .latent = {latent, m->kv_rank, m->kv_rank},
        .rope_in_joint = {at(space, joint, m->kv_rank), joint_stride, 0},
        .rope_in_key = {at(space, key, m->nope_size), key_stride, key_size(m)},
        .nope_in_expanded = {expanded, m->heads * width, width},
        .nope_in_key = {key, key_stride, key_size(m)},
        .value_in_expanded = {at(space, expanded, m->nope_size), m->heads * width, width},
        .value = {value, m->heads * m->value_size, m->value_size}};
}

static enum lq_code rotate(struct lq_space *space, const struct lq_part_job *job,
                           const struct lq_mixer *m, void *x, enum lq_pass pass,
                           struct lq_error *err)
{
    if (m->rope_size < 2) {
        return LQ_OK;
    }
    const struct lq_op_rotation op = {.rows = job->rows,
                                      .tokens = job->tokens,
                                      .heads = m->heads,
                                      .head_size = m->rope_size / 2 * 2, /* pairs are rotated */
                                      .stride = key_size(m),
                                      .base = ROTARY_BASE,
                                      .x = at(space, x, m->nope_size)};
    return space->backend->rotation(space->device, &op, pass, err);
}

static enum lq_code attend(struct lq_space *space, const struct lq_part_job *job,
                           struct lq_mla_part *part, enum lq_pass pass, struct lq_error *err)
{
    const struct lq_mixer *m = &part->mixer;
    const struct lq_op_attention op = {.rows = job->rows,
                                       .tokens = job->tokens,
                                       .heads = m->heads,
                                       .kv_heads = m->heads,
                                       .head_size = key_size(m),
                                       .value_size = m->value_size,
                                       .window = m->window_tokens,
                                       .scale = 1.0 / sqrt((double)key_size(m)),
                                       .q = part->q,
                                       .k = part->k,
                                       .v = part->v,
                                       .out = part->out,
                                       .log_sum = part->log_sum,
                                       .d_out = part->d_out,
                                       .d_q = part->d_q,
                                       .d_k = part->d_k,
                                       .d_v = part->d_v};
    LQ_TRY(space->backend->attention(space->device, &op, pass, err));
    return lq_space_count_apart(space, LQ_TERM_ATTENTION_SCORES, LQ_TERM_ATTENTION, err);
}

/* Keys and values from the joint projection of x. */
static enum lq_code expand(struct lq_space *space, const struct lq_part_job *job,
                           struct lq_mla_part *part, void *x, struct lq_error *err)
{
    const struct lq_mixer *m = &part->mixer;
    const struct lq_rows rows = lq_all_rows(job);
    const struct pieces p =
        pieces_of(space, m, part->joint, part->latent, part->expanded, part->k, part->v);
    LQ_TRY(lq_weights_forward(space, behind_query(part, JOINT), &rows, x, part->joint, false, err));
    LQ_TRY(copy(space, job, 1, m->kv_rank, p.latent_in_joint, p.latent, false, err));
    LQ_TRY(lq_weights_forward(space, behind_query(part, EXPANSION), &rows, part->latent,
                              part->expanded, false, err));
    LQ_TRY(copy(space, job, m->heads, m->nope_size, p.nope_in_expanded, p.nope_in_key, false, err));
    LQ_TRY(copy(space, job, m->heads, m->rope_size, p.rope_in_joint, p.rope_in_key, false, err));
    LQ_TRY(copy(space, job, m->heads, m->value_size, p.value_in_expanded, p.value, false, err));
    return lq_space_count(space, LQ_TERM_ATTENTION, err);
}

enum lq_code lq_mla_forward(struct lq_space *space, const struct lq_part_job *job,
                            struct lq_mla_part *part, void *x, void *y, struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    struct lq_weights *query = part->weights.at;
    if (part->low_rank_query) {
        LQ_TRY(lq_weights_forward(space, &query[0], &rows, x, part->q_low, false, err));
        LQ_TRY(lq_weights_forward(space, &query[1], &rows, part->q_low, part->q, false, err));
    } else {
        LQ_TRY(lq_weights_forward(space, &query[0], &rows, x, part->q, false, err));
    }
    LQ_TRY(expand(space, job, part, x, err));
    LQ_TRY(rotate(space, job, &part->mixer, part->q, LQ_PASS_FORWARD, err));
    LQ_TRY(rotate(space, job, &part->mixer, part->k, LQ_PASS_FORWARD, err));
    LQ_TRY(attend(space, job, part, LQ_PASS_FORWARD, err));
    return lq_weights_forward(space, behind_query(part, OUTPUT), &rows, part->out, y, false, err);
}

/* Gradients of keys and values back to d_x (added to). */
static enum lq_code contract(struct lq_space *space, const struct lq_part_job *job,
                             struct lq_mla_part *part, void *x, void *d_x, struct lq_error *err)
{
    const struct lq_mixer *m = &part->mixer;
    const struct lq_rows rows = lq_all_rows(job);
    struct pieces p =
        pieces_of(space, m, part->d_joint, part->d_latent, part->d_expanded, part->d_k, part->d_v);
    LQ_TRY(copy(space, job, m->heads, m->nope_size, p.nope_in_key, p.nope_in_expanded, false, err));
    LQ_TRY(copy(space, job, m->heads, m->value_size, p.value, p.value_in_expanded, false, err));
    LQ_TRY(lq_weights_backward(space, behind_query(part, EXPANSION), &rows, part->latent,
                               part->d_expanded, part->d_latent, false, err));
    LQ_TRY(lq_space_clear(space, part->d_joint, rows.count * (m->kv_rank + m->rope_size), err));
    LQ_TRY(copy(space, job, 1, m->kv_rank, p.latent, p.latent_in_joint, false, err));
    LQ_TRY(copy(space, job, m->heads, m->rope_size, p.rope_in_key, p.rope_in_joint, true, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_ATTENTION, err));
    return lq_weights_backward(space, behind_query(part, JOINT), &rows, x, part->d_joint, d_x, true,
                               err);
}

enum lq_code lq_mla_backward(struct lq_space *space, const struct lq_part_job *job,
                             struct lq_mla_part *part, void *x, void *d_y, void *d_x,
                             struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    struct lq_weights *query = part->weights.at;
    LQ_TRY(lq_weights_backward(space, behind_query(part, OUTPUT), &rows, part->out, d_y,
                               part->d_out, false, err));
    LQ_TRY(attend(space, job, part, LQ_PASS_BACKWARD, err));
    LQ_TRY(rotate(space, job, &part->mixer, part->d_q, LQ_PASS_BACKWARD, err));
    LQ_TRY(rotate(space, job, &part->mixer, part->d_k, LQ_PASS_BACKWARD, err));
    if (part->low_rank_query) {
        LQ_TRY(lq_weights_backward(space, &query[1], &rows, part->q_low, part->d_q, part->d_q_low,
                                   false, err));
        LQ_TRY(lq_weights_backward(space, &query[0], &rows, x, part->d_q_low, d_x, false, err));
    } else {
        LQ_TRY(lq_weights_backward(space, &query[0], &rows, x, part->d_q, d_x, false, err));
    }
    return contract(space, job, part, x, d_x, err);
}

enum lq_code lq_mla_step(struct lq_space *space, struct lq_mla_part *part, int64_t step,
                         struct lq_error *err)
{
    return lq_part_weights_step(space, &part->weights, step, err);
}
