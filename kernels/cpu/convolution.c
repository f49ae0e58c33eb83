/* Depthwise causal convolution over tokens with SiLU, a block of channels side by side. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <string.h>

/* Channels of a block: 256 consecutive bytes of every token. */
enum { LANES = 64, WIDTH_MAX = 16 };
/* Tokens to fetch ahead: some 100 ns each, a memory access or two. */
enum { AHEAD = 4 };

struct lanes {
    float at[LANES];
};

/* A block of channels; those past the last are all zero. Tap j meets the token j before the current
 * one: the last column of `weight` is tap 0. */
struct block {
    const struct lq_op_convolution *op;
    int64_t channel;
    int64_t channels;
    struct lanes tap[WIDTH_MAX];
    struct lanes bias;
};

struct sums {
    struct lanes d_tap[WIDTH_MAX];
    struct lanes d_bias;
};

/* The block's channels of a token: where they are, or padded in `room` where they are too few. */
static const float *load(const struct block *block, const void *from, int64_t token,
                         struct lanes *room)
{
    const float *source = (const float *)from + token * block->op->channels + block->channel;
    if (block->channels == LANES) {
        return source;
    }
    memset(room, 0, sizeof *room);
    memcpy(room, source, (size_t)block->channels * sizeof *source);
    return room->at;
}

static void store(const struct block *block, void *to, int64_t token, const struct lanes *from)
{
    float *target = (float *)to + token * block->op->channels + block->channel;
    memcpy(target, from, (size_t)block->channels * sizeof *target);
}

static void load_block(const struct lq_op_convolution *op, int64_t number, struct block *block)
{
    block->op = op;
    block->channel = number * LANES;
    const int64_t left = op->channels - block->channel;
    block->channels = left < LANES ? left : LANES;
    memset(&block->bias, 0, sizeof block->bias);
    memcpy(&block->bias, (const float *)op->bias + block->channel,
           (size_t)block->channels * sizeof(float));
    const float *weight = op->weight;
    memset(block->tap, 0, sizeof block->tap);
    for (int64_t l = 0; l < block->channels; l++) {
        for (int64_t j = 0; j < op->width; j++) {
            block->tap[j].at[l] = weight[(block->channel + l) * op->width + op->width - 1 - j];
        }
    }
}

/* A block's channels of the tokens lie pages apart, where no core looks ahead by itself. */
static void prefetch(const struct block *block, const void *from, int64_t token)
{
    enum { LINE = 16 }; /* elements of a cache line */
    if (token < 0 || token >= block->op->rows * block->op->tokens) {
        return;
    }
    const float *source = (const float *)from + token * block->op->channels + block->channel;
    for (int64_t l = 0; l < block->channels; l += LINE) {
        __builtin_prefetch(source + l);
    }
}

/* What goes into SiLU at token t of a row. */
static void convolve(const struct block *block, int64_t row, int64_t t, struct lanes *out)
{
    const struct lq_op_convolution *op = block->op;
    memcpy(out, &block->bias, sizeof *out);
    for (int64_t j = 0; j < op->width && j <= t; j++) {
        struct lanes room;
        const float *x = load(block, op->x, row * op->tokens + t - j, &room);
        for (int l = 0; l < LANES; l++) {
            out->at[l] += block->tap[j].at[l] * x[l];
        }
    }
}

static int64_t count_blocks(const struct lq_op_convolution *op)
{
    return (op->channels + LANES - 1) / LANES;
}

/* Items are channel blocks of rows. */
static void run_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_convolution *op = context;
    struct block block;
    for (int64_t item = begin; item < end; item++) {
        const int64_t row = item / count_blocks(op);
        load_block(op, item % count_blocks(op), &block);
        for (int64_t t = 0; t < op->tokens; t++) {
            struct lanes y;
            prefetch(&block, op->x, row * op->tokens + t + AHEAD);
            convolve(&block, row, t, &y);
            for (int l = 0; l < LANES; l++) {
                y.at[l] *= lq_sigmoid(y.at[l]);
            }
            store(&block, op->out, row * op->tokens + t, &y);
        }
    }
}

