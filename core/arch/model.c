/* The weight matrices that a layer is made of and the checks that every caller relies on.
 * Sums over a whole model live in model_count.c. */
#include "core/arch/model.h"

#include "core/arch/model_limits.h"

#include <stddef.h>

/* Appends one matrix and returns the new length. */
static int add(struct lq_matrix *out, int n, struct lq_matrix matrix)
{
    out[n] = matrix;
    return n + 1;
}

static int add_one(struct lq_matrix *out, int n, enum lq_target target, int64_t rows, int64_t cols)
{
    return add(out, n, (struct lq_matrix){target, rows, cols, 1, false});
}

static int add_attention(struct lq_matrix *out, int n, int64_t hidden, const struct lq_mixer *m)
{
    n = add_one(out, n, LQ_TARGET_Q, m->heads * m->head_size, hidden);
    n = add_one(out, n, LQ_TARGET_K, m->kv_heads * m->head_size, hidden);
    n = add_one(out, n, LQ_TARGET_V, m->kv_heads * m->head_size, hidden);
    return add_one(out, n, LQ_TARGET_O, hidden, m->heads * m->head_size);
}

/* Both query projections count as q; the joint key-value compression as k, its expansion as v. */
static int add_mla(struct lq_matrix *out, int n, int64_t hidden, const struct lq_mixer *m)
{
    int64_t query_size = m->heads * (m->nope_size + m->rope_size);
    if (m->q_rank > 0) {
        n = add_one(out, n, LQ_TARGET_Q, m->q_rank, hidden);
        n = add_one(out, n, LQ_TARGET_Q, query_size, m->q_rank);
    } else {
        n = add_one(out, n, LQ_TARGET_Q, query_size, hidden);
    }
    n = add_one(out, n, LQ_TARGET_K, m->kv_rank + m->rope_size, hidden);
    n = add_one(out, n, LQ_TARGET_V, m->heads * (m->nope_size + m->value_size), m->kv_rank);
    return add_one(out, n, LQ_TARGET_O, hidden, m->heads * m->value_size);
}

static int add_mamba(struct lq_matrix *out, int n, int64_t hidden, const struct lq_mixer *m)
{
    n = add_one(out, n, LQ_TARGET_MAMBA_IN, 2 * m->inner_size, hidden);
    n = add_one(out, n, LQ_TARGET_MAMBA_X, m->dt_rank + 2 * m->state_size, m->inner_size);
    n = add_one(out, n, LQ_TARGET_MAMBA_DT, m->inner_size, m->dt_rank);
    return add_one(out, n, LQ_TARGET_MAMBA_OUT, hidden, m->inner_size);
}

static int add_mixer(struct lq_matrix *out, int n, int64_t hidden, const struct lq_mixer *m)
{
    switch (m->kind) {
    case LQ_MIXER_NONE:
        return n;
    case LQ_MIXER_ATTENTION:
        return add_attention(out, n, hidden, m);
    case LQ_MIXER_MLA:
        return add_mla(out, n, hidden, m);
    case LQ_MIXER_MAMBA:
        return add_mamba(out, n, hidden, m);
    }
    return n;
}

/* The two or three matrices of an MLP `width` wide. `shape` carries the count and routing. */
static int add_mlp(struct lq_matrix *out, int n, struct lq_matrix shape, int64_t hidden,
                   const struct lq_ffn *ffn)
{
    bool expert = ffn->kind == LQ_FFN_MOE;
    int64_t width = shape.rows;
    shape.cols = hidden;
    if (ffn->gated) {
        shape.target = expert ? LQ_TARGET_EXPERT_GATE : LQ_TARGET_GATE;
        n = add(out, n, shape);
    }
    shape.target = expert ? LQ_TARGET_EXPERT_UP : LQ_TARGET_UP;
    n = add(out, n, shape);
    shape.target = expert ? LQ_TARGET_EXPERT_DOWN : LQ_TARGET_DOWN;
    shape.rows = hidden;
    shape.cols = width;
    return add(out, n, shape);
}

