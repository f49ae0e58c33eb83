/* Puts the parts of one layer together: normalisation, mixer, sum, normalisation, feed-forward,
 * sum. The ends of a model stand in ends.c. */
#include "kernels/layer/layer.h"

#include "kernels/layer/part.h"
#include "kernels/layer/routing.h"

#include <stdlib.h>

/* 1e-5: Llama's; any other takes as long. */
static const double NORM_EPSILON = 1e-5;

struct lq_training_layer {
    struct lq_space *space;
    struct lq_part_job job;
    struct lq_layer shape;
    bool recomputes;
    int64_t steps;
    union {
        struct lq_attention_part attention;
        struct lq_mla_part mla;
        struct lq_mamba_part mamba;
    } mixer;
    union {
        struct lq_dense_part dense;
        struct lq_moe_part moe;
    } ffn;
    struct lq_trained_tensor norm[2];
    void *x;        /* input, kept */
    void *normed;   /* of the mixer */
    void *mixed;    /* the mixer's output */
    void *middle;   /* sum of both */
    void *normed_2; /* of the feed-forward part */
    void *fed;
    void *y;
    void *d; /* the gradient that runs down the layer */
    void *d_normed;
};

static bool has_mixer(const struct lq_training_layer *l)
{
    return l->shape.mixer.kind != LQ_MIXER_NONE;
}

static bool has_ffn(const struct lq_training_layer *l)
{
    return l->shape.ffn.kind != LQ_FFN_NONE;
}

static enum lq_code open_mixer(struct lq_training_layer *l, struct lq_error *err)
{
    switch (l->shape.mixer.kind) {
    case LQ_MIXER_NONE:
        return LQ_OK;
    case LQ_MIXER_ATTENTION:
        return lq_attention_open(l->space, &l->job, &l->shape, &l->mixer.attention, err);
    case LQ_MIXER_MLA:
        return lq_mla_open(l->space, &l->job, &l->shape, &l->mixer.mla, err);
    case LQ_MIXER_MAMBA:
        return lq_mamba_open(l->space, &l->job, &l->shape, &l->mixer.mamba, err);
    }
    return LQ_OK;
}

static enum lq_code open_ffn(struct lq_training_layer *l, struct lq_error *err)
{
    switch (l->shape.ffn.kind) {
    case LQ_FFN_NONE:
        return LQ_OK;
    case LQ_FFN_DENSE:
        return lq_dense_open(l->space, &l->job, &l->shape, &l->ffn.dense, err);
    case LQ_FFN_MOE:
        return lq_moe_open(l->space, &l->job, &l->shape, &l->ffn.moe, err);
    }
    return LQ_OK;
}

static enum lq_code open_streams(struct lq_training_layer *l, struct lq_error *err)
{
    const int64_t n = l->job.rows * l->job.tokens * l->job.hidden;
    const int64_t mixer = has_mixer(l) ? n : 0;
    const int64_t ffn = has_ffn(l) ? n : 0;
    const struct lq_buffer buffers[] = {
        {&l->normed, mixer, LQ_USE_INNER}, {&l->mixed, mixer, LQ_USE_SCRATCH},
        {&l->middle, mixer, LQ_USE_INNER}, {&l->normed_2, ffn, LQ_USE_INNER},
        {&l->fed, ffn, LQ_USE_SCRATCH},    {&l->y, n, LQ_USE_SCRATCH},
        {&l->d_normed, n, LQ_USE_SCRATCH}};
    LQ_TRY(LQ_TAKE_ALL(l->space, buffers, err));
    LQ_TRY(lq_space_random(l->space, LQ_USE_KEPT, n, l->job.seed + 7, 1.0, &l->x, err));
    LQ_TRY(lq_space_random(l->space, LQ_USE_SCRATCH, n, l->job.seed + 8, 1e-3, &l->d, err));
    const bool trained = l->job.method->kind == LQ_METHOD_FULL;
    for (int i = 0; i < 2; i++) {
        if (i == 0 ? has_mixer(l) : has_ffn(l)) {
            LQ_TRY(lq_tensor_open(l->space, l->job.hidden, trained, l->job.seed + 9, 1.0,
                                  &l->norm[i], err));
        }
    }
    return LQ_OK;
}

/* What the kernels take; no published model has more. */
enum { HEAD_SIZE_MAX = 1024, CONVOLUTION_MAX = 16, STATES_MAX = 256, EXPERTS_MAX = 1024 };

