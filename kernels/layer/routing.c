/* The load is read from the permutation's offsets, so it is what the matmuls really saw. */
#include "kernels/layer/routing.h"

/* One row of the bias, in the device's type; CPU and tests compute with fp32, others with 16 bit,
 * whose upper half of an fp32 number bf16 is. */
static void fill_row(const struct lq_space *space, double skew, int64_t experts, void *row)
{
    for (int64_t e = 0; e < experts; e++) {
        const double place = experts > 1 ? 1.0 - 2.0 * (double)e / (double)(experts - 1) : 0.0;
        const union {
            float value;
            uint32_t bits;
        } bias = {.value = (float)(skew * place)};
        if (space->element_bytes == sizeof(float)) {
            ((float *)row)[e] = bias.value;
        } else {
            ((uint16_t *)row)[e] = (uint16_t)(bias.bits >> 16);
        }
    }
}

enum lq_code lq_routing_skew(struct lq_space *space, const struct lq_part_job *job,
                             struct lq_moe_part *part, struct lq_error *err)
{
    if (!(job->skew > 0.0)) {
        return LQ_OK;
    }
    const int64_t tokens = job->rows * job->tokens;
    const size_t row_bytes = (size_t)part->ffn.experts * space->element_bytes;
    LQ_TRY(lq_space_take(space, LQ_USE_SCRATCH, tokens * part->ffn.experts, &part->bias, err));
    char row[LQ_EXPERTS_MAX * sizeof(float)];
    fill_row(space, job->skew, part->ffn.experts, row);
    for (int64_t t = 0; t < tokens; t++) {
        LQ_TRY(space->backend->to_device(space->device, (char *)part->bias + (size_t)t * row_bytes,
                                         row, row_bytes, err));
    }
    return LQ_OK;
}

enum lq_code lq_routing_load(struct lq_space *space, const struct lq_moe_part *part,
                             struct lq_expert_load *out, struct lq_error *err)
{
    int32_t offsets[LQ_EXPERTS_MAX + 1];
    double tokens[LQ_EXPERTS_MAX];
    const int64_t experts = part->ffn.experts;
    if (experts > LQ_EXPERTS_MAX) {
        return lq_fail(err, LQ_EFIELD, "/expert_load", "more than %d experts", LQ_EXPERTS_MAX);
    }
    LQ_TRY(space->backend->to_host(space->device, offsets, part->offsets,
                                   (size_t)(experts + 1) * sizeof *offsets, err));
    for (int64_t e = 0; e < experts; e++) {
        tokens[e] = (double)(offsets[e + 1] - offsets[e]);
    }
    return lq_expert_load_set(tokens, (size_t)experts, experts, out, err);
}
