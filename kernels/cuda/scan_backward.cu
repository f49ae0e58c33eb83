/* Backward of the selective scan: keeps the states before each chunk of tokens, then goes through
 * the chunks from the last to the first and runs the states of each again. Sums over channels and
 * rows are made in two launches, so that each has its order. */
#include "kernels/cuda/scan.h"

/* Blocks of threads that keep a device busy; more would only need more memory. */
enum { BLOCKS_WANTED = 256 };

/* Shared memory of the kernel; [chunk][channels] unless said. */
struct backward_room {
    float *states; /* [chunk + 1][threads]: before and after each token, then their gradients */
    float *shares; /* [chunk][threads]: a d exponent of each state */
    float *carry;  /* [groups][threads]: gradients that later tokens hand down; states in between */
    float *d_a;    /* [groups][threads] */
    float *x;
    float *step;
    float *dt;
    float *d_out;
    float *d_x;
    float *d_dt;
    float *b; /* [chunk][lanes] */
    float *c;
    float *d_skip; /* [channels] */
    float *d_bias;
};

static size_t count_room(const struct lq_scan *s)
{
    return (size_t)((2 * s->chunk + 1 + 2 * s->groups) * LQ_SCAN_THREADS +
                    6 * s->chunk * s->channels + 2 * s->chunk * s->lanes + 2 * s->channels);
}

static __device__ __forceinline__ backward_room lay_out(const struct lq_scan &s, float *memory)
{
    const int cells = s.chunk * s.channels;
    backward_room room;
    room.states = memory;
    room.shares = room.states + (s.chunk + 1) * LQ_SCAN_THREADS;
    room.carry = room.shares + s.chunk * LQ_SCAN_THREADS;
    room.d_a = room.carry + s.groups * LQ_SCAN_THREADS;
    room.x = room.d_a + s.groups * LQ_SCAN_THREADS;
    room.step = room.x + cells;
    room.dt = room.step + cells;
    room.d_out = room.dt + cells;
    room.d_x = room.d_out + cells;
    room.d_dt = room.d_x + cells;
    room.b = room.d_dt + cells;
    room.c = room.b + s.chunk * s.lanes;
    room.d_skip = room.c + s.chunk * s.lanes;
    room.d_bias = room.d_skip + s.channels;
    return room;
}

/* Where this thread keeps its state of a group before chunk `number`. */
static __device__ __forceinline__ float *kept_at(const struct lq_scan_work &w, int64_t number,
                                                 int group)
{
    const int64_t chunk = (int64_t)blockIdx.x * w.s.chunks + number;
    return w.kept + (chunk * w.s.groups + group) * LQ_SCAN_THREADS + (int)threadIdx.x;
}

/* This thread's state of a group through the chunk, from `state`; each is stored to `states` where
 * that is not NULL. */
template <typename T>
static __device__ __forceinline__ float advance(const struct lq_scan &s, const backward_room &room,
                                                const struct lq_scan_place &at, int group,
                                                float state, float *states)
{
    const int lane = (int)threadIdx.x % s.lanes;
    const int channel = (int)threadIdx.x / s.lanes;
    const float a = lq_scan_decay<T>(s, at.channel + channel, (int64_t)group * s.lanes + lane);
    for (int t = 0; t < at.tokens; t++) {
        const float dt = room.dt[t * s.channels + channel];
        const float input = dt * room.x[t * s.channels + channel];
        if (states != NULL) {
            states[t * LQ_SCAN_THREADS + (int)threadIdx.x] = state;
        }
        state = expf(dt * a) * state + input * room.b[t * s.lanes + lane];
    }
    if (states != NULL) {
        states[at.tokens * LQ_SCAN_THREADS + (int)threadIdx.x] = state;
    }
    return state;
}

