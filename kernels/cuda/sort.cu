/* Tokens' places among their experts: a stable counting sort in three launches. Moving rows there
 * is in permutation.cu. */
#include "kernels/cuda/launch.h"

/* Choices are split into as many chunks as one launch can add up per expert, a warp each. */
enum { EXPERTS_MAX = 1024, CHUNKS_MAX = 256, CHUNK_MIN = 256 };
enum : unsigned { WHOLE_WARP = 0xffffffffU };

/* The sort of one operation. counts [chunks][experts]: choices of an expert in a chunk, then how
 * many of it are in chunks before. */
struct sorting {
    struct lq_op_permutation op;
    int64_t choices;
    int64_t chunk; /* choices, a multiple of the warp */
    int chunks;
    int32_t *counts;
};

static __device__ int64_t end_of(const struct sorting *s, int64_t begin)
{
    return begin + s->chunk < s->choices ? begin + s->chunk : s->choices;
}

static __global__ void __launch_bounds__(LQ_WARP) count(struct sorting s)
{
    __shared__ int32_t counters[EXPERTS_MAX];
    const int experts = (int)s.op.experts;
    const int64_t begin = blockIdx.x * s.chunk;
    for (int e = (int)threadIdx.x; e < experts; e += LQ_WARP) {
        counters[e] = 0;
    }
    __syncwarp();
    for (int64_t i = begin + threadIdx.x; i < end_of(&s, begin); i += LQ_WARP) {
        atomicAdd(&counters[s.op.index[i]], 1);
    }
    __syncwarp();
    for (int e = (int)threadIdx.x; e < experts; e += LQ_WARP) {
        s.counts[blockIdx.x * s.op.experts + e] = counters[e];
    }
}

/* How many lower lanes of the warp add up to, by value; `total` is the sum of all lanes. */
static __device__ int32_t sum_before(int32_t value, int32_t *total)
{
    const int lane = (int)(threadIdx.x % LQ_WARP);
    int32_t sum = value;
    for (int offset = 1; offset < LQ_WARP; offset *= 2) {
        const int32_t lower = __shfl_up_sync(WHOLE_WARP, sum, (unsigned)offset);
        sum += lane >= offset ? lower : 0;
    }
    *total = __shfl_sync(WHOLE_WARP, sum, LQ_WARP - 1);
    return sum - value;
}

/* One block, a thread per expert: counts to sums over chunks, then offsets over experts. */
static __global__ void __launch_bounds__(EXPERTS_MAX) add_up(struct sorting s)
{
    __shared__ int32_t totals[EXPERTS_MAX];
    const int experts = (int)s.op.experts;
    const int e = (int)threadIdx.x;
    int32_t before = 0;
    for (int chunk = 0; chunk < s.chunks && e < experts; chunk++) {
        int32_t *at = s.counts + (int64_t)chunk * experts + e;
        const int32_t here = *at;
        *at = before;
        before += here;
    }
    totals[e] = before;
    __syncthreads();
    if (e >= LQ_WARP) {
        return;
    }
    int32_t offset = 0;
    for (int first = 0; first < experts; first += LQ_WARP) {
        int32_t total;
        const int32_t lower = sum_before(totals[first + e], &total);
        if (first + e < experts) {
            s.op.offsets[first + e] = offset + lower;
        }
        offset += total;
    }
    if (e == 0) {
        s.op.offsets[experts] = offset;
    }
}

/* The lanes that hold the same expert: of every bit those that agree. Lanes past the end hold
 * EXPERTS_MAX. */
static __device__ uint32_t find_peers(int expert)
{
    uint32_t peers = WHOLE_WARP;
    for (int bit = 1; bit <= EXPERTS_MAX; bit *= 2) {
        const uint32_t set = __ballot_sync(WHOLE_WARP, (expert & bit) != 0);
        peers &= (expert & bit) != 0 ? set : ~set;
    }
    return peers;
}

/* A warp places its chunk 32 choices at a time, in order: that makes the sort stable. */
static __global__ void __launch_bounds__(LQ_WARP) place(struct sorting s)
{
    __shared__ int32_t next[EXPERTS_MAX];
    const int lane = (int)threadIdx.x;
    const int experts = (int)s.op.experts;
    const int64_t begin = blockIdx.x * s.chunk;
    const int64_t end = end_of(&s, begin);
    for (int e = lane; e < experts; e += LQ_WARP) {
        next[e] = s.op.offsets[e] + s.counts[blockIdx.x * s.op.experts + e];
    }
    __syncwarp();
    for (int64_t first = begin; first < end; first += LQ_WARP) {
        const bool inside = first + lane < end;
        const int expert = inside ? s.op.index[first + lane] : EXPERTS_MAX;
        const uint32_t peers = find_peers(expert);
        const int rank = __popc(peers & ((1U << lane) - 1U));
        if (inside) {
            s.op.slots[first + lane] = next[expert] + rank;
        }
        __syncwarp();
        if (inside && rank == 0) {
            next[expert] += __popc(peers);
        }
        __syncwarp();
    }
}

static enum lq_code run(struct lq_device *device, const struct lq_op_permutation *op,
                        struct lq_error *err)
{
    struct sorting s = {};
    s.op = *op;
    s.choices = op->tokens * op->active;
    const int64_t share = (s.choices + CHUNKS_MAX - 1) / CHUNKS_MAX;
    s.chunk = share < CHUNK_MIN ? (int64_t)CHUNK_MIN : (share + LQ_WARP - 1) / LQ_WARP * LQ_WARP;
    s.chunks = (int)((s.choices + s.chunk - 1) / s.chunk);
    void *memory = NULL;
    const size_t bytes = (size_t)s.chunks * (size_t)op->experts * sizeof(int32_t);
    LQ_TRY(lq_cuda_scratch(device, bytes, &memory, err));
    s.counts = (int32_t *)memory;
    const dim3 chunks((unsigned)s.chunks);
    if (s.chunks > 0) {
        LQ_TRY(LQ_LAUNCH(device, err, count, chunks, dim3(LQ_WARP), 0, s));
    }
    LQ_TRY(LQ_LAUNCH(device, err, add_up, dim3(1), dim3(EXPERTS_MAX), 0, s));
    if (s.chunks > 0) {
        LQ_TRY(LQ_LAUNCH(device, err, place, chunks, dim3(LQ_WARP), 0, s));
    }
    return LQ_OK;
}

enum lq_code lq_cuda_sort(struct lq_device *device, const struct lq_op_permutation *op,
                          struct lq_error *err)
{
    assert(op->experts >= 1 && op->experts <= EXPERTS_MAX && op->tokens >= 0 && op->active >= 0);
    assert(op->tokens * op->active <= INT32_MAX);
    LQ_TRY(run(device, op, err));
    const struct lq_tally none = {};
    lq_cuda_count(device, none);
    return LQ_OK;
}