static enum lq_code check_shape(const struct lq_layer *layer, const struct lq_layer_job *job,
                                struct lq_error *err)
{
    const struct lq_mixer *m = &layer->mixer;
    const struct {
        const char *name;
        int64_t size;
        int64_t most;
    } sizes[] = {{"heads", m->head_size, HEAD_SIZE_MAX},
                 {"rotated heads", m->rope_size, HEAD_SIZE_MAX},
                 {"convolutions", m->conv_size, CONVOLUTION_MAX},
                 {"states", m->state_size, STATES_MAX},
                 {"experts", layer->ffn.experts, EXPERTS_MAX}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].size > sizes[i].most) {
            return lq_fail(err, LQ_EIMPOSSIBLE, NULL,
                           "the worker measures %s of up to %lld, the model has %lld",
                           sizes[i].name, (long long)sizes[i].most, (long long)sizes[i].size);
        }
    }
    const int64_t active =
        job->active_experts > 0 ? job->active_experts : layer->ffn.active_experts;
    if (job->rows >
        INT32_MAX / job->tokens / (active > 0 ? active : 1)) { /* rows have 32-bit indices */
        return lq_fail(err, LQ_ENOFIT, NULL, "%lld x %lld tokens are more than can be indexed",
                       (long long)job->rows, (long long)job->tokens);
    }
    return LQ_OK;
}

enum lq_code lq_layer_open(struct lq_space *space, const struct lq_layer_job *job, int kind,
                           struct lq_training_layer **out, struct lq_error *err)
{
    LQ_TRY(check_shape(&job->model->layers[kind], job, err));
    struct lq_training_layer *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "out of host memory");
    }
    l->space = space;
    l->shape = job->model->layers[kind];
    l->recomputes = job->checkpointing != LQ_CHECKPOINTING_NONE;
    l->job = (struct lq_part_job){.method = job->method,
                                  .hidden = job->model->hidden_size,
                                  .rows = job->rows,
                                  .tokens = job->tokens,
                                  .active_experts = job->active_experts,
                                  .skew = job->skew,
                                  .seed = job->seed};
    enum lq_code code = open_streams(l, err);
    code = code == LQ_OK ? open_mixer(l, err) : code;
    code = code == LQ_OK ? open_ffn(l, err) : code;
    if (code != LQ_OK) {
        lq_layer_close(l);
        return code;
    }
    *out = l;
    return LQ_OK;
}

void lq_layer_close(struct lq_training_layer *layer)
{
    free(layer);
}

struct lq_layer_ports lq_layer_ports(const struct lq_training_layer *l)
{
    return (struct lq_layer_ports){.x = l->x, .y = l->y, .d = l->d};
}

static struct lq_op_norm norm_of(const struct lq_training_layer *l, int which, const void *x,
                                 void *y)
{
    return (struct lq_op_norm){.tokens = l->job.rows * l->job.tokens,
                               .width = l->job.hidden,
                               .epsilon = NORM_EPSILON,
                               .x = x,
                               .weight = l->norm[which].value,
                               .y = y,
                               .d_y = l->d_normed,
                               .d_x = l->d,
                               .d_weight = l->norm[which].gradient};
}

static enum lq_code add(struct lq_training_layer *l, const void *a, const void *b, void *out,
                        struct lq_error *err)
{
    const struct lq_op_add op = {
        .n = l->job.rows * l->job.tokens * l->job.hidden, .a = a, .b = b, .out = out};
    LQ_TRY(l->space->backend->add(l->space->device, &op, err));
    return lq_space_count(l->space, LQ_TERM_NORM, err);
}

static enum lq_code normalize(struct lq_training_layer *l, int which, const void *x, void *y,
                              struct lq_error *err)
{
    const struct lq_op_norm op = norm_of(l, which, x, y);
    LQ_TRY(l->space->backend->norm(l->space->device, &op, LQ_PASS_FORWARD, err));
    return lq_space_count(l->space, LQ_TERM_NORM, err);
}

/* From the gradient at the normalised input to that at the stream, which it is added to. */
static enum lq_code normalize_backward(struct lq_training_layer *l, int which, const void *x,
                                       struct lq_error *err)
{
    const struct lq_op_norm op = norm_of(l, which, x, NULL);
    if (op.d_weight != NULL) {
        LQ_TRY(lq_space_clear(l->space, op.d_weight, l->job.hidden, err));
    }
    LQ_TRY(l->space->backend->norm(l->space->device, &op, LQ_PASS_BACKWARD, err));
    return lq_space_count(l->space, LQ_TERM_NORM, err);
}

static enum lq_code mix(struct lq_training_layer *l, enum lq_pass pass, struct lq_error *err)
{
    const bool forward = pass == LQ_PASS_FORWARD;
    struct lq_space *s = l->space;
    const struct lq_part_job *job = &l->job;
    switch (l->shape.mixer.kind) {
    case LQ_MIXER_NONE:
        return LQ_OK;
    case LQ_MIXER_ATTENTION:
        return forward ? lq_attention_forward(s, job, &l->mixer.attention, l->normed, l->mixed, err)
                       : lq_attention_backward(s, job, &l->mixer.attention, l->normed, l->d,
                                               l->d_normed, err);
    case LQ_MIXER_MLA:
        return forward ? lq_mla_forward(s, job, &l->mixer.mla, l->normed, l->mixed, err)
                       : lq_mla_backward(s, job, &l->mixer.mla, l->normed, l->d, l->d_normed, err);
    case LQ_MIXER_MAMBA:
        return forward
                   ? lq_mamba_forward(s, job, &l->mixer.mamba, l->normed, l->mixed, err)
                   : lq_mamba_backward(s, job, &l->mixer.mamba, l->normed, l->d, l->d_normed, err);
    }
    return LQ_OK;
}

