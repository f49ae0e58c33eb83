/* Matmuls: dense ones by the library; those of uneven experts by the library, expert after expert,
 * or by the grouped kernel, as a rule here decides. */
#include "kernels/cuda/linear.h"

/* Mean rows of a group up to which the grouped kernel is used. Below it an expert fills only part
 * of the device, and its launches take as long as its work: 256 rows of an expert of 2048 x 1408
 * take 5 us at 300 TFLOP/s, as long as a launch takes. ASSUMED; timing both on a GPU, by rows,
 * shows where they meet. */
enum { GROUPED_ROWS_MAX = 256 };

/* The product of rows begin <= t < end with weights w. */
static struct lq_product product_of(const struct lq_op_linear *op, int64_t begin, int64_t end,
                                    size_t size, void *w)
{
    char *x = (char *)op->x + (size_t)(begin * op->inputs) * size;
    char *y = (char *)op->y + (size_t)(begin * op->outputs) * size;
    struct lq_product p = {};
    p.arithmetic = op->arithmetic;
    p.accumulate = op->accumulate;
    p.scale = op->scale;
    p.m = op->pass == LQ_LINEAR_WEIGHT ? op->outputs : end - begin;
    p.n = op->pass == LQ_LINEAR_FORWARD ? op->outputs : op->inputs;
    switch (op->pass) {
    case LQ_LINEAR_FORWARD:
        p.b_transposed = true;
        p.k = op->inputs;
        p.a = x;
        p.b = w;
        p.c = y;
        break;
    case LQ_LINEAR_INPUT:
        p.k = op->outputs;
        p.a = y;
        p.b = w;
        p.c = x;
        break;
    case LQ_LINEAR_WEIGHT:
        p.a_transposed = true;
        p.k = end - begin;
        p.a = y;
        p.b = x;
        p.c = w;
        break;
    }
    return p;
}

/* One group by the library; without rows there is nothing to write but a gradient of 0. */
static enum lq_code run_group(struct lq_device *device, const struct lq_op_linear *op,
                              int64_t begin, int64_t end, int64_t group, struct lq_error *err)
{
    const size_t size = lq_cuda_size(device);
    const size_t bytes = (size_t)(op->outputs * op->inputs) * size;
    void *w = (char *)op->w + (size_t)group * bytes;
    if (begin == end) {
        if (op->pass != LQ_LINEAR_WEIGHT || op->accumulate) {
            return LQ_OK;
        }
        return lq_cuda_check(cudaMemsetAsync(w, 0, bytes, device->stream), "zeroing", err);
    }
    struct lq_product product = product_of(op, begin, end, size, w);
    if (op->arithmetic == LQ_ARITHMETIC_FP8) {
        LQ_TRY(lq_fp8_cast(device, &product, err));
    }
    return lq_blas_multiply(device, &product, err);
}

/* Waits for the offsets and runs group after group; `used` are those with rows. */
static enum lq_code run_groups(struct lq_device *device, const struct lq_op_linear *op,
                               int64_t *used, struct lq_error *err)
{
    int32_t offsets[LQ_GROUPS_MAX + 1];
    LQ_TRY(lq_cuda_to_host(device, offsets, op->offsets,
                           (size_t)(op->groups + 1) * sizeof offsets[0], err));
    assert(offsets[0] == 0 && offsets[op->groups] == op->tokens);
    for (int64_t g = 0; g < op->groups; g++) {
        LQ_TRY(run_group(device, op, offsets[g], offsets[g + 1], g, err));
        *used += offsets[g] < offsets[g + 1] ? 1 : 0;
    }
    return LQ_OK;
}

static bool is_for_grouped_kernel(const struct lq_device *device, const struct lq_op_linear *op)
{
    return device->element != LQ_ELEMENT_F32 && op->tokens <= op->groups * GROUPED_ROWS_MAX;
}

/* Why a product cannot be had in e4m3: what cuBLASLt takes (cuBLAS 13.0, cublasLtMatmul, "To use
 * FP8 kernels": sizes and addresses of 16 bytes, the first operand transposed). */