/* Runs a row's states forward and keeps those before each chunk. */
template <typename T>
static __device__ __forceinline__ void
keep_states(const struct lq_scan_work &w, const backward_room &room, struct lq_scan_place at)
{
    const struct lq_scan &s = w.s;
    for (int group = 0; group < s.groups; group++) {
        room.carry[group * LQ_SCAN_THREADS + (int)threadIdx.x] = 0.0F;
    }
    for (int64_t number = 0; number < s.chunks; number++) {
        lq_scan_enter(s, number, &at);
        lq_scan_load<T>(s, at, s.op.x, room.x);
        lq_scan_load_steps<T>(s, at, room.step, room.dt);
        for (int group = 0; group < s.groups; group++) {
            lq_scan_load_states<T>(s, at, group, s.op.b, room.b);
            __syncthreads();
            float *state = room.carry + group * LQ_SCAN_THREADS + (int)threadIdx.x;
            *kept_at(w, number, group) = *state;
            *state = advance<T>(s, room, at, group, *state, NULL);
            __syncthreads();
        }
    }
}

/* Adds to a part's share of a gradient [tokens, states] the sum over the block's channels of
 * factor[t][channel] * values[t][thread]; the part's first block writes. */
static __device__ __forceinline__ void
sum_channels(const struct lq_scan &s, const struct lq_scan_place &at, int group, bool first,
             const float *factors, const float *more_factors, const float *values, float *gradient)
{
    for (int i = (int)threadIdx.x; i < at.tokens * s.lanes; i += LQ_SCAN_THREADS) {
        const int t = i / s.lanes;
        const int lane = i % s.lanes;
        const int64_t state = (int64_t)group * s.lanes + lane;
        float sum = 0.0F;
        for (int channel = 0; channel < s.channels; channel++) {
            const int cell = t * s.channels + channel;
            const float factor = factors[cell] * (more_factors == NULL ? 1.0F : more_factors[cell]);
            sum += factor * values[t * LQ_SCAN_THREADS + channel * s.lanes + lane];
        }
        if (state < s.op.states) {
            float *to = gradient + (at.token + t) * s.op.states + state;
            *to = sum + (first ? 0.0F : *to);
        }
    }
}

/* This thread's state of a group from the chunk's last token to its first: gradients of the states
 * in place of the states before a token, and of dt by way of the exponent. */
template <typename T>
static __device__ __forceinline__ void go_back(const struct lq_scan &s, const backward_room &room,
                                               const struct lq_scan_place &at, int group)
{
    const int lane = (int)threadIdx.x % s.lanes;
    const int channel = (int)threadIdx.x / s.lanes;
    const int own = group * LQ_SCAN_THREADS + (int)threadIdx.x;
    const float a = lq_scan_decay<T>(s, at.channel + channel, (int64_t)group * s.lanes + lane);
    float carry = room.carry[own];
    float d_a = room.d_a[own];
    for (int t = at.tokens - 1; t >= 0; t--) {
        const int cell = t * s.channels + channel;
        float *state = room.states + t * LQ_SCAN_THREADS + (int)threadIdx.x;
        const float d_state = carry + room.d_out[cell] * room.c[t * s.lanes + lane];
        carry = d_state * expf(room.dt[cell] * a);
        const float d_exponent = carry * *state;
        d_a += d_exponent * room.dt[cell];
        room.shares[t * LQ_SCAN_THREADS + (int)threadIdx.x] = d_exponent * a;
        *state = d_state;
    }
    room.carry[own] = carry;
    room.d_a[own] = d_a;
}

/* d_x and d_dt from the gradients of a group's states: d input = d_state . b, input = dt x. */
static __device__ __forceinline__ void
sum_states(const struct lq_scan &s, const backward_room &room, const struct lq_scan_place &at)
{
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int t = i / s.channels;
        const int channel = i % s.channels;
        const float *d_states = room.states + t * LQ_SCAN_THREADS + channel * s.lanes;
        float d_input = 0.0F;
        for (int n = 0; n < s.lanes; n++) {
            const int lane = (n + channel) & (s.lanes - 1);
            d_input += d_states[lane] * room.b[t * s.lanes + lane];
        }
        room.d_x[i] += d_input * room.dt[i];
        room.d_dt[i] +=
            d_input * room.x[i] + lq_scan_sum_states(s, room.shares + t * LQ_SCAN_THREADS, channel);
    }
}