static int add_ffn(struct lq_matrix *out, int n, int64_t hidden, const struct lq_ffn *ffn)
{
    struct lq_matrix one = {.rows = ffn->intermediate_size, .count = 1};
    switch (ffn->kind) {
    case LQ_FFN_NONE:
        return n;
    case LQ_FFN_DENSE:
        return add_mlp(out, n, one, hidden, ffn);
    case LQ_FFN_MOE:
        break;
    }
    n = add_one(out, n, LQ_TARGET_ROUTER, ffn->experts, hidden);
    struct lq_matrix routed = {
        .rows = ffn->intermediate_size, .count = ffn->experts, .routed = true};
    n = add_mlp(out, n, routed, hidden, ffn);
    if (ffn->shared_size > 0) {
        one.rows = ffn->shared_size;
        n = add_mlp(out, n, one, hidden, ffn);
    }
    return n;
}

int lq_layer_matrices(const struct lq_model *model, const struct lq_layer *layer,
                      struct lq_matrix out[LQ_MATRICES_MAX])
{
    int n = add_mixer(out, 0, model->hidden_size, &layer->mixer);
    return add_ffn(out, n, model->hidden_size, &layer->ffn);
}

/* One size that must lie within a range, under the config key it comes from. */
struct bound {
    const char *pointer;
    int64_t value;
    int64_t min;
    int64_t max;
};

static enum lq_code check_bounds(const struct bound *bounds, size_t n, struct lq_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct bound *b = &bounds[i];
        if (b->value < b->min || b->value > b->max) {
            return lq_fail(err, LQ_EFIELD, b->pointer, "must be %lld..%lld, got %lld",
                           (long long)b->min, (long long)b->max, (long long)b->value);
        }
    }
    return LQ_OK;
}

#define CHECK_BOUNDS(bounds, err) check_bounds((bounds), sizeof(bounds) / sizeof *(bounds), (err))

static enum lq_code check_attention(const struct lq_mixer *m, struct lq_error *err)
{
    const struct bound bounds[] = {
        {"/num_attention_heads", m->heads, 1, LQ_MODEL_HEADS_MAX},
        {"/num_key_value_heads", m->kv_heads, 1, m->heads},
        {"/head_dim", m->head_size, 1, LQ_MODEL_HEAD_SIZE_MAX},
        {"/sliding_window", m->window_tokens, 0, LQ_MODEL_CONTEXT_MAX},
    };
    LQ_TRY(CHECK_BOUNDS(bounds, err));
    if (m->heads % m->kv_heads != 0) {
        return lq_fail(err, LQ_EFIELD, "/num_key_value_heads",
                       "must divide the %lld attention heads, got %lld", (long long)m->heads,
                       (long long)m->kv_heads);
    }
    return LQ_OK;
}

static enum lq_code check_mla(const struct lq_mixer *m, struct lq_error *err)
{
    const struct bound bounds[] = {
        {"/num_attention_heads", m->heads, 1, LQ_MODEL_HEADS_MAX},
        {"/q_lora_rank", m->q_rank, 0, LQ_MODEL_HIDDEN_MAX},
        {"/kv_lora_rank", m->kv_rank, 1, LQ_MODEL_HIDDEN_MAX},
        {"/qk_nope_head_dim", m->nope_size, 1, LQ_MODEL_HEAD_SIZE_MAX},
        {"/qk_rope_head_dim", m->rope_size, 0, LQ_MODEL_HEAD_SIZE_MAX},
        {"/v_head_dim", m->value_size, 1, LQ_MODEL_HEAD_SIZE_MAX},
    };
    return CHECK_BOUNDS(bounds, err);
}

