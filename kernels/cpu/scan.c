/* The selective scan of Mamba, a block of channels side by side and token after token. Backward is
 * in scan_backward.c. */
#include "kernels/cpu/scan_block.h"

#include <assert.h>
#include <string.h>

static void read_out(const struct lq_scan_block *block, const struct lq_scan_token *token,
                     int64_t index, const struct lq_lanes *state)
{
    const int64_t states = block->op->states;
    const float *c = (const float *)block->op->c + index * states;
    struct lq_lanes y;
    for (int l = 0; l < LQ_SCAN_LANES; l++) {
        y.at[l] = block->skip.at[l] * token->x.at[l];
    }
    for (int64_t n = 0; n < states; n++) {
        for (int l = 0; l < LQ_SCAN_LANES; l++) {
            y.at[l] += c[n] * state[n].at[l];
        }
    }
    lq_scan_store(block, block->op->out, index, &y);
}

/* Items are channel blocks of rows. */
static void run_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_scan *op = context;
    struct lq_scan_block block;
    struct lq_scan_token token;
    struct lq_lanes state[LQ_SCAN_STATES_MAX];
    struct lq_lanes decay[LQ_SCAN_STATES_MAX];
    for (int64_t item = begin; item < end; item++) {
        const int64_t row = item / lq_scan_blocks(op);
        lq_scan_block(op, item % lq_scan_blocks(op), &block);
        memset(state, 0, sizeof state);
        for (int64_t t = row * op->tokens; t < (row + 1) * op->tokens; t++) {
            lq_scan_token(&block, t, &token);
            lq_scan_advance(&block, &token, t, state, state, decay);
            read_out(&block, &token, t, state);
        }
    }
}

static struct lq_tally count(const struct lq_op_scan *op, enum lq_pass pass)
{
    const double channels = (double)(op->rows * op->tokens * op->channels);
    const double states = (double)(op->rows * op->tokens * op->states);
    const bool forward = pass == LQ_PASS_FORWARD;
    return (struct lq_tally){
        .flop = (forward ? 9.0 : 18.0) * channels * (double)op->states,
        .traffic_bytes = (forward ? 3.0 * channels + 2.0 * states : 5.0 * channels + 4.0 * states) *
                         sizeof(float)};
}

enum lq_code lq_cpu_scan(struct lq_device *device, const struct lq_op_scan *op, enum lq_pass pass,
                         struct lq_error *err)
{
    assert(op->states >= 1 && op->states <= LQ_SCAN_STATES_MAX);
    struct lq_op_scan copy = *op;
    if (pass == LQ_PASS_FORWARD) {
        lq_parallel(device, op->rows * lq_scan_blocks(op), 1, run_forward, &copy);
    } else {
        LQ_TRY(lq_scan_backward(device, op, err));
    }
    lq_cpu_count(device, count(op, pass));
    return LQ_OK;
}
