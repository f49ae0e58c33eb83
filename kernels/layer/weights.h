/* A weight matrix of a layer, or the same matrix of all its experts, as one method trains it: in
 * full, by adapters, or by adapters over 4-bit weights. */
#pragma once

#include "core/arch/method.h"
#include "core/arch/model.h"
#include "kernels/layer/space.h"

/* A trained tensor with what AdamW keeps of it. */
struct lq_trained_tensor {
    int64_t n; /* elements; 0: not there */
    void *value;
    void *gradient;
    void *first;
    void *second;
};

struct lq_weights {
    struct lq_matrix matrix;
    enum lq_term term; /* that its matmuls are counted under */
    bool trained;      /* in full */
    bool quantized;
    struct lq_trained_tensor full; /* the matrix: trained, or its value alone */
    uint8_t *packed;               /* or its nf4 codes */
    uint8_t *absmax;
    float *absmax_scale;
    float offset;
    double adapter_scale; /* alpha / rank */
    int64_t rank;
    struct lq_trained_tensor down; /* [experts, rank, inputs] */
    struct lq_trained_tensor up;   /* [experts, outputs, rank] */
    void *middle;                  /* [rows, rank]: the adapter's input through `down` */
    void *d_middle;
};

/* Rows of tokens: all through one matrix, or each expert's through its own. */
struct lq_rows {
    int64_t count;
    int64_t groups;
    const int32_t *offsets;
};

/* Takes memory and sets random values. rows: the most that will pass through at once.
 * Errors: LQ_ENOFIT, LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_weights_open(struct lq_space *space, const struct lq_method *method,
                                         const struct lq_matrix *matrix, int64_t rows,
                                         uint64_t seed, struct lq_weights *out,
                                         struct lq_error *err);
/* y [rows, outputs] = x w^T, or added to it. */
LQ_MUST_USE enum lq_code lq_weights_forward(struct lq_space *space, struct lq_weights *weights,
                                            const struct lq_rows *rows, void *x, void *y,
                                            bool accumulate, struct lq_error *err);
/* The gradients of what is trained, and d_x, or added to it. x and d_y as forward had them. */
LQ_MUST_USE enum lq_code lq_weights_backward(struct lq_space *space, struct lq_weights *weights,
                                             const struct lq_rows *rows, void *x, void *d_y,
                                             void *d_x, bool accumulate, struct lq_error *err);
/* One AdamW step of all that is trained; step >= 1. */
LQ_MUST_USE enum lq_code lq_weights_step(struct lq_space *space, struct lq_weights *weights,
                                         int64_t step, struct lq_error *err);

/* A tensor of n random values that is trained or, without `trained`, only there. */
LQ_MUST_USE enum lq_code lq_tensor_open(struct lq_space *space, int64_t n, bool trained,
                                        uint64_t seed, double scale, struct lq_trained_tensor *out,
                                        struct lq_error *err);
/* One AdamW step of it; nothing where it is not trained. Not counted: the caller names the term. */
LQ_MUST_USE enum lq_code lq_tensor_step(struct lq_space *space,
                                        const struct lq_trained_tensor *tensor, int64_t step,
                                        struct lq_error *err);