/* Gradient of the convolution's result: d silu(z) / dz = s (1 + z (1 - s)), s = sigmoid(z). */
static void go_back(const struct block *block, int64_t row, int64_t t, struct lanes *d_z)
{
    struct lanes z;
    struct lanes room;
    convolve(block, row, t, &z);
    const float *d_out = load(block, block->op->d_out, row * block->op->tokens + t, &room);
    for (int l = 0; l < LANES; l++) {
        const float s = lq_sigmoid(z.at[l]);
        d_z->at[l] = d_out[l] * s * (1.0F + z.at[l] * (1.0F - s));
    }
}

static void add_to_taps(const struct block *block, int64_t row, int64_t t, const struct lanes *d_z,
                        struct sums *sums)
{
    const struct lq_op_convolution *op = block->op;
    for (int l = 0; l < LANES; l++) {
        sums->d_bias.at[l] += d_z->at[l];
    }
    for (int64_t j = 0; j < op->width && j <= t; j++) {
        struct lanes room;
        const float *x = load(block, op->x, row * op->tokens + t - j, &room);
        for (int l = 0; l < LANES; l++) {
            sums->d_tap[j].at[l] += d_z->at[l] * x[l];
        }
    }
}

/* From the last token back, with the gradients of the `width` tokens from t on in a ring. */
static void backward_row(const struct block *block, int64_t row, struct sums *sums)
{
    const struct lq_op_convolution *op = block->op;
    struct lanes ring[WIDTH_MAX];
    for (int64_t t = op->tokens - 1; t >= 0; t--) {
        prefetch(block, op->x, row * op->tokens + t - op->width - AHEAD);
        prefetch(block, op->d_out, row * op->tokens + t - AHEAD);
        go_back(block, row, t, &ring[t % op->width]);
        add_to_taps(block, row, t, &ring[t % op->width], sums);
        struct lanes d_x = {{0.0F}};
        for (int64_t j = 0; j < op->width && t + j < op->tokens; j++) {
            const struct lanes *d_z = &ring[(t + j) % op->width];
            for (int l = 0; l < LANES; l++) {
                d_x.at[l] += block->tap[j].at[l] * d_z->at[l];
            }
        }
        store(block, op->d_x, row * op->tokens + t, &d_x);
    }
}

/* Items are channel blocks with all their rows: one thread sums a channel's gradients. */
static void run_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_convolution *op = context;
    float *d_weight = op->d_weight;
    float *d_bias = op->d_bias;
    struct block block;
    struct sums sums;
    for (int64_t item = begin; item < end; item++) {
        load_block(op, item, &block);
        memset(&sums, 0, sizeof sums);
        for (int64_t row = 0; row < op->rows; row++) {
            backward_row(&block, row, &sums);
        }
        for (int64_t l = 0; d_bias != NULL && l < block.channels; l++) {
            d_bias[block.channel + l] += sums.d_bias.at[l];
        }
        for (int64_t l = 0; d_weight != NULL && l < block.channels; l++) {
            for (int64_t j = 0; j < op->width; j++) {
                d_weight[(block.channel + l) * op->width + op->width - 1 - j] +=
                    sums.d_tap[j].at[l];
            }
        }
    }
}

enum lq_code lq_cpu_convolution(struct lq_device *device, const struct lq_op_convolution *op,
                                enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->width >= 1 && op->width <= WIDTH_MAX);
    struct lq_op_convolution copy = *op;
    const bool forward = pass == LQ_PASS_FORWARD;
    if (forward) {
        lq_parallel(device, op->rows * count_blocks(op), 1, run_forward, &copy);
    } else {
        lq_parallel(device, count_blocks(op), 1, run_backward, &copy);
    }
    const double elements = (double)(op->rows * op->tokens * op->channels);
    lq_cpu_count(device, (struct lq_tally){
                             .flop = (forward ? 2.0 : 4.0) * (double)op->width * elements,
                             .traffic_bytes = (forward ? 2.0 : 3.0) * elements * sizeof(float)});
    return LQ_OK;
}
