/* Backward of the selective scan: keeps the states of every sqrt(tokens)-th token and runs from
 * there again. */
#include "kernels/cpu/scan_block.h"
#include "kernels/cpu/vector.h"

#include <math.h>
#include <string.h>

/* What backward sums over tokens for a block. */
struct sums {
    struct lq_lanes d_a[LQ_SCAN_STATES_MAX];
    struct lq_lanes d_bias;
    struct lq_lanes d_skip;
};

/* Memory of one thread in backward. */
struct scratch {
    struct lq_lanes *kept; /* [tokens / chunk, rounded up][states]: states before a chunk */
    struct lq_lanes
        *states;            /* [chunk + 1][states]: before the chunk and after each of its tokens */
    struct lq_lanes *decay; /* [chunk][states] */
    struct lq_lanes *carry; /* [states]: gradients that later tokens hand down */
    float *d_b;             /* [rows, tokens, states]: this thread's share */
    float *d_c;
};

struct backward {
    const struct lq_op_scan *op;
    int64_t chunk;
    int64_t parts;
    size_t part_floats;
    float *memory; /* [parts][part_floats] */
};

static void clear(struct lq_lanes *x, int64_t n)
{
    memset(x, 0, (size_t)n * sizeof *x);
}

static float sum_lanes(const struct lq_lanes *x)
{
    float quarter[4];
    for (int l = 0; l < 4; l++) {
        quarter[l] = (x->at[l] + x->at[l + 4]) + (x->at[l + 8] + x->at[l + 12]);
    }
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/* Gradients of token `index` from d_out and from what later tokens hand down. */
static void go_back(const struct lq_scan_block *block, int64_t index, const struct lq_lanes *before,
                    const struct lq_lanes *after, const struct lq_lanes *decay,
                    const struct scratch *scratch, struct sums *sums)
{
    const struct lq_op_scan *op = block->op;
    const float *b = (const float *)op->b + index * op->states;
    const float *c = (const float *)op->c + index * op->states;
    struct lq_scan_token token;
    struct lq_lanes d_out;
    struct lq_lanes d_input = {{0.0F}};
    struct lq_lanes d_dt = {{0.0F}};
    lq_scan_token(block, index, &token);
    lq_scan_load(block, op->d_out, index, &d_out);
    for (int64_t n = 0; n < op->states; n++) {
        struct lq_lanes d_b;
        struct lq_lanes d_c;
        for (int l = 0; l < LQ_SCAN_LANES; l++) {
            const float d_state = scratch->carry[n].at[l] + d_out.at[l] * c[n];
            const float handed = d_state * decay[n].at[l];
            const float d_exponent = handed * before[n].at[l];
            d_c.at[l] = d_out.at[l] * after[n].at[l];
            d_b.at[l] = d_state * token.input.at[l];
            d_input.at[l] += d_state * b[n];
            d_dt.at[l] += d_exponent * block->a[n].at[l];
            sums->d_a[n].at[l] += d_exponent * token.dt.at[l];
            scratch->carry[n].at[l] = handed;
        }
        scratch->d_b[index * op->states + n] += sum_lanes(&d_b);
        scratch->d_c[index * op->states + n] += sum_lanes(&d_c);
    }
    struct lq_lanes d_x;
    struct lq_lanes d_step;
    for (int l = 0; l < LQ_SCAN_LANES; l++) {
        d_x.at[l] = block->skip.at[l] * d_out.at[l] + token.dt.at[l] * d_input.at[l];
        d_step.at[l] = (d_dt.at[l] + token.x.at[l] * d_input.at[l]) * lq_sigmoid(token.step.at[l]);
        sums->d_skip.at[l] += d_out.at[l] * token.x.at[l];
        sums->d_bias.at[l] += d_step.at[l];
    }
    lq_scan_store(block, op->d_x, index, &d_x);
    lq_scan_store(block, op->d_step, index, &d_step);
}

/* Runs the states of a row, keeping those before each chunk. */
static void keep_states(const struct lq_scan_block *block, int64_t row, int64_t chunk,
                        const struct scratch *scratch)
{
    const struct lq_op_scan *op = block->op;
    struct lq_lanes *state = scratch->states;
    struct lq_scan_token token;
    clear(state, op->states);
    for (int64_t t = 0; t < op->tokens; t++) {
        if (t % chunk == 0) {
            memcpy(scratch->kept + t / chunk * op->states, state,
                   (size_t)op->states * sizeof *state);
        }
        lq_scan_token(block, row * op->tokens + t, &token);
        lq_scan_advance(block, &token, row * op->tokens + t, state, state, scratch->decay);
    }
}

static void backward_chunk(const struct lq_scan_block *block, int64_t row, int64_t first,
                           int64_t tokens, const struct scratch *scratch, struct sums *sums)
{
    const int64_t states = block->op->states;
    const int64_t index = row * block->op->tokens + first;
    struct lq_scan_token token;
    for (int64_t t = 0; t < tokens; t++) {
        lq_scan_token(block, index + t, &token);
        lq_scan_advance(block, &token, index + t, scratch->states + t * states,
                        scratch->states + (t + 1) * states, scratch->decay + t * states);
    }
    for (int64_t t = tokens - 1; t >= 0; t--) {
        go_back(block, index + t, scratch->states + t * states, scratch->states + (t + 1) * states,
                scratch->decay + t * states, scratch, sums);
    }
}

static void backward_row(const struct lq_scan_block *block, int64_t row, int64_t chunk,
                         const struct scratch *scratch, struct sums *sums)
{
    const struct lq_op_scan *op = block->op;
    keep_states(block, row, chunk, scratch);
    clear(scratch->carry, op->states);
    for (int64_t number = (op->tokens - 1) / chunk; number >= 0; number--) {
        const int64_t left = op->tokens - number * chunk;
        memcpy(scratch->states, scratch->kept + number * op->states,
               (size_t)op->states * sizeof *scratch->states);
        backward_chunk(block, row, number * chunk, left < chunk ? left : chunk, scratch, sums);
    }
}

static void add(float *to, int64_t stride, int64_t n, const struct lq_lanes *from)
{
    for (int64_t l = 0; to != NULL && l < n; l++) {
        to[l * stride] += from->at[l];
    }
}

/* d a / d a_log = a. */
static void add_sums(const struct lq_scan_block *block, struct sums *sums)
{
    const struct lq_op_scan *op = block->op;
    float *d_bias = op->d_bias;
    float *d_skip = op->d_skip;
    float *d_a_log = op->d_a_log;
    add(d_bias == NULL ? NULL : d_bias + block->channel, 1, block->channels, &sums->d_bias);
    add(d_skip == NULL ? NULL : d_skip + block->channel, 1, block->channels, &sums->d_skip);
    for (int64_t n = 0; d_a_log != NULL && n < op->states; n++) {
        for (int l = 0; l < LQ_SCAN_LANES; l++) {
            sums->d_a[n].at[l] *= block->a[n].at[l];
        }
        add(d_a_log + block->channel * op->states + n, op->states, block->channels, &sums->d_a[n]);
    }
}

static int64_t count_chunks(const struct backward *backward)
{
    return (backward->op->tokens + backward->chunk - 1) / backward->chunk;
}

static size_t lanes_of_part(const struct backward *backward)
{
    return (size_t)((count_chunks(backward) + 2 * backward->chunk + 2) * backward->op->states);
}

static size_t count_shared(const struct lq_op_scan *op)
{
    return (size_t)(op->rows * op->tokens * op->states);
}

static struct scratch lay_out(const struct backward *backward, int part)
{
    const int64_t states = backward->op->states;
    float *memory = backward->memory + (size_t)part * backward->part_floats;
    struct scratch scratch;
    scratch.kept = (struct lq_lanes *)memory;
    scratch.states = scratch.kept + count_chunks(backward) * states;
    scratch.decay = scratch.states + (backward->chunk + 1) * states;
    scratch.carry = scratch.decay + backward->chunk * states;
    scratch.d_b = memory + lanes_of_part(backward) * LQ_SCAN_LANES;
    scratch.d_c = scratch.d_b + count_shared(backward->op);
    return scratch;
}

/* Items are channel blocks with all their rows: one thread sums a channel's gradients. */
static void run_backward(void *context, int64_t begin, int64_t end, int thread)
{
    const struct backward *backward = context;
    const struct lq_op_scan *op = backward->op;
    const struct scratch scratch = lay_out(backward, thread);
    memset(scratch.d_b, 0, 2 * count_shared(op) * sizeof *scratch.d_b);
    struct lq_scan_block block;
    struct sums sums;
    for (int64_t item = begin; item < end; item++) {
        lq_scan_block(op, item, &block);
        memset(&sums, 0, sizeof sums);
        for (int64_t row = 0; row < op->rows; row++) {
            backward_row(&block, row, backward->chunk, &scratch, &sums);
        }
        add_sums(&block, &sums);
    }
}

/* d_b and d_c are sums over channels: over the threads' shares, in their order. */
static void run_join(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct backward *backward = context;
    float *d_b = backward->op->d_b;
    float *d_c = backward->op->d_c;
    for (int part = 0; part < backward->parts; part++) {
        const struct scratch scratch = lay_out(backward, part);
        for (int64_t i = begin; i < end; i++) {
            d_b[i] = (part == 0 ? 0.0F : d_b[i]) + scratch.d_b[i];
            d_c[i] = (part == 0 ? 0.0F : d_c[i]) + scratch.d_c[i];
        }
    }
}

enum lq_code lq_scan_backward(struct lq_device *device, const struct lq_op_scan *op,
                              struct lq_error *err)
{
    const int64_t blocks = lq_scan_blocks(op);
    const int64_t threads = lq_pool_threads(device->pool);
    struct backward backward = {.op = op,
                                .chunk = (int64_t)ceil(sqrt((double)op->tokens)),
                                .parts = blocks < threads ? blocks : threads};
    const size_t floats = lanes_of_part(&backward) * LQ_SCAN_LANES + 2 * count_shared(op);
    backward.part_floats = (floats + LQ_SCAN_LANES - 1) / LQ_SCAN_LANES * LQ_SCAN_LANES;
    void *memory = NULL;
    LQ_TRY(lq_cpu_scratch(device, (size_t)backward.parts * backward.part_floats * sizeof(float),
                          &memory, err));
    backward.memory = memory;
    lq_parallel(device, blocks, 1, run_backward, &backward);
    lq_parallel(device, (int64_t)count_shared(op), 4096, run_join, &backward);
    return LQ_OK;
}