static enum lq_code check_mamba(const struct lq_mixer *m, struct lq_error *err)
{
    const struct bound bounds[] = {
        {"/intermediate_size", m->inner_size, 1, LQ_MODEL_INTERMEDIATE_MAX},
        {"/state_size", m->state_size, 1, LQ_MODEL_STATE_MAX},
        {"/conv_kernel", m->conv_size, 1, LQ_MODEL_STATE_MAX},
        {"/time_step_rank", m->dt_rank, 1, LQ_MODEL_HIDDEN_MAX},
    };
    return CHECK_BOUNDS(bounds, err);
}

static enum lq_code check_mixer(const struct lq_mixer *m, struct lq_error *err)
{
    switch (m->kind) {
    case LQ_MIXER_NONE:
        return LQ_OK;
    case LQ_MIXER_ATTENTION:
        return check_attention(m, err);
    case LQ_MIXER_MLA:
        return check_mla(m, err);
    case LQ_MIXER_MAMBA:
        return check_mamba(m, err);
    }
    return lq_fail(err, LQ_EINTERNAL, "", "unknown mixer kind %d", (int)m->kind);
}

static enum lq_code check_ffn(const struct lq_ffn *ffn, struct lq_error *err)
{
    if (ffn->kind == LQ_FFN_NONE) {
        return LQ_OK;
    }
    bool moe = ffn->kind == LQ_FFN_MOE;
    const struct bound bounds[] = {
        {"/intermediate_size", ffn->intermediate_size, 1, LQ_MODEL_INTERMEDIATE_MAX},
        {"/num_experts", ffn->experts, moe ? 1 : 0, moe ? LQ_MODEL_EXPERTS_MAX : 0},
        {"/num_experts_per_tok", ffn->active_experts, moe ? 1 : 0, ffn->experts},
        {"/shared_expert_intermediate_size", ffn->shared_size, 0,
         moe ? LQ_MODEL_INTERMEDIATE_MAX * LQ_MODEL_EXPERTS_MAX : 0},
    };
    return CHECK_BOUNDS(bounds, err);
}

/* Parameters of the matrices in floating point, which cannot overflow whatever the sizes. */
static double rough_parameters(const struct lq_model *model)
{
    double sum = (double)model->vocab_size * (double)model->hidden_size;
    for (int i = 0; i < model->layer_kinds; i++) {
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        int n = lq_layer_matrices(model, &model->layers[i], matrices);
        for (int j = 0; j < n; j++) {
            sum += (double)model->layers[i].count * (double)matrices[j].count *
                   (double)matrices[j].rows * (double)matrices[j].cols;
        }
    }
    return sum;
}

enum lq_code lq_model_check(const struct lq_model *model, struct lq_error *err)
{
    const struct bound bounds[] = {
        {"/hidden_size", model->hidden_size, 1, LQ_MODEL_HIDDEN_MAX},
        {"/vocab_size", model->vocab_size, 1, LQ_MODEL_VOCAB_MAX},
        {"/max_position_embeddings", model->context_tokens, 0, LQ_MODEL_CONTEXT_MAX},
        {"/num_hidden_layers", model->layer_kinds, 1, LQ_LAYER_KINDS_MAX},
    };
    LQ_TRY(CHECK_BOUNDS(bounds, err));
    int64_t layers = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_layer *layer = &model->layers[i];
        const struct bound count = {"/num_hidden_layers", layer->count, 1,
                                    LQ_MODEL_LAYERS_MAX - layers};
        LQ_TRY(check_bounds(&count, 1, err));
        LQ_TRY(check_mixer(&layer->mixer, err));
        LQ_TRY(check_ffn(&layer->ffn, err));
        layers += layer->count;
    }
    double parameters = rough_parameters(model);
    if (!(parameters < LQ_MODEL_PARAMETERS_MAX)) {
        return lq_fail(err, LQ_EFIELD, "", "the sizes make %.3g parameters, the limit is %g",
                       parameters, LQ_MODEL_PARAMETERS_MAX);
    }
    return LQ_OK;
}
