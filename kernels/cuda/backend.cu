/* The table of the CUDA backend. */
#include "kernels/cuda/device.h"

static struct lq_backend make_backend(void)
{
    struct lq_backend b = {};
    b.name = "cuda";
    b.version = lq_cuda_version;
    b.list = lq_cuda_list;
    b.open = lq_cuda_open;
    b.close = lq_cuda_close;
    b.state = lq_cuda_state;
    b.allocate = lq_cuda_allocate;
    b.release = lq_cuda_release;
    b.usage = lq_cuda_usage;
    b.to_device = lq_cuda_to_device;
    b.to_host = lq_cuda_to_host;
    b.copy = lq_cuda_copy;
    b.zero = lq_cuda_zero;
    b.randomize = lq_cuda_randomize;
    b.synchronize = lq_cuda_synchronize;
    b.tally = lq_cuda_tally;
    b.add = lq_cuda_add;
    b.sort = lq_cuda_sort;
    b.attention = lq_cuda_attention;
    b.router = lq_cuda_router;
    b.gather = lq_cuda_gather;
    b.combine = lq_cuda_combine;
    b.scan = lq_cuda_scan;
    b.linear = lq_cuda_linear;
    b.blocks = lq_cuda_blocks;
    b.dequantize = lq_cuda_dequantize;
    b.adamw = lq_cuda_adamw;
    b.norm = lq_cuda_norm;
    b.rotation = lq_cuda_rotation;
    b.activation = lq_cuda_activation;
    b.convolution = lq_cuda_convolution;
    b.loss = lq_cuda_loss;
    b.lookup = lq_cuda_lookup;
    b.group = lq_cuda_group();
    return b;
}

extern "C" __attribute__((visibility("default"))) const struct lq_backend *lq_cuda_backend(void)
{
    static const struct lq_backend BACKEND = make_backend();
    return &BACKEND;
}
