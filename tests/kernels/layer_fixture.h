/* Small layers of every kind, and one of them open on the CPU: what tests of the layer share. */
#pragma once

#include "kernels/layer/layer.h"

/* One layer each, hidden 128. Widths are such that every matrix has a whole number of nf4's scales:
 * 16,384 weights each; 128 experts, so that the router is a block, too. */
struct lq_model dense(void);
struct lq_model moe(void);
struct lq_model mamba(void);
struct lq_model mla(void);

extern const struct lq_method FULL;
extern const struct lq_method LORA;
extern const struct lq_method QLORA;

/* Set by set_up and open_layer. */
extern struct lq_device *device;
extern struct lq_space space;
extern struct lq_training_layer *layer;

void set_up(void);
void tear_down(void);
void open_layer(const struct lq_model *model, const struct lq_method *method,
                enum lq_checkpointing checkpointing, int64_t rows, int64_t tokens);
void close_layer(void);
