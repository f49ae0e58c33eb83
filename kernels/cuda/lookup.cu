/* Rows of a table by index, and their gradient. A row's tokens are listed first, then added in
 * their order by who has that row: no sum depends on who comes first. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

enum { ROWS = 8 }; /* warps of a block that copies rows */

template <typename T> static __global__ void read_rows(struct lq_op_lookup op, int64_t packs)
{
    const int64_t step = (int64_t)gridDim.x * ROWS;
    for (int64_t t = (int64_t)blockIdx.x * ROWS + threadIdx.y; t < op.tokens; t += step) {
        const T *from = (const T *)op.table + op.ids[t] * op.hidden;
        T *to = (T *)op.out + t * op.hidden;
        for (int64_t i = threadIdx.x; i < packs; i += LQ_WARP) {
            lq_store_pack(to, i, lq_load_pack(from, i));
        }
        for (int64_t i = packs * lq_pack<T>::COUNT + threadIdx.x; i < op.hidden; i += LQ_WARP) {
            to[i] = from[i];
        }
    }
}

/* The tokens of each row of the table. Where a row's list begins in `listed` and `ordered` depends
 * on who comes first; what `ordered` holds from there on does not. */
struct lists {
    unsigned *total;   /* tokens that have been given a place; what is up to `begin` starts as 0 */
    unsigned *count;   /* [vocabulary]: tokens of a row */
    unsigned *begin;   /* [vocabulary]: of its list */
    unsigned *arrival; /* [tokens]: among those of its row */
    int32_t *listed;   /* [tokens], in order of arrival */
    int32_t *ordered;  /* [tokens], each list rising */
};

static __global__ void count_tokens(struct lq_op_lookup op, struct lists lists)
{
    for (int64_t t = lq_thread(); t < op.tokens; t += lq_thread_count()) {
        lists.arrival[t] = atomicAdd(&lists.count[op.ids[t]], 1U);
    }
}

static __global__ void place_lists(struct lq_op_lookup op, struct lists lists)
{
    for (int64_t t = lq_thread(); t < op.tokens; t += lq_thread_count()) {
        if (lists.arrival[t] == 0) {
            const int32_t id = op.ids[t];
            lists.begin[id] = atomicAdd(lists.total, lists.count[id]);
        }
    }
}

static __global__ void list_tokens(struct lq_op_lookup op, struct lists lists)
{
    for (int64_t t = lq_thread(); t < op.tokens; t += lq_thread_count()) {
        lists.listed[lists.begin[op.ids[t]] + lists.arrival[t]] = (int32_t)t;
    }
}

/* A token's rank is how many of its row come before it. */
static __global__ void order_tokens(struct lq_op_lookup op, struct lists lists)
{
    for (int64_t t = lq_thread(); t < op.tokens; t += lq_thread_count()) {
        const int32_t id = op.ids[t];
        const int32_t *list = lists.listed + lists.begin[id];
        const unsigned count = lists.count[id];
        unsigned rank = 0;
        for (unsigned i = 0; i < count; i++) {
            rank += list[i] < (int32_t)t ? 1U : 0U;
        }
        lists.ordered[lists.begin[id] + rank] = (int32_t)t;
    }
}

