/* The ends of a model: looking tokens up, the final normalisation, the output projection and its
 * loss. Both tables are trained in full tuning and where the method says so. */
#include "kernels/layer/layer.h"
#include "kernels/layer/limits.h"
#include "kernels/layer/part.h"

#include <math.h>
#include <stdlib.h>

static const double NORM_EPSILON = 1e-5; /* Llama's; any other takes as long */

struct lq_training_ends {
    struct lq_space *space;
    int64_t tokens;
    int64_t hidden;
    int64_t vocabulary;
    bool trained;
    int64_t steps;
    int32_t *ids;
    struct lq_trained_tensor table;
    struct lq_trained_tensor head;
    struct lq_trained_tensor norm;
    void *x; /* the last layer's output */
    void *normed;
    void *d_normed;
    void *d_x;
    void *embedded;
    void *logits;
    float *losses;
};

enum { IDS_AT_ONCE = 4096 };

/* Token ids spread over the vocabulary. */
static enum lq_code send_ids(struct lq_training_ends *e, uint64_t seed, struct lq_error *err)
{
    void *ids = NULL;
    void *losses = NULL;
    const size_t bytes = (size_t)e->tokens * sizeof(int32_t);
    LQ_TRY(lq_space_take_bytes(e->space, LQ_USE_SCRATCH, bytes, &ids, err));
    LQ_TRY(lq_space_take_bytes(e->space, LQ_USE_SCRATCH, (size_t)e->tokens * sizeof(float), &losses,
                               err));
    e->ids = ids;
    e->losses = losses;
    uint64_t state = seed;
    int32_t chunk[IDS_AT_ONCE];
    for (int64_t at = 0; at < e->tokens; at += IDS_AT_ONCE) {
        const int64_t n = e->tokens - at < IDS_AT_ONCE ? e->tokens - at : IDS_AT_ONCE;
        for (int64_t i = 0; i < n; i++) {
            state =
                state * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX generator */
            chunk[i] = (int32_t)((state >> 33) % (uint64_t)e->vocabulary);
        }
        LQ_TRY(e->space->backend->to_device(e->space->device, e->ids + at, chunk,
                                            (size_t)n * sizeof *chunk, err));
    }
    return LQ_OK;
}

static enum lq_code open_tensors(struct lq_training_ends *e, const struct lq_layer_job *job,
                                 struct lq_error *err)
{
    const int64_t cells = e->vocabulary * e->hidden;
    const int64_t n = e->tokens * e->hidden;
    const double deviation = 1.0 / sqrt((double)e->hidden);
    LQ_TRY(lq_tensor_open(e->space, cells, e->trained, job->seed, deviation, &e->table, err));
    if (job->model->tied_embeddings) {
        e->head = e->table;
    } else {
        LQ_TRY(
            lq_tensor_open(e->space, cells, e->trained, job->seed + 1, deviation, &e->head, err));
    }
    LQ_TRY(lq_tensor_open(e->space, e->hidden, job->method->kind == LQ_METHOD_FULL, job->seed + 2,
                          1.0, &e->norm, err));
    LQ_TRY(lq_space_random(e->space, LQ_USE_KEPT, n, job->seed + 3, 1.0, &e->x, err));
    const struct lq_buffer buffers[] = {{&e->normed, n, LQ_USE_INNER},
                                        {&e->d_normed, n, LQ_USE_SCRATCH},
                                        {&e->d_x, n, LQ_USE_SCRATCH},
                                        {&e->embedded, n, LQ_USE_SCRATCH},
                                        {&e->logits, e->tokens * e->vocabulary, LQ_USE_INNER}};
    return LQ_TAKE_ALL(e->space, buffers, err);
}

enum lq_code lq_ends_open(struct lq_space *space, const struct lq_layer_job *job,
                          struct lq_training_ends **out, struct lq_error *err)
{
    LQ_TRY(lq_layer_check_job(job, err));
    struct lq_training_ends *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "out of host memory");
    }
    *e = (struct lq_training_ends){.space = space,
                                   .tokens = job->rows * job->tokens,
                                   .hidden = job->model->hidden_size,
                                   .vocabulary = job->model->vocab_size,
                                   .trained = job->method->kind == LQ_METHOD_FULL ||
                                              job->method->train_embeddings};
    enum lq_code code = open_tensors(e, job, err);
    code = code == LQ_OK ? send_ids(e, job->seed, err) : code;
    if (code != LQ_OK) {
        lq_ends_close(e);
        return code;
    }
    *out = e;
    return LQ_OK;
}

void lq_ends_close(struct lq_training_ends *ends)
{
    free(ends);
}

static struct lq_op_lookup lookup(const struct lq_training_ends *e)
{
    return (struct lq_op_lookup){.tokens = e->tokens,
                                 .vocabulary = e->vocabulary,
                                 .hidden = e->hidden,
                                 .ids = e->ids,
                                 .table = e->table.value,
                                 .out = e->embedded,
                                 .d_out = e->d_x,
                                 .d_table = e->table.gradient};
}