static enum lq_code feed(struct lq_training_layer *l, enum lq_pass pass, struct lq_error *err)
{
    const bool forward = pass == LQ_PASS_FORWARD;
    struct lq_space *s = l->space;
    const struct lq_part_job *job = &l->job;
    switch (l->shape.ffn.kind) {
    case LQ_FFN_NONE:
        return LQ_OK;
    case LQ_FFN_DENSE:
        return forward
                   ? lq_dense_forward(s, job, &l->ffn.dense, l->normed_2, l->fed, err)
                   : lq_dense_backward(s, job, &l->ffn.dense, l->normed_2, l->d, l->d_normed, err);
    case LQ_FFN_MOE:
        return forward ? lq_moe_forward(s, job, &l->ffn.moe, l->normed_2, l->fed, err)
                       : lq_moe_backward(s, job, &l->ffn.moe, l->normed_2, l->d, l->d_normed, err);
    }
    return LQ_OK;
}

/* What the feed-forward part starts from. */
static void *before_ffn(const struct lq_training_layer *l)
{
    return has_mixer(l) ? l->middle : l->x;
}

static enum lq_code pass_forward(struct lq_training_layer *l, struct lq_error *err)
{
    if (has_mixer(l)) {
        LQ_TRY(normalize(l, 0, l->x, l->normed, err));
        LQ_TRY(mix(l, LQ_PASS_FORWARD, err));
        LQ_TRY(add(l, l->x, l->mixed, has_ffn(l) ? l->middle : l->y, err));
    }
    if (has_ffn(l)) {
        LQ_TRY(normalize(l, 1, before_ffn(l), l->normed_2, err));
        LQ_TRY(feed(l, LQ_PASS_FORWARD, err));
        LQ_TRY(add(l, before_ffn(l), l->fed, l->y, err));
    }
    return LQ_OK;
}

enum lq_code lq_layer_forward(struct lq_training_layer *layer, struct lq_error *err)
{
    layer->space->stage = LQ_STAGE_FORWARD;
    return pass_forward(layer, err);
}

enum lq_code lq_layer_backward(struct lq_training_layer *layer, struct lq_error *err)
{
    if (layer->recomputes) {
        layer->space->stage = LQ_STAGE_RECOMPUTATION;
        LQ_TRY(pass_forward(layer, err));
    }
    layer->space->stage = LQ_STAGE_BACKWARD;
    if (has_ffn(layer)) {
        LQ_TRY(feed(layer, LQ_PASS_BACKWARD, err));
        LQ_TRY(normalize_backward(layer, 1, before_ffn(layer), err));
    }
    if (has_mixer(layer)) {
        LQ_TRY(mix(layer, LQ_PASS_BACKWARD, err));
        LQ_TRY(normalize_backward(layer, 0, layer->x, err));
    }
    return LQ_OK;
}

static enum lq_code step_mixer(struct lq_training_layer *l, struct lq_error *err)
{
    switch (l->shape.mixer.kind) {
    case LQ_MIXER_NONE:
        return LQ_OK;
    case LQ_MIXER_ATTENTION:
        return lq_attention_step(l->space, &l->mixer.attention, l->steps, err);
    case LQ_MIXER_MLA:
        return lq_mla_step(l->space, &l->mixer.mla, l->steps, err);
    case LQ_MIXER_MAMBA:
        return lq_mamba_step(l->space, &l->mixer.mamba, l->steps, err);
    }
    return LQ_OK;
}

static enum lq_code step_ffn(struct lq_training_layer *l, struct lq_error *err)
{
    switch (l->shape.ffn.kind) {
    case LQ_FFN_NONE:
        return LQ_OK;
    case LQ_FFN_DENSE:
        return lq_dense_step(l->space, &l->ffn.dense, l->steps, err);
    case LQ_FFN_MOE:
        return lq_moe_step(l->space, &l->ffn.moe, l->steps, err);
    }
    return LQ_OK;
}

enum lq_code lq_layer_step(struct lq_training_layer *layer, struct lq_error *err)
{
    layer->space->stage = LQ_STAGE_OPTIMIZER;
    layer->steps++;
    for (int i = 0; i < 2; i++) {
        LQ_TRY(lq_tensor_step(layer->space, &layer->norm[i], layer->steps, err));
    }
    LQ_TRY(lq_space_count(layer->space, LQ_TERM_OPTIMIZER, err));
    LQ_TRY(step_mixer(layer, err));
    return step_ffn(layer, err);
}

enum lq_code lq_layer_load(struct lq_training_layer *layer, struct lq_expert_load *out,
                           struct lq_error *err)
{
    if (layer->shape.ffn.kind != LQ_FFN_MOE) {
        return lq_fail(err, LQ_EFIELD, "/expert_load", "a dense layer has no experts");
    }
    return lq_routing_load(layer->space, &layer->ffn.moe, out, err);
}
