/* One decoder layer of a model, or the ends of the model, trained for real over a backend: forward,
 * recomputation, backward, optimizer. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/arch/method.h"
#include "core/arch/model.h"
#include "kernels/layer/space.h"

/* What is trained, on what. Borrowed pointers. */
struct lq_layer_job {
    const struct lq_model *model;
    const struct lq_method *method;
    enum lq_checkpointing checkpointing;
    int64_t rows;           /* batch size */
    int64_t tokens;         /* of a row, padded */
    int64_t active_experts; /* 0: the model's own */
    double skew;            /* of the routing, see routing.h; 0: even on average */
    uint64_t seed;
};

struct lq_training_layer;

/* Opens one layer of kind `kind` (of model->layer_kinds) in the space.
 * Errors: LQ_ENOFIT (memory), LQ_EIMPOSSIBLE (sizes no kernel takes), LQ_EDEVICE. The space keeps
 * its memory until it is closed. */
LQ_MUST_USE enum lq_code lq_layer_open(struct lq_space *space, const struct lq_layer_job *job,
                                       int kind, struct lq_training_layer **out,
                                       struct lq_error *err);
/* Frees what is on the host. */
void lq_layer_close(struct lq_training_layer *layer);

/* One pass; operations are counted under the stage's name in the space. */
LQ_MUST_USE enum lq_code lq_layer_forward(struct lq_training_layer *layer, struct lq_error *err);
/* With full checkpointing forward runs again before it. */
LQ_MUST_USE enum lq_code lq_layer_backward(struct lq_training_layer *layer, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_layer_step(struct lq_training_layer *layer, struct lq_error *err);

/* Where the experts' tokens went in the last pass; LQ_EFIELD where the layer has none. */
LQ_MUST_USE enum lq_code lq_layer_load(struct lq_training_layer *layer, struct lq_expert_load *out,
                                       struct lq_error *err);

/* Device memory [rows * tokens, hidden] of the layer's input, output and of their gradients: for
 * tests, and for whoever puts layers together. */
struct lq_layer_ports {
    void *x;
    void *y;
    void *d_y; /* the same for every backward pass unless it is changed here */
    void *d_x;
};
struct lq_layer_ports lq_layer_ports(const struct lq_training_layer *layer);

/* Embedding, head and loss. */
struct lq_training_ends;
LQ_MUST_USE enum lq_code lq_ends_open(struct lq_space *space, const struct lq_layer_job *job,
                                      struct lq_training_ends **out, struct lq_error *err);
void lq_ends_close(struct lq_training_ends *ends);
LQ_MUST_USE enum lq_code lq_ends_forward(struct lq_training_ends *ends, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_ends_backward(struct lq_training_ends *ends, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_ends_step(struct lq_training_ends *ends, struct lq_error *err);