/* One group of states through the chunk. */
template <typename T>
static __device__ __forceinline__ void
run_group(const struct lq_scan_work &w, const backward_room &room, const struct lq_scan_place &at,
          int64_t number, int group, bool first)
{
    const struct lq_scan &s = w.s;
    const int64_t shared = (int64_t)(blockIdx.x % w.parts) * s.op.rows * s.op.tokens * s.op.states;
    lq_scan_load_states<T>(s, at, group, s.op.b, room.b);
    lq_scan_load_states<T>(s, at, group, s.op.c, room.c);
    __syncthreads();
    (void)advance<T>(s, room, at, group, *kept_at(w, number, group), room.states);
    __syncthreads();
    sum_channels(s, at, group, first, room.d_out, NULL, room.states + LQ_SCAN_THREADS,
                 w.d_c + shared);
    __syncthreads();
    go_back<T>(s, room, at, group);
    __syncthreads();
    sum_channels(s, at, group, first, room.dt, room.x, room.states, w.d_b + shared);
    sum_states(s, room, at);
    __syncthreads();
}

/* Begins d_x, by the skip, and d_dt; loads what the chunk brings. */
template <typename T>
static __device__ __forceinline__ void
begin_chunk(const struct lq_scan &s, const backward_room &room, const struct lq_scan_place &at)
{
    lq_scan_load<T>(s, at, s.op.x, room.x);
    lq_scan_load<T>(s, at, s.op.d_out, room.d_out);
    lq_scan_load_steps<T>(s, at, room.step, room.dt);
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int64_t channel = at.channel + i % s.channels;
        const float skip = channel < s.op.channels ? lq_load((const T *)s.op.skip + channel) : 0.0F;
        room.d_x[i] = skip * room.d_out[i]; /* of the same thread's loading */
        room.d_dt[i] = 0.0F;
    }
}

/* Stores d_x and d_step, d softplus(step) = sigmoid(step), and adds to the channels' sums. */
template <typename T>
static __device__ __forceinline__ void end_chunk(const struct lq_scan &s, const backward_room &room,
                                                 const struct lq_scan_place &at)
{
    for (int i = (int)threadIdx.x; i < at.tokens * s.channels; i += LQ_SCAN_THREADS) {
        const int64_t channel = at.channel + i % s.channels;
        const int64_t to = (at.token + i / s.channels) * s.op.channels + channel;
        const float d_step = room.d_dt[i] / (1.0F + expf(-room.step[i]));
        room.d_dt[i] = d_step;
        if (channel < s.op.channels) {
            lq_store((T *)s.op.d_x + to, room.d_x[i]);
            lq_store((T *)s.op.d_step + to, d_step);
        }
    }
    __syncthreads();
    for (int channel = (int)threadIdx.x; channel < s.channels; channel += LQ_SCAN_THREADS) {
        for (int t = 0; t < at.tokens; t++) {
            const int cell = t * s.channels + channel;
            room.d_bias[channel] += room.d_dt[cell];
            room.d_skip[channel] += room.d_out[cell] * room.x[cell];
        }
    }
    __syncthreads();
}

/* A row's sums of a block of channels to where they are joined. */
static __device__ __forceinline__ void
store_sums(const struct lq_scan_work &w, const backward_room &room, const struct lq_scan_place &at)
{
    const struct lq_scan &s = w.s;
    const int64_t channel = at.channel + (int)threadIdx.x / s.lanes;
    for (int group = 0; group < s.groups && channel < s.op.channels; group++) {
        const int64_t state = (int64_t)group * s.lanes + (int)threadIdx.x % s.lanes;
        if (state < s.op.states) {
            w.d_a[(at.row * s.op.channels + channel) * s.op.states + state] =
                room.d_a[group * LQ_SCAN_THREADS + (int)threadIdx.x];
        }
    }
    const int own = (int)threadIdx.x;
    if (own < s.channels && at.channel + own < s.op.channels) {
        w.d_skip[at.row * s.op.channels + at.channel + own] = room.d_skip[own];
        w.d_bias[at.row * s.op.channels + at.channel + own] = room.d_bias[own];
    }
    __syncthreads();
}

