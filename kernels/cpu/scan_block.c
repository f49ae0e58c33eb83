/* One token of the selective scan for a block of channels, and the block's weights. */
#include "kernels/cpu/scan_block.h"
#include "kernels/cpu/vector.h"

#include <math.h>
#include <string.h>

void lq_scan_load(const struct lq_scan_block *block, const void *from, int64_t token,
                  struct lq_lanes *to)
{
    const float *source = (const float *)from + token * block->op->channels + block->channel;
    if (block->channels == LQ_SCAN_LANES) {
        memcpy(to, source, sizeof *to);
        return;
    }
    memset(to, 0, sizeof *to);
    memcpy(to, source, (size_t)block->channels * sizeof(float));
}

void lq_scan_store(const struct lq_scan_block *block, void *to, int64_t token,
                   const struct lq_lanes *from)
{
    float *target = (float *)to + token * block->op->channels + block->channel;
    memcpy(target, from, (size_t)block->channels * sizeof(float));
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + u), u = e^-|x|, by ln(1 + u) = 2 atanh(s), s = u / (2 + u).
 * With s <= 1/3 the series' first term left out, s^19 / 19, is 5e-11. */
static inline float softplus(float x)
{
    const float u = lq_exp(-fabsf(x));
    const float s = u / (2.0F + u);
    const float square = s * s;
    float series = 1.0F / 17.0F;
    series = series * square + 1.0F / 15.0F;
    series = series * square + 1.0F / 13.0F;
    series = series * square + 1.0F / 11.0F;
    series = series * square + 1.0F / 9.0F;
    series = series * square + 1.0F / 7.0F;
    series = series * square + 1.0F / 5.0F;
    series = series * square + 1.0F / 3.0F;
    series = series * square + 1.0F;
    return (x > 0.0F ? x : 0.0F) + 2.0F * s * series;
}

/* A block's channels of the tokens lie a page or more apart, where no core looks ahead by itself.
 */
static void prefetch(const struct lq_scan_block *block, const void *from, int64_t token)
{
    enum { AHEAD = 16 }; /* tokens: some 100 ns each, a memory access or two */
    if (token + AHEAD < block->op->rows * block->op->tokens) {
        __builtin_prefetch((const float *)from + (token + AHEAD) * block->op->channels +
                           block->channel);
    }
}

void lq_scan_token(const struct lq_scan_block *block, int64_t token, struct lq_scan_token *out)
{
    prefetch(block, block->op->x, token);
    prefetch(block, block->op->step, token);
    lq_scan_load(block, block->op->x, token, &out->x);
    lq_scan_load(block, block->op->step, token, &out->step);
    for (int l = 0; l < LQ_SCAN_LANES; l++) {
        out->step.at[l] += block->bias.at[l];
        out->dt.at[l] = softplus(out->step.at[l]);
        out->input.at[l] = out->dt.at[l] * out->x.at[l];
    }
}

void lq_scan_block(const struct lq_op_scan *op, int64_t number, struct lq_scan_block *block)
{
    block->op = op;
    block->channel = number * LQ_SCAN_LANES;
    const int64_t left = op->channels - block->channel;
    block->channels = left < LQ_SCAN_LANES ? left : LQ_SCAN_LANES;
    lq_scan_load(block, op->bias, 0, &block->bias);
    lq_scan_load(block, op->skip, 0, &block->skip);
    const float *a_log = op->a_log;
    memset(block->a, 0, sizeof block->a);
    for (int64_t l = 0; l < block->channels; l++) {
        for (int64_t n = 0; n < op->states; n++) {
            block->a[n].at[l] = -expf(a_log[(block->channel + l) * op->states + n]);
        }
    }
}

void lq_scan_advance(const struct lq_scan_block *block, const struct lq_scan_token *token,
                     int64_t index, const struct lq_lanes *before, struct lq_lanes *after,
                     struct lq_lanes *decay)
{
    const int64_t states = block->op->states;
    const float *b = (const float *)block->op->b + index * states;
    for (int64_t n = 0; n < states; n++) {
        /* local, so that compilers see that nothing here overlaps */
        struct lq_lanes share;
        struct lq_lanes state;
        for (int l = 0; l < LQ_SCAN_LANES; l++) {
            share.at[l] = lq_exp(token->dt.at[l] * block->a[n].at[l]);
        }
        for (int l = 0; l < LQ_SCAN_LANES; l++) {
            state.at[l] = share.at[l] * before[n].at[l] + token->input.at[l] * b[n];
        }
        decay[n] = share;
        after[n] = state;
    }
}

int64_t lq_scan_blocks(const struct lq_op_scan *op)
{
    return (op->channels + LQ_SCAN_LANES - 1) / LQ_SCAN_LANES;
}
