/* The table of the CPU backend. */
#include "kernels/cpu/cpu.h"

static enum lq_code list(struct lq_device_info *devices, size_t max, size_t *count,
                         struct lq_error *err)
{
    (void)err; /* a machine always has a processor */
    *count = max < 1 ? 0 : 1;
    if (max > 0) {
        lq_cpu_describe(&devices[0]);
    }
    return LQ_OK;
}

static enum lq_code open_first(size_t index, enum lq_element element, struct lq_device **device,
                               struct lq_error *err)
{
    if (index != 0) {
        return lq_fail(err, LQ_EDEVICE, NULL, "there is one CPU device, 0; got %zu", index);
    }
    if (element != LQ_ELEMENT_F32) {
        return lq_fail(err, LQ_EDEVICE, NULL, "the CPU computes with fp32 alone");
    }
    return lq_cpu_open_threads(0, device, err);
}

/* Operations are done when their call returns. */
static enum lq_code synchronize(struct lq_device *device, struct lq_error *err)
{
    (void)device;
    (void)err;
    return LQ_OK;
}

const struct lq_backend *lq_cpu_backend(void)
{
    static const struct lq_backend BACKEND = {
        .name = "cpu",
        .version = lq_cpu_blas_version,
        .list = list,
        .open = open_first,
        .close = lq_cpu_close,
        .state = lq_cpu_state,
        .allocate = lq_cpu_allocate,
        .release = lq_cpu_release,
        .usage = lq_cpu_usage,
        .to_device = lq_cpu_copy,
        .to_host = lq_cpu_copy,
        .copy = lq_cpu_copy,
        .zero = lq_cpu_zero,
        .randomize = lq_cpu_randomize,
        .synchronize = synchronize,
        .tally = lq_cpu_tally,
        .linear = lq_cpu_linear,
        .add = lq_cpu_add,
        .blocks = lq_cpu_blocks,
        .sort = lq_cpu_sort,
        .dequantize = lq_cpu_dequantize,
        .adamw = lq_cpu_adamw,
        .norm = lq_cpu_norm,
        .rotation = lq_cpu_rotation,
        .attention = lq_cpu_attention,
        .router = lq_cpu_router,
        .gather = lq_cpu_gather,
        .combine = lq_cpu_combine,
        .activation = lq_cpu_activation,
        .convolution = lq_cpu_convolution,
        .scan = lq_cpu_scan,
        .loss = lq_cpu_loss,
        .lookup = lq_cpu_lookup,
    };
    return &BACKEND;
}
