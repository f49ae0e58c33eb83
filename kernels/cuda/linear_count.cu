/* Weight bytes of groups with rows, counted where their offsets are: on the device. */
#include "kernels/cuda/linear.h"
#include "kernels/cuda/reduce.h"

/* One block. Sums are of whole bytes, exact in any order below 2^53. */
static __global__ void __launch_bounds__(LQ_THREADS)
    count_groups(const int32_t *offsets, int groups, double bytes, double *total)
{
    __shared__ float room[LQ_WARPS_MAX];
    float used = 0.0F;
    for (int g = (int)threadIdx.x; g < groups; g += LQ_THREADS) {
        used += offsets[g] < offsets[g + 1] ? 1.0F : 0.0F;
    }
    used = lq_block_sum(used, room);
    if (threadIdx.x == 0) {
        *total += (double)used * bytes;
    }
}

enum lq_code lq_linear_count_groups(struct lq_device *device, const struct lq_op_linear *op,
                                    double bytes, struct lq_error *err)
{
    if (bytes <= 0.0) {
        return LQ_OK;
    }
    if (device->weight_bytes == NULL) {
        void *memory = NULL;
        LQ_TRY(lq_cuda_check(cudaMalloc(&memory, sizeof(double)), "allocating a counter", err));
        device->weight_bytes = (double *)memory;
    }
    if (!device->weights_counted) {
        LQ_TRY(
            lq_cuda_check(cudaMemsetAsync(device->weight_bytes, 0, sizeof(double), device->stream),
                          "zeroing", err));
        device->weights_counted = true;
    }
    return LQ_LAUNCH(device, err, count_groups, dim3(1), dim3(LQ_THREADS), 0, op->offsets,
                     (int)op->groups, bytes, device->weight_bytes);
}

double lq_linear_collect(struct lq_device *device)
{
    double bytes = 0.0;
    if (!device->weights_counted) {
        return 0.0;
    }
    device->weights_counted = false;
    /* a device that cannot be read fails at the next call that may say so */
    const enum lq_code code =
        lq_cuda_to_host(device, &bytes, device->weight_bytes, sizeof bytes, NULL);
    return code == LQ_OK ? bytes : 0.0;
}

void lq_linear_close(struct lq_device *device)
{
    if (device->weight_bytes != NULL && cudaFree(device->weight_bytes) != cudaSuccess) {
        (void)cudaGetLastError();
    }
    device->weight_bytes = NULL;
}