static struct lq_op_linear projection(const struct lq_training_ends *e, enum lq_linear_pass pass)
{
    return (struct lq_op_linear){.pass = pass,
                                 .tokens = e->tokens,
                                 .outputs = e->vocabulary,
                                 .inputs = e->hidden,
                                 .groups = 1,
                                 .x = pass == LQ_LINEAR_INPUT ? e->d_normed : e->normed,
                                 .w = pass == LQ_LINEAR_WEIGHT ? e->head.gradient : e->head.value,
                                 .y = e->logits,
                                 .scale = 1.0};
}

static struct lq_op_loss loss(const struct lq_training_ends *e)
{
    return (struct lq_op_loss){.tokens = e->tokens,
                               .vocabulary = e->vocabulary,
                               .scale = 1.0 / (double)e->tokens,
                               .logits = e->logits,
                               .targets = e->ids,
                               .losses = e->losses,
                               .d_logits = e->logits};
}

static struct lq_op_norm final_norm(const struct lq_training_ends *e)
{
    return (struct lq_op_norm){.tokens = e->tokens,
                               .width = e->hidden,
                               .epsilon = NORM_EPSILON,
                               .x = e->x,
                               .weight = e->norm.value,
                               .y = e->normed,
                               .d_y = e->d_normed,
                               .d_x = e->d_x,
                               .d_weight = e->norm.gradient};
}

enum lq_code lq_ends_forward(struct lq_training_ends *e, struct lq_error *err)
{
    struct lq_space *s = e->space;
    s->stage = LQ_STAGE_FORWARD;
    const struct lq_op_lookup look = lookup(e);
    LQ_TRY(s->backend->lookup(s->device, &look, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count(s, LQ_TERM_EMBEDDING, err));
    const struct lq_op_norm norm = final_norm(e);
    LQ_TRY(s->backend->norm(s->device, &norm, LQ_PASS_FORWARD, err));
    LQ_TRY(lq_space_count(s, LQ_TERM_NORM, err));
    const struct lq_op_linear project = projection(e, LQ_LINEAR_FORWARD);
    LQ_TRY(s->backend->linear(s->device, &project, err));
    const struct lq_op_loss judge = loss(e);
    LQ_TRY(s->backend->loss(s->device, &judge, LQ_PASS_FORWARD, err));
    return lq_space_count(s, LQ_TERM_HEAD, err);
}

enum lq_code lq_ends_backward(struct lq_training_ends *e, struct lq_error *err)
{
    struct lq_space *s = e->space;
    s->stage = LQ_STAGE_BACKWARD;
    const struct lq_op_loss judge = loss(e);
    LQ_TRY(s->backend->loss(s->device, &judge, LQ_PASS_BACKWARD, err));
    const struct lq_op_linear back = projection(e, LQ_LINEAR_INPUT);
    LQ_TRY(s->backend->linear(s->device, &back, err));
    if (e->trained) {
        struct lq_op_linear weight = projection(e, LQ_LINEAR_WEIGHT);
        LQ_TRY(s->backend->linear(s->device, &weight, err));
    }
    LQ_TRY(lq_space_count(s, LQ_TERM_HEAD, err));
    LQ_TRY(lq_space_clear(s, e->d_x, e->tokens * e->hidden, err));
    if (e->norm.gradient != NULL) {
        LQ_TRY(lq_space_clear(s, e->norm.gradient, e->hidden, err));
    }
    const struct lq_op_norm norm = final_norm(e);
    LQ_TRY(s->backend->norm(s->device, &norm, LQ_PASS_BACKWARD, err));
    LQ_TRY(lq_space_count(s, LQ_TERM_NORM, err));
    if (!e->trained) {
        return LQ_OK;
    }
    if (e->table.gradient != e->head.gradient) { /* a tied table has the head's gradient already */
        LQ_TRY(s->backend->zero(s->device, e->table.gradient, (size_t)e->table.n * s->element_bytes,
                                err));
    }
    const struct lq_op_lookup look = lookup(e);
    LQ_TRY(s->backend->lookup(s->device, &look, LQ_PASS_BACKWARD, err));
    return lq_space_count(s, LQ_TERM_EMBEDDING, err);
}

enum lq_code lq_ends_step(struct lq_training_ends *e, struct lq_error *err)
{
    e->space->stage = LQ_STAGE_OPTIMIZER;
    e->steps++;
    LQ_TRY(lq_tensor_step(e->space, &e->norm, e->steps, err));
    LQ_TRY(lq_tensor_step(e->space, &e->head, e->steps, err));
    if (e->table.gradient != e->head.gradient) {
        LQ_TRY(lq_tensor_step(e->space, &e->table, e->steps, err));
    }
    return lq_space_count(e->space, LQ_TERM_OPTIMIZER, err);
}
