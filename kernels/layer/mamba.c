/* A Mamba block (arXiv 2312.00752, Fig. 3) as a part of a layer: projection, convolution, selective
 * scan, gate, projection. */
#include "kernels/layer/part.h"

enum { IN, X, STEP, OUT };

static enum lq_code open_vectors(struct lq_space *space, const struct lq_part_job *job,
                                 struct lq_mamba_part *out, struct lq_error *err)
{
    const struct lq_mixer *m = &out->mixer;
    const bool trained = job->method->kind == LQ_METHOD_FULL;
    const struct {
        struct lq_trained_tensor *tensor;
        int64_t n;
    } vectors[] = {{&out->conv, m->inner_size * m->conv_size},
                   {&out->conv_bias, m->inner_size},
                   {&out->a_log, m->inner_size * m->state_size},
                   {&out->skip, m->inner_size},
                   {&out->step_bias, m->inner_size}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        LQ_TRY(lq_tensor_open(space, vectors[i].n, trained, job->seed + 500 + i, 0.5,
                              vectors[i].tensor, err));
    }
    return LQ_OK;
}

enum lq_code lq_mamba_open(struct lq_space *space, const struct lq_part_job *job,
                           const struct lq_layer *layer, struct lq_mamba_part *out,
                           struct lq_error *err)
{
    *out = (struct lq_mamba_part){.mixer = layer->mixer};
    const struct lq_mixer *m = &out->mixer;
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_mixer_matrices(job->hidden, m, matrices);
    LQ_TRY(lq_part_weights_open(space, job, matrices, n, &out->weights, err));
    LQ_TRY(open_vectors(space, job, out, err));
    const int64_t tokens = job->rows * job->tokens;
    const int64_t inner = tokens * m->inner_size;
    const int64_t states = tokens * m->state_size;
    const int64_t low = tokens * m->dt_rank;
    const int64_t parameters = tokens * (m->dt_rank + 2 * m->state_size);
    const struct lq_buffer buffers[] = {{&out->both, 2 * inner, LQ_USE_SCRATCH},
                                        {&out->d_both, 2 * inner, LQ_USE_SCRATCH},
                                        {&out->x, inner, LQ_USE_INNER},
                                        {&out->d_x, inner, LQ_USE_SCRATCH},
                                        {&out->z, inner, LQ_USE_INNER},
                                        {&out->d_z, inner, LQ_USE_SCRATCH},
                                        {&out->convolved, inner, LQ_USE_INNER},
                                        {&out->d_convolved, inner, LQ_USE_SCRATCH},
                                        {&out->parameters, parameters, LQ_USE_SCRATCH},
                                        {&out->d_parameters, parameters, LQ_USE_SCRATCH},
                                        {&out->low, low, LQ_USE_INNER},
                                        {&out->d_low, low, LQ_USE_SCRATCH},
                                        {&out->b, states, LQ_USE_INNER},
                                        {&out->d_b, states, LQ_USE_SCRATCH},
                                        {&out->c, states, LQ_USE_INNER},
                                        {&out->d_c, states, LQ_USE_SCRATCH},
                                        {&out->step, inner, LQ_USE_INNER},
                                        {&out->d_step, inner, LQ_USE_SCRATCH},
                                        {&out->scanned, inner, LQ_USE_INNER},
                                        {&out->d_scanned, inner, LQ_USE_SCRATCH},
                                        {&out->gated, inner, LQ_USE_INNER},
                                        {&out->d_gated, inner, LQ_USE_SCRATCH}};
    return LQ_TAKE_ALL(space, buffers, err);
}

