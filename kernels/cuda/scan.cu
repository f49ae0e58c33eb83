/* The selective scan of Mamba, forward. Backward is in scan_backward.cu. */
#include "kernels/cuda/scan.h"

/* Shared memory of the forward kernel; [chunk][channels] unless said. */
struct forward_room {
    float *x;
    float *step;
    float *dt;
    float *b; /* [chunk][lanes] */
    float *c;
    float *out;
    float *state;  /* [groups][threads] */
    float *shares; /* [chunk][threads]: c h of each state */
};

struct lq_scan lq_scan_spread(const struct lq_op_scan *op)
{
    struct lq_scan s = {};
    s.op = *op;
    s.lanes = 1;
    while (s.lanes < LQ_WARP && s.lanes < op->states) {
        s.lanes *= 2;
    }
    s.groups = (int)((op->states + s.lanes - 1) / s.lanes);
    s.channels = LQ_SCAN_THREADS / s.lanes;
    const int cells = LQ_SCAN_CHUNK_CELLS / s.channels;
    s.chunk = cells < LQ_SCAN_CHUNK ? cells : (int)LQ_SCAN_CHUNK;
    s.blocks = (op->channels + s.channels - 1) / s.channels;
    s.chunks = (op->tokens + s.chunk - 1) / s.chunk;
    return s;
}

static size_t bytes_of_forward(const struct lq_scan *s)
{
    const int cells = 4 * s->chunk * s->channels + 2 * s->chunk * s->lanes;
    return (size_t)(cells + (s->groups + s->chunk) * LQ_SCAN_THREADS) * sizeof(float);
}

static __device__ __forceinline__ forward_room lay_out(const struct lq_scan &s, float *memory)
{
    const int cells = s.chunk * s.channels;
    forward_room room;
    room.shares = memory;
    room.state = room.shares + s.chunk * LQ_SCAN_THREADS;
    room.x = room.state + s.groups * LQ_SCAN_THREADS;
    room.step = room.x + cells;
    room.dt = room.step + cells;
    room.out = room.dt + cells;
    room.b = room.out + cells;
    room.c = room.b + s.chunk * s.lanes;
    return room;
}

/* A group's states through the chunk; what they add to its outputs. */
template <typename T>
static __device__ __forceinline__ void advance(const struct lq_scan &s, const forward_room &room,
                                               const struct lq_scan_place &at, int group)
{
    const int lane = (int)threadIdx.x % s.lanes;
    const int channel = (int)threadIdx.x / s.lanes;
    lq_scan_load_states<T>(s, at, group, s.op.b, room.b);
    lq_scan_load_states<T>(s, at, group, s.op.c, room.c);
    __syncthreads();
    const float a = lq_scan_decay<T>(s, at.channel + channel, (int64_t)group * s.lanes + lane);
    float *kept = room.state + group * LQ_SCAN_THREADS + (int)threadIdx.x;
    float state = *kept;
    for (int t = 0; t < at.tokens; t++) {
        const float dt = room.dt[t * s.channels + channel];
        const float input = dt * room.x[t * s.channels + channel];
        state = expf(dt * a) * state + input * room.b[t * s.lanes + lane];
        room.shares[t * LQ_SCAN_THREADS + (int)threadIdx.x] = room.c[t * s.lanes + lane] * state;
    }
    *kept = state;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        room.out[i] +=
            lq_scan_sum_states(s, room.shares + i / s.channels * LQ_SCAN_THREADS, i % s.channels);
    }
    __syncthreads();
}

template <typename T>
static __device__ __forceinline__ void run_chunk(const struct lq_scan &s, const forward_room &room,
                                                 const struct lq_scan_place &at)
{
    lq_scan_load<T>(s, at, s.op.x, room.x);
    lq_scan_load_steps<T>(s, at, room.step, room.dt);
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int64_t channel = at.channel + i % s.channels;
        const float skip = channel < s.op.channels ? lq_load((const T *)s.op.skip + channel) : 0.0F;
        room.out[i] = skip * room.x[i]; /* of the same thread's loading */
    }
    for (int group = 0; group < s.groups; group++) {
        advance<T>(s, room, at, group);
    }
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int64_t channel = at.channel + i % s.channels;
        const int64_t token = at.token + i / s.channels;
        if (channel < s.op.channels) {
            lq_store((T *)s.op.out + token * s.op.channels + channel, room.out[i]);
        }
    }
    __syncthreads();
}

/* A block per block of channels of a row. */
template <typename T>
static __global__ void __launch_bounds__(LQ_SCAN_THREADS) scan(struct lq_scan s)
{
    LQ_DYNAMIC_SHARED(float, memory);
    const forward_room room = lay_out(s, memory);
    for (int64_t item = blockIdx.x; item < s.op.rows * s.blocks; item += gridDim.x) {
        struct lq_scan_place at = {item / s.blocks, item % s.blocks * s.channels, 0, 0};
        for (int group = 0; group < s.groups; group++) {
            room.state[group * LQ_SCAN_THREADS + (int)threadIdx.x] = 0.0F;
        }
        for (int64_t number = 0; number < s.chunks; number++) {
            lq_scan_enter(s, number, &at);
            run_chunk<T>(s, room, at);
        }
    }
}

template <typename T>
static enum lq_code forward(struct lq_device *device, const struct lq_op_scan *op,
                            struct lq_error *err)
{
    const struct lq_scan s = lq_scan_spread(op);
    const dim3 grid(lq_cuda_grid(device, op->rows * s.blocks, 1));
    return LQ_LAUNCH(device, err, scan<T>, grid, dim3(LQ_SCAN_THREADS), bytes_of_forward(&s), s);
}

static struct lq_tally count(const struct lq_op_scan *op, enum lq_pass pass, double element_bytes)
{
    const double channels = (double)(op->rows * op->tokens * op->channels);
    const double states = (double)(op->rows * op->tokens * op->states);
    const bool forward = pass == LQ_PASS_FORWARD;
    struct lq_tally work = {};
    work.flop = (forward ? 9.0 : 18.0) * channels * (double)op->states;
    work.traffic_bytes =
        element_bytes * (forward ? 3.0 * channels + 2.0 * states : 5.0 * channels + 4.0 * states);
    return work;
}

enum lq_code lq_cuda_scan(struct lq_device *device, const struct lq_op_scan *op, enum lq_pass pass,
                          struct lq_error *err)
{
    assert(op->states >= 1 && op->states <= LQ_SCAN_STATES_MAX);
    if (pass == LQ_PASS_FORWARD) {
        LQ_TRY(LQ_BY_ELEMENT(device, forward, device, op, err));
    } else {
        LQ_TRY(lq_scan_backward(device, op, err));
    }
    lq_cuda_count(device, count(op, pass, (double)lq_cuda_size(device)));
    return LQ_OK;
}