/* The first token of each row adds up all of them; grid.y divides the columns. */
template <typename T> static __global__ void add_rows(struct lq_op_lookup op, struct lists lists)
{
    for (int64_t t = blockIdx.x; t < op.tokens; t += gridDim.x) {
        const int32_t id = op.ids[t];
        const int32_t *tokens = lists.ordered + lists.begin[id];
        const unsigned count = lists.count[id];
        if (tokens[0] != (int32_t)t) {
            continue;
        }
        T *to = (T *)op.d_table + id * op.hidden;
        const int64_t first = (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
        for (int64_t i = first; i < op.hidden; i += (int64_t)gridDim.y * blockDim.x) {
            float sum = lq_load(to + i);
            for (unsigned j = 0; j < count; j++) {
                sum += lq_load((const T *)op.d_out + tokens[j] * op.hidden + i);
            }
            lq_store(to + i, sum);
        }
    }
}

template <typename T>
static enum lq_code run_forward(struct lq_device *device, const struct lq_op_lookup *op,
                                struct lq_error *err)
{
    const struct lq_op_lookup copy = *op;
    const bool aligned =
        lq_aligned(op->table) && lq_aligned(op->out) && op->hidden % lq_pack<T>::COUNT == 0;
    const int64_t packs = aligned ? op->hidden / lq_pack<T>::COUNT : 0;
    const unsigned grid = lq_cuda_grid(device, op->tokens, ROWS);
    return LQ_LAUNCH(device, err, read_rows<T>, grid, dim3(LQ_WARP, ROWS), 0, copy, packs);
}

static enum lq_code make_lists(struct lq_device *device, const struct lq_op_lookup *op,
                               struct lists *lists, struct lq_error *err)
{
    const size_t tokens = (size_t)op->tokens;
    const size_t rows = (size_t)op->vocabulary;
    void *scratch = NULL;
    LQ_TRY(lq_cuda_scratch(device, (1 + 2 * rows + 3 * tokens) * sizeof(int32_t), &scratch, err));
    lists->total = (unsigned *)scratch;
    lists->count = lists->total + 1;
    lists->begin = lists->count + rows;
    lists->arrival = lists->begin + rows;
    lists->listed = (int32_t *)(lists->arrival + tokens);
    lists->ordered = lists->listed + tokens;
    return lq_cuda_check(cudaMemsetAsync(scratch, 0, (1 + rows) * sizeof(int32_t), device->stream),
                         "zeroing", err);
}

static enum lq_code list_all(struct lq_device *device, const struct lq_op_lookup *op,
                             struct lists *out, struct lq_error *err)
{
    LQ_TRY(make_lists(device, op, out, err));
    const struct lq_op_lookup copy = *op;
    const struct lists lists = *out;
    const unsigned grid = lq_cuda_grid(device, op->tokens, LQ_THREADS);
    LQ_TRY(LQ_LAUNCH(device, err, count_tokens, grid, LQ_THREADS, 0, copy, lists));
    LQ_TRY(LQ_LAUNCH(device, err, place_lists, grid, LQ_THREADS, 0, copy, lists));
    LQ_TRY(LQ_LAUNCH(device, err, list_tokens, grid, LQ_THREADS, 0, copy, lists));
    return LQ_LAUNCH(device, err, order_tokens, grid, LQ_THREADS, 0, copy, lists);
}

template <typename T>
static enum lq_code run_backward(struct lq_device *device, const struct lq_op_lookup *op,
                                 struct lq_error *err)
{
    struct lists lists = {};
    LQ_TRY(list_all(device, op, &lists, err));
    const struct lq_op_lookup copy = *op;
    const int64_t slabs = op->hidden / LQ_THREADS + 1;
    const dim3 grid(lq_cuda_grid(device, op->tokens, 1), (unsigned)(slabs < 64 ? slabs : 64));
    return LQ_LAUNCH(device, err, add_rows<T>, grid, LQ_THREADS, 0, copy, lists);
}

enum lq_code lq_cuda_lookup(struct lq_device *device, const struct lq_op_lookup *op,
                            enum lq_pass pass, struct lq_error *err)
{
    assert(op->tokens >= 0 && op->tokens <= INT32_MAX && op->hidden >= 1);
    const double elements = (double)op->tokens * (double)op->hidden;
    if (pass == LQ_PASS_FORWARD) {
        LQ_TRY(LQ_BY_ELEMENT(device, run_forward, device, op, err));
        lq_cuda_count_traffic(device, 2.0, elements);
    } else {
        LQ_TRY(LQ_BY_ELEMENT(device, run_backward, device, op, err));
        lq_cuda_count_traffic(device, 3.0, elements);
    }
    return LQ_OK;
}