static enum lq_code check_fp8(const struct lq_device *device, const struct lq_op_linear *op,
                              struct lq_error *err)
{
    if (device->element == LQ_ELEMENT_F32) {
        return lq_fail(err, LQ_EDEVICE, NULL, "fp8 matmuls take bf16 or fp16, not fp32");
    }
    if (op->pass != LQ_LINEAR_FORWARD || op->groups > 1) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "fp8 matmuls are for forward passes of one group of tokens");
    }
    if (op->tokens % 16 != 0 || op->outputs % 16 != 0 || op->inputs % 16 != 0) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "fp8 matmuls take sizes that are multiples of 16; got %lld x %lld x %lld",
                       (long long)op->tokens, (long long)op->outputs, (long long)op->inputs);
    }
    return LQ_OK;
}

static enum lq_code check_arithmetic(const struct lq_device *device, const struct lq_op_linear *op,
                                     struct lq_error *err)
{
    static const char *const NAMES[] = {"native", "tf32", "fp8"};
    const unsigned offered = lq_cuda_arithmetics(device->major, device->minor);
    if ((offered & LQ_ARITHMETIC_BIT(op->arithmetic)) == 0) {
        return lq_fail(err, LQ_EDEVICE, NULL, "compute capability %d.%d has no %s matmuls",
                       device->major, device->minor, NAMES[op->arithmetic]);
    }
    if (op->arithmetic == LQ_ARITHMETIC_TF32 && device->element != LQ_ELEMENT_F32) {
        return lq_fail(err, LQ_EDEVICE, NULL, "tf32 matmuls take fp32, not 16-bit elements");
    }
    return op->arithmetic == LQ_ARITHMETIC_FP8 ? check_fp8(device, op, err) : LQ_OK;
}

/* Weight bytes are those of `groups`. */
static struct lq_tally work_of(const struct lq_op_linear *op, double groups, double element_bytes)
{
    const double tokens = (double)op->tokens;
    const double outputs = (double)op->outputs;
    const double inputs = (double)op->inputs;
    const double written = op->accumulate ? 2.0 : 1.0;
    struct lq_tally work = {};
    work.flop = 2.0 * tokens * outputs * inputs;
    if (op->arithmetic == LQ_ARITHMETIC_FP8) { /* factors are read twice, and written in 8 bits */
        work.stream_bytes = (tokens + outputs) * inputs * (2.0 * element_bytes + 1.0);
    }
    if (!op->adapter) {
        work.weight_bytes = outputs * inputs * element_bytes * groups;
        return work;
    }
    const double of_outputs = op->pass == LQ_LINEAR_FORWARD ? written : 1.0;
    const double of_inputs = op->pass == LQ_LINEAR_INPUT ? written : 1.0;
    work.traffic_bytes = tokens * (inputs * of_inputs + outputs * of_outputs) * element_bytes;
    return work;
}

enum lq_code lq_cuda_linear(struct lq_device *device, const struct lq_op_linear *op,
                            struct lq_error *err)
{
    assert(op->tokens >= 0 && op->outputs >= 1 && op->inputs >= 1 && op->groups >= 1);
    assert(op->offsets != NULL || op->groups == 1);
    const double size = (double)lq_cuda_size(device);
    int64_t used = 0;
    if (op->groups > LQ_GROUPS_MAX) {
        return lq_fail(err, LQ_EDEVICE, NULL, "%lld groups are more than the %d of a matmul",
                       (long long)op->groups, LQ_GROUPS_MAX);
    }
    LQ_TRY(check_arithmetic(device, op, err));
    LQ_TRY(lq_cuda_check(cudaSetDevice(device->index), "choosing the device", err));
    if (op->groups == 1) {
        used = op->tokens > 0 ? 1 : 0;
        LQ_TRY(run_group(device, op, 0, op->tokens, 0, err));
    } else if (is_for_grouped_kernel(device, op)) {
        const double bytes = op->adapter ? 0.0 : (double)(op->outputs * op->inputs) * size;
        LQ_TRY(lq_linear_count_groups(device, op, bytes, err));
        LQ_TRY(lq_linear_grouped(device, op, err));
    } else {
        LQ_TRY(run_groups(device, op, &used, err));
    }
    lq_cuda_count(device, work_of(op, (double)used, size));
    return LQ_OK;
}
