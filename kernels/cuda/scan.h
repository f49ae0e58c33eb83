/* Inside of the selective scan: how a block of threads is spread over channels and states, and what
 * a chunk of tokens brings. A thread has a channel and one state of a group of states; time is
 * walked token after token, sums over states or channels are made for a chunk at once. */
#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

enum {
    LQ_SCAN_THREADS = 256,
    LQ_SCAN_STATES_MAX = 256,
    LQ_SCAN_CHUNK = 16,       /* tokens at most */
    LQ_SCAN_CHUNK_CELLS = 512 /* tokens times channels at most */
};

struct lq_scan {
    struct lq_op_scan op;
    int lanes;      /* states of a group: a power of 2, at most a warp */
    int groups;     /* that all states make */
    int channels;   /* of a block: threads / lanes */
    int chunk;      /* tokens */
    int64_t blocks; /* of channels */
    int64_t chunks; /* of a row's tokens */
};

struct lq_scan lq_scan_spread(const struct lq_op_scan *op);

/* One backward pass. A row's channels are split into parts, each walked by one block of threads. */
struct lq_scan_work {
    struct lq_scan s;
    int64_t parts;
    float *kept;   /* [rows][parts][chunks][groups][threads]: states before a chunk */
    float *d_b;    /* [parts][rows, tokens, states]: a part's share */
    float *d_c;    /* likewise */
    float *d_a;    /* [rows][channels][states]: a row's share */
    float *d_skip; /* [rows][channels] */
    float *d_bias; /* likewise */
};

/* Shares to gradients: those of parts are written, those of rows added. Errors: LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_scan_join(struct lq_device *device, const struct lq_scan_work *w,
                                      struct lq_error *err);

/* Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_scan_backward(struct lq_device *device, const struct lq_op_scan *op,
                                          struct lq_error *err);

/* Where a block is: a row, its first channel, the chunk's first token of all rows and how many
 * tokens it has. */
struct lq_scan_place {
    int64_t row;
    int64_t channel;
    int64_t token;
    int tokens;
};

/* ln(1 + e^x); from 20 on x itself, to fp32's precision. */
static __device__ __forceinline__ float lq_softplus(float x)
{
    return x > 20.0F ? x : log1pf(expf(x));
}

/* a = -exp(a_log) of this thread's channel and its state in `group`; 0 past the last of either. */
template <typename T>
static __device__ __forceinline__ float lq_scan_decay(const struct lq_scan &s, int64_t channel,
                                                      int64_t state)
{
    const bool inside = channel < s.op.channels && state < s.op.states;
    return inside ? -expf(lq_load((const T *)s.op.a_log + channel * s.op.states + state)) : 0.0F;
}

/* `from` [tokens, channels] of the chunk to `to` [chunk][channels]; 0 past the last channel. */
template <typename T>
static __device__ __forceinline__ void
lq_scan_load(const struct lq_scan &s, const struct lq_scan_place &at, const void *from, float *to)
{
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int64_t channel = at.channel + i % s.channels;
        const int64_t token = at.token + i / s.channels;
        to[i] = channel < s.op.channels ? lq_load((const T *)from + token * s.op.channels + channel)
                                        : 0.0F;
    }
}

/* step + bias and dt = softplus of it, [chunk][channels]. */
template <typename T>
static __device__ __forceinline__ void
lq_scan_load_steps(const struct lq_scan &s, const struct lq_scan_place &at, float *step, float *dt)
{
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int64_t channel = at.channel + i % s.channels;
        const int64_t token = at.token + i / s.channels;
        float value = 0.0F;
        if (channel < s.op.channels) {
            value = lq_load((const T *)s.op.step + token * s.op.channels + channel) +
                    lq_load((const T *)s.op.bias + channel);
        }
        step[i] = value;
        dt[i] = lq_softplus(value);
    }
}

/* A group of `from` [tokens, states] to `to` [chunk][lanes]; 0 past the last state. */
template <typename T>
static __device__ __forceinline__ void lq_scan_load_states(const struct lq_scan &s,
                                                           const struct lq_scan_place &at,
                                                           int group, const void *from, float *to)
{
    for (int i = (int)threadIdx.x; i < at.tokens * s.lanes; i += LQ_SCAN_THREADS) {
        const int64_t state = (int64_t)group * s.lanes + i % s.lanes;
        const int64_t token = at.token + i / s.lanes;
        to[i] = state < s.op.states ? lq_load((const T *)from + token * s.op.states + state) : 0.0F;
    }
}

/* Chunk `number` of a row. */
static __device__ __forceinline__ void lq_scan_enter(const struct lq_scan &s, int64_t number,
                                                     struct lq_scan_place *at)
{
    const int64_t first = number * s.chunk;
    at->token = at->row * s.op.tokens + first;
    at->tokens = (int)(s.op.tokens - first < s.chunk ? s.op.tokens - first : s.chunk);
}

/* The sum over states of values [threads] for one channel of the block. Channels begin at different
 * states: with the same one, they would wait for the same bank. */
static __device__ __forceinline__ float lq_scan_sum_states(const struct lq_scan &s,
                                                           const float *values, int channel)
{
    float sum = 0.0F;
    for (int n = 0; n < s.lanes; n++) {
        sum += values[channel * s.lanes + ((n + channel) & (s.lanes - 1))];
    }
    return sum;
}
