/* What the parts of a layer share: their matrices and buffers. */
#include "kernels/layer/part.h"

int lq_mixer_matrices(int64_t hidden, const struct lq_mixer *mixer,
                      struct lq_matrix out[LQ_MATRICES_MAX])
{
    const struct lq_model model = {.hidden_size = hidden};
    const struct lq_layer alone = {.count = 1, .mixer = *mixer};
    return lq_layer_matrices(&model, &alone, out);
}

int lq_ffn_matrices(int64_t hidden, const struct lq_ffn *ffn, struct lq_matrix out[LQ_MATRICES_MAX])
{
    const struct lq_model model = {.hidden_size = hidden};
    const struct lq_layer alone = {.count = 1, .ffn = *ffn};
    return lq_layer_matrices(&model, &alone, out);
}

enum lq_code lq_part_weights_open(struct lq_space *space, const struct lq_part_job *job,
                                  const struct lq_matrix *matrices, int count,
                                  struct lq_part_weights *out, struct lq_error *err)
{
    for (out->count = 0; out->count < count; out->count++) {
        LQ_TRY(lq_weights_open(space, job->method, &matrices[out->count], job->rows * job->tokens,
                               job->seed + (uint64_t)out->count * 16, &out->at[out->count], err));
    }
    return LQ_OK;
}

enum lq_code lq_part_weights_step(struct lq_space *space, struct lq_part_weights *part,
                                  int64_t step, struct lq_error *err)
{
    for (int i = 0; i < part->count; i++) {
        LQ_TRY(lq_weights_step(space, &part->at[i], step, err));
    }
    return LQ_OK;
}

enum lq_code lq_take_all(struct lq_space *space, const struct lq_buffer *buffers, size_t n,
                         struct lq_error *err)
{
    for (size_t i = 0; i < n; i++) {
        LQ_TRY(lq_space_take(space, buffers[i].use, buffers[i].count, buffers[i].at, err));
    }
    return LQ_OK;
}
