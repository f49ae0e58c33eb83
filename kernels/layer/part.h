/* The parts of a layer: what mixes tokens and what feeds forward. Each owns its weights and inner
 * activations in the layer's space. */
#pragma once

#include "core/arch/method.h"
#include "core/arch/model.h"
#include "kernels/layer/space.h"
#include "kernels/layer/weights.h"

#include <stdint.h>

enum { LQ_PART_WEIGHTS_MAX = 12 };

/* What a part is built for. */
struct lq_part_job {
    const struct lq_method *method;
    int64_t hidden;
    int64_t rows;           /* sequences */
    int64_t tokens;         /* per row */
    int64_t active_experts; /* per token */
    double skew;            /* of the routing: see routing.h */
    uint64_t seed;
};

/* Weights of one kind of part in the order of lq_layer_matrices. */
struct lq_part_weights {
    struct lq_weights at[LQ_PART_WEIGHTS_MAX];
    int count;
};

struct lq_attention_part {
    struct lq_part_weights weights; /* q, k, v, o */
    struct lq_mixer mixer;
    void *q, *k, *v, *out;
    float *log_sum;
    void *d_q, *d_k, *d_v, *d_out;
};

struct lq_mla_part {
    struct lq_part_weights weights; /* q (and its expansion), joint kv, kv's expansion, o */
    struct lq_mixer mixer;
    bool low_rank_query;
    void *q_low, *q, *joint, *latent, *expanded, *k, *v, *out;
    float *log_sum;
    void *d_q_low, *d_q, *d_joint, *d_latent, *d_expanded, *d_k, *d_v, *d_out;
};

struct lq_mamba_part {
    struct lq_part_weights weights; /* in, x, dt, out */
    struct lq_mixer mixer;
    struct lq_trained_tensor conv, conv_bias, a_log, skip, step_bias;
    void *both, *x, *z, *convolved, *parameters, *low, *b, *c, *step, *scanned, *gated;
    void *d_both, *d_x, *d_z, *d_convolved, *d_parameters, *d_low, *d_b, *d_c, *d_step, *d_scanned,
        *d_gated;
};

struct lq_dense_part {
    struct lq_part_weights weights; /* gate, up, down, or up, down */
    int64_t width;
    bool gated;
    void *gate, *up, *inner;
    void *d_gate, *d_up, *d_inner;
};

struct lq_moe_part {
    struct lq_weights router;
    struct lq_dense_part experts;
    struct lq_dense_part shared; /* width 0: none */
    struct lq_ffn ffn;
    int64_t active;
    void *bias; /* [tokens, experts] added to the logits for a skewed load; NULL: none */
    void *logits, *sorted, *sorted_out;
    float *mixing;
    int32_t *index, *offsets, *slots;
    float *d_mixing;
    void *d_logits, *d_sorted;
};

/* Opens take memory, forward writes y, backward writes d_x and every gradient; x and y are
 * [rows * tokens, hidden]. Errors: LQ_ENOFIT, LQ_EDEVICE. */
#define LQ_PART(name, type)                                                                        \
    LQ_MUST_USE enum lq_code lq_##name##_open(                                                     \
        struct lq_space *space, const struct lq_part_job *job, const struct lq_layer *layer,       \
        struct type *out, struct lq_error *err);                                                   \
    LQ_MUST_USE enum lq_code lq_##name##_forward(struct lq_space *space,                           \
                                                 const struct lq_part_job *job, struct type *part, \
                                                 void *x, void *y, struct lq_error *err);          \
    LQ_MUST_USE enum lq_code lq_##name##_backward(                                                 \
        struct lq_space *space, const struct lq_part_job *job, struct type *part, void *x,         \
        void *d_y, void *d_x, struct lq_error *err);                                               \
    LQ_MUST_USE enum lq_code lq_##name##_step(struct lq_space *space, struct type *part,           \
                                              int64_t step, struct lq_error *err)
LQ_PART(attention, lq_attention_part);
LQ_PART(mla, lq_mla_part);
LQ_PART(mamba, lq_mamba_part);
LQ_PART(dense, lq_dense_part);
LQ_PART(moe, lq_moe_part);
#undef LQ_PART

/* The dense network for rows that may be grouped by expert; `accumulate` adds to y or d_x. */
LQ_MUST_USE enum lq_code lq_network_open(struct lq_space *space, const struct lq_method *method,
                                         const struct lq_matrix *matrices, int count, bool gated,
                                         int64_t rows, uint64_t seed, struct lq_dense_part *out,
                                         struct lq_error *err);
LQ_MUST_USE enum lq_code lq_network_forward(struct lq_space *space, struct lq_dense_part *part,
                                            const struct lq_rows *rows, void *x, void *y,
                                            bool accumulate, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_network_backward(struct lq_space *space, struct lq_dense_part *part,
                                             const struct lq_rows *rows, void *x, void *d_y,
                                             void *d_x, bool accumulate, struct lq_error *err);

/* Opens the matrices of a mixer, in order; all see rows * tokens rows. */
LQ_MUST_USE enum lq_code lq_part_weights_open(struct lq_space *space, const struct lq_part_job *job,
                                              const struct lq_matrix *matrices, int count,
                                              struct lq_part_weights *out, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_part_weights_step(struct lq_space *space, struct lq_part_weights *part,
                                              int64_t step, struct lq_error *err);
/* The matrices of the layer's mixer alone, or of its feed-forward part. */
int lq_mixer_matrices(int64_t hidden, const struct lq_mixer *mixer,
                      struct lq_matrix out[LQ_MATRICES_MAX]);
int lq_ffn_matrices(int64_t hidden, const struct lq_ffn *ffn,
                    struct lq_matrix out[LQ_MATRICES_MAX]);

/* One buffer of `count` elements and what it is for: for taking many in one call. */
struct lq_buffer {
    void **at;
    int64_t count;
    enum lq_use use;
};
LQ_MUST_USE enum lq_code lq_take_all(struct lq_space *space, const struct lq_buffer *buffers,
                                     size_t n, struct lq_error *err);
#define LQ_TAKE_ALL(space, buffers, err)                                                           \
    lq_take_all((space), (buffers), sizeof(buffers) / sizeof *(buffers), (err))

/* All rows through one matrix. */
static inline struct lq_rows lq_all_rows(const struct lq_part_job *job)
{
    return (struct lq_rows){.count = job->rows * job->tokens, .groups = 1};
}