/* Splits [tokens, total] into columns, or joins them again. */
static enum lq_code split(struct lq_space *space, int64_t tokens, void *whole, int64_t total,
                          int64_t first, void *piece, int64_t width, enum lq_pass pass,
                          struct lq_error *err)
{
    void *inside = (char *)whole + (size_t)first * space->element_bytes;
    struct lq_op_blocks op = {.tokens = tokens, .heads = 1, .width = width};
    op.source = pass == LQ_PASS_FORWARD ? inside : piece;
    op.source_stride = pass == LQ_PASS_FORWARD ? total : width;
    op.source_head_stride = width;
    op.target = pass == LQ_PASS_FORWARD ? piece : inside;
    op.target_stride = pass == LQ_PASS_FORWARD ? width : total;
    op.target_head_stride = width;
    return space->backend->blocks(space->device, &op, err);
}

static enum lq_code split_input(struct lq_space *space, const struct lq_mamba_part *p,
                                int64_t tokens, void *both, void *x, void *z, enum lq_pass pass,
                                struct lq_error *err)
{
    const int64_t inner = p->mixer.inner_size;
    LQ_TRY(split(space, tokens, both, 2 * inner, 0, x, inner, pass, err));
    return split(space, tokens, both, 2 * inner, inner, z, inner, pass, err);
}

static enum lq_code split_parameters(struct lq_space *space, const struct lq_mamba_part *p,
                                     int64_t tokens, void *whole, void *low, void *b, void *c,
                                     enum lq_pass pass, struct lq_error *err)
{
    const int64_t rank = p->mixer.dt_rank;
    const int64_t states = p->mixer.state_size;
    const int64_t total = rank + 2 * states;
    LQ_TRY(split(space, tokens, whole, total, 0, low, rank, pass, err));
    LQ_TRY(split(space, tokens, whole, total, rank, b, states, pass, err));
    return split(space, tokens, whole, total, rank + states, c, states, pass, err);
}

static enum lq_code convolve(struct lq_space *space, const struct lq_part_job *job,
                             struct lq_mamba_part *p, enum lq_pass pass, struct lq_error *err)
{
    const struct lq_op_convolution op = {.rows = job->rows,
                                         .tokens = job->tokens,
                                         .channels = p->mixer.inner_size,
                                         .width = p->mixer.conv_size,
                                         .x = p->x,
                                         .weight = p->conv.value,
                                         .bias = p->conv_bias.value,
                                         .out = p->convolved,
                                         .d_out = p->d_convolved,
                                         .d_x = p->d_x,
                                         .d_weight = p->conv.gradient,
                                         .d_bias = p->conv_bias.gradient};
    LQ_TRY(space->backend->convolution(space->device, &op, pass, err));
    return lq_space_count_apart(space, LQ_TERM_MAMBA_SCAN, LQ_TERM_MAMBA, err);
}

static enum lq_code scan(struct lq_space *space, const struct lq_part_job *job,
                         struct lq_mamba_part *p, enum lq_pass pass, struct lq_error *err)
{
    const struct lq_op_scan op = {.rows = job->rows,
                                  .tokens = job->tokens,
                                  .channels = p->mixer.inner_size,
                                  .states = p->mixer.state_size,
                                  .x = p->convolved,
                                  .step = p->step,
                                  .bias = p->step_bias.value,
                                  .a_log = p->a_log.value,
                                  .b = p->b,
                                  .c = p->c,
                                  .skip = p->skip.value,
                                  .out = p->scanned,
                                  .d_out = p->d_scanned,
                                  .d_x = p->d_convolved,
                                  .d_step = p->d_step,
                                  .d_b = p->d_b,
                                  .d_c = p->d_c,
                                  .d_a_log = p->a_log.gradient,
                                  .d_skip = p->skip.gradient,
                                  .d_bias = p->step_bias.gradient};
    LQ_TRY(space->backend->scan(space->device, &op, pass, err));
    return lq_space_count_apart(space, LQ_TERM_MAMBA_SCAN, LQ_TERM_MAMBA, err);
}

static enum lq_code gate(struct lq_space *space, const struct lq_part_job *job,
                         struct lq_mamba_part *p, enum lq_pass pass, struct lq_error *err)
{
    const struct lq_op_activation op = {.kind = LQ_ACTIVATION_SWIGLU,
                                        .n = job->rows * job->tokens * p->mixer.inner_size,
                                        .gate = p->z,
                                        .up = p->scanned,
                                        .out = p->gated,
                                        .d_out = p->d_gated,
                                        .d_gate = p->d_z,
                                        .d_up = p->d_scanned};
    LQ_TRY(space->backend->activation(space->device, &op, pass, err));
    return lq_space_count(space, LQ_TERM_MAMBA, err);
}

