/* The limits, as a table, and how jobs are held against them. */
#include "kernels/layer/limits.h"

/* One size of a layer that must lie in a range. */
struct limit {
    const char *what;
    int64_t value;
    int64_t least;
    int64_t most;
};

enum { HEAD_SIZE_MAX = 1024, CONVOLUTION_MAX = 16, STATES_MAX = 256 };

static enum lq_code check(const struct limit *limits, size_t n, int kind, struct lq_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct limit *l = &limits[i];
        if (l->value < l->least || l->value > l->most) {
            return lq_fail(err, LQ_EIMPOSSIBLE, NULL,
                           "layer kind %d: %s must be %lld..%lld to be measured, not %lld",
                           kind + 1, l->what, (long long)l->least, (long long)l->most,
                           (long long)l->value);
        }
    }
    return LQ_OK;
}
#define CHECK(limits, kind, err) check((limits), sizeof(limits) / sizeof *(limits), (kind), (err))

static enum lq_code check_mixer(const struct lq_mixer *m, int kind, struct lq_error *err)
{
    const struct limit attention[] = {{"the size of a head", m->head_size, 1, HEAD_SIZE_MAX}};
    const struct limit mla[] = {
        {"the size of a head's positions", m->rope_size, 0, HEAD_SIZE_MAX},
        {"the size of a key", m->nope_size + m->rope_size, 0, HEAD_SIZE_MAX},
        {"the size of a value", m->value_size, 1, HEAD_SIZE_MAX},
        {"the rest of a key", m->nope_size, 0, HEAD_SIZE_MAX}};
    const struct limit mamba[] = {
        {"the width of the convolution", m->conv_size, 1, CONVOLUTION_MAX},
        {"the number of states", m->state_size, 1, STATES_MAX}};
    switch (m->kind) {
    case LQ_MIXER_NONE:
        return LQ_OK;
    case LQ_MIXER_ATTENTION:
        return CHECK(attention, kind, err);
    case LQ_MIXER_MLA:
        return CHECK(mla, kind, err);
    case LQ_MIXER_MAMBA:
        return CHECK(mamba, kind, err);
    }
    return LQ_OK;
}

enum lq_code lq_layer_check_model(const struct lq_model *model, struct lq_error *err)
{
    for (int kind = 0; kind < model->layer_kinds; kind++) {
        const struct lq_ffn *ffn = &model->layers[kind].ffn;
        const struct limit moe[] = {{"the number of experts", ffn->experts, 1, LQ_EXPERTS_MAX}};
        LQ_TRY(check_mixer(&model->layers[kind].mixer, kind, err));
        if (ffn->kind == LQ_FFN_MOE) {
            LQ_TRY(CHECK(moe, kind, err));
        }
    }
    return LQ_OK;
}

enum lq_code lq_layer_check_job(const struct lq_layer_job *job, struct lq_error *err)
{
    const int64_t own = lq_model_active_experts(job->model);
    const int64_t active = job->active_experts > 0 ? job->active_experts : own;
    const double slots =
        (double)job->rows * (double)job->tokens * (double)(active > 1 ? active : 1);
    if (slots > (double)INT32_MAX) {
        return lq_fail(err, LQ_ENOFIT, NULL,
                       "%lld rows of %lld tokens are more than the %d that a step may hold",
                       (long long)job->rows, (long long)job->tokens, INT32_MAX);
    }
    return LQ_OK;
}