static __device__ __forceinline__ void clear_sums(const struct lq_scan &s,
                                                  const backward_room &room)
{
    for (int group = 0; group < s.groups; group++) {
        room.carry[group * LQ_SCAN_THREADS + (int)threadIdx.x] = 0.0F;
        room.d_a[group * LQ_SCAN_THREADS + (int)threadIdx.x] = 0.0F;
    }
    if ((int)threadIdx.x < s.channels) {
        room.d_skip[threadIdx.x] = 0.0F;
        room.d_bias[threadIdx.x] = 0.0F;
    }
}

/* A block of threads per part of a row. */
template <typename T>
static __global__ void __launch_bounds__(LQ_SCAN_THREADS, 2) differentiate(struct lq_scan_work w)
{
    LQ_DYNAMIC_SHARED(float, memory);
    const struct lq_scan &s = w.s;
    const backward_room room = lay_out(s, memory);
    const int64_t part = blockIdx.x % w.parts;
    for (int64_t block = part; block < s.blocks; block += w.parts) {
        struct lq_scan_place at = {blockIdx.x / w.parts, block * s.channels, 0, 0};
        keep_states<T>(w, room, at);
        clear_sums(s, room);
        for (int64_t number = s.chunks - 1; number >= 0; number--) {
            lq_scan_enter(s, number, &at);
            begin_chunk<T>(s, room, at);
            for (int group = 0; group < s.groups; group++) {
                run_group<T>(w, room, at, number, group, block == part);
            }
            end_chunk<T>(s, room, at);
        }
        store_sums(w, room, at);
    }
}

/* Floats of all shares. */
static size_t count_work(const struct lq_scan_work *w)
{
    const struct lq_op_scan *op = &w->s.op;
    const int64_t kept = op->rows * w->parts * w->s.chunks * w->s.groups * LQ_SCAN_THREADS;
    const int64_t shared = w->parts * op->rows * op->tokens * op->states;
    return (size_t)(kept + 2 * shared + op->rows * op->channels * (op->states + 2));
}

static void lay_out_work(struct lq_scan_work *w, float *memory)
{
    const struct lq_op_scan *op = &w->s.op;
    const int64_t shared = w->parts * op->rows * op->tokens * op->states;
    const int64_t channels = op->rows * op->channels;
    w->d_b = memory;
    w->d_c = w->d_b + shared;
    w->d_a = w->d_c + shared;
    w->d_skip = w->d_a + channels * op->states;
    w->d_bias = w->d_skip + channels;
    w->kept = w->d_bias + channels;
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_scan_work *w,
                        struct lq_error *err)
{
    const dim3 grid((unsigned)(w->s.op.rows * w->parts));
    return LQ_LAUNCH(device, err, differentiate<T>, grid, dim3(LQ_SCAN_THREADS),
                     count_room(&w->s) * sizeof(float), *w);
}

enum lq_code lq_scan_backward(struct lq_device *device, const struct lq_op_scan *op,
                              struct lq_error *err)
{
    struct lq_scan_work w = {};
    w.s = lq_scan_spread(op);
    if (op->rows * w.s.blocks == 0) {
        return LQ_OK;
    }
    const int64_t wanted = BLOCKS_WANTED / op->rows > 1 ? BLOCKS_WANTED / op->rows : 1;
    w.parts = w.s.blocks < wanted ? w.s.blocks : wanted;
    void *memory = NULL;
    LQ_TRY(lq_cuda_scratch(device, count_work(&w) * sizeof(float), &memory, err));
    lay_out_work(&w, (float *)memory);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, &w, err));
    return lq_scan_join(device, &w, err);
}