enum lq_code lq_mamba_forward(struct lq_space *space, const struct lq_part_job *job,
                              struct lq_mamba_part *p, void *x, void *y, struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    struct lq_weights *w = p->weights.at;
    LQ_TRY(lq_weights_forward(space, &w[IN], &rows, x, p->both, false, err));
    LQ_TRY(split_input(space, p, rows.count, p->both, p->x, p->z, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_MAMBA, err));
    LQ_TRY(convolve(space, job, p, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_weights_forward(space, &w[X], &rows, p->convolved, p->parameters, false, err));
    LQ_TRY(split_parameters(space, p, rows.count, p->parameters, p->low, p->b, p->c,
                            LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_MAMBA, err));
    LQ_TRY(lq_weights_forward(space, &w[STEP], &rows, p->low, p->step, false, err));
    LQ_TRY(scan(space, job, p, LQ_PASS_FORWARD, err));
    LQ_TRY(gate(space, job, p, LQ_PASS_FORWARD, err));
    return lq_weights_forward(space, &w[OUT], &rows, p->gated, y, false, err);
}

/* The vectors' gradients are added to by their kernels, so they start from nothing. */
static enum lq_code clear_gradients(struct lq_space *space, const struct lq_mamba_part *p,
                                    struct lq_error *err)
{
    const struct lq_trained_tensor *vectors[] = {&p->conv, &p->conv_bias, &p->a_log, &p->skip,
                                                 &p->step_bias};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        if (vectors[i]->gradient != NULL) {
            LQ_TRY(lq_space_clear(space, vectors[i]->gradient, vectors[i]->n, err));
        }
    }
    return LQ_OK;
}

enum lq_code lq_mamba_backward(struct lq_space *space, const struct lq_part_job *job,
                               struct lq_mamba_part *p, void *x, void *d_y, void *d_x,
                               struct lq_error *err)
{
    const struct lq_rows rows = lq_all_rows(job);
    struct lq_weights *w = p->weights.at;
    LQ_TRY(clear_gradients(space, p, err));
    LQ_TRY(lq_weights_backward(space, &w[OUT], &rows, p->gated, d_y, p->d_gated, false, err));
    LQ_TRY(gate(space, job, p, LQ_PASS_BACKWARD, err));
    LQ_TRY(scan(space, job, p, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_weights_backward(space, &w[STEP], &rows, p->low, p->d_step, p->d_low, false, err));
    LQ_TRY(split_parameters(space, p, rows.count, p->d_parameters, p->d_low, p->d_b, p->d_c,
                            LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_MAMBA, err));
    LQ_TRY(lq_weights_backward(space, &w[X], &rows, p->convolved, p->d_parameters, p->d_convolved,
                               true, err));
    LQ_TRY(convolve(space, job, p, LQ_PASS_BACKWARD, err));
    LQ_TRY(split_input(space, p, rows.count, p->d_both, p->d_x, p->d_z, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_space_count(space, LQ_TERM_MAMBA, err));
    return lq_weights_backward(space, &w[IN], &rows, x, p->d_both, d_x, false, err);
}

enum lq_code lq_mamba_step(struct lq_space *space, struct lq_mamba_part *p, int64_t step,
                           struct lq_error *err)
{
    const struct lq_trained_tensor *vectors[] = {&p->conv, &p->conv_bias, &p->a_log, &p->skip,
                                                 &p->step_bias};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        LQ_TRY(lq_tensor_step(space, vectors[i], step, err));
    }
    LQ_TRY(lq_space_count(space, LQ_TERM_OPTIMIZER, err));
    return lq_part_weights_step(space, &p->weights, step, err);
}
