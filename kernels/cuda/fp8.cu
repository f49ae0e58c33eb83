/* Factors of a matmul in e4m3: each tensor's largest magnitude, and the tensor divided so that it
 * becomes e4m3's. Multiplying them is in linear_blas.cu. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/reduce.h"

#include <float.h>

/* The largest number of e4m3 (arXiv 2209.05433, table 1). */
static const float E4M3_MOST = 448.0F;
/* Blocks that look for the largest magnitude: more than keep any GPU busy, few enough to be read
 * again by every block. */
enum { PARTS_MAX = 2048, ALIGNMENT = 256 };

/* 16 numbers of 8 bits. */
struct alignas(LQ_PACK_BYTES) codes {
    __nv_fp8_storage_t at[LQ_PACK_BYTES];
};

/* One factor; n is a multiple of 16. */
struct cast {
    int64_t n;
    const void *from;
    struct codes *to;
    float *parts; /* [grid] */
    float *scale; /* one number: what e4m3 is to be multiplied by */
};

/* parts [block] = the largest magnitude among the elements that the block reads. The largest is the
 * same in any order; what is no number is passed over, and stays none when cast. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) find_largest(struct cast c)
{
    __shared__ float room[LQ_WARPS_MAX];
    const T *from = (const T *)c.from;
    float most = 0.0F;
    for (int64_t i = lq_thread(); i < c.n / lq_pack<T>::COUNT; i += lq_thread_count()) {
        const lq_pack<T> p = lq_load_pack(from, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            most = fmaxf(most, fabsf(lq_float(p.at[lane])));
        }
    }
    most = lq_block_max(most, room);
    if (threadIdx.x == 0) {
        c.parts[blockIdx.x] = most;
    }
}

template <typename T>
static __device__ inline void cast_pack(const lq_pack<T> &p, float factor, __nv_fp8_storage_t *to)
{
    for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
        to[lane] = __nv_cvt_float_to_fp8(lq_float(p.at[lane]) * factor, __NV_SATFINITE, __NV_E4M3);
    }
}

/* Every block finds the tensor's scale by itself from the parts. A tensor of zeros, or one so small
 * that its scale is no normal number, gets the least scale there is. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) cast_tensor(struct cast c, int parts)
{
    __shared__ float room[LQ_WARPS_MAX];
    float most = 0.0F;
    for (int i = (int)threadIdx.x; i < parts; i += LQ_THREADS) {
        most = fmaxf(most, c.parts[i]);
    }
    most = lq_block_max(most, room);
    const float scale = fmaxf(most / E4M3_MOST, FLT_MIN);
    const float factor = 1.0F / scale;
    for (int64_t i = lq_thread(); i < c.n / LQ_PACK_BYTES; i += lq_thread_count()) {
        struct codes out;
        cast_pack(lq_load_pack((const T *)c.from, 2 * i), factor, out.at);
        cast_pack(lq_load_pack((const T *)c.from, 2 * i + 1), factor, out.at + lq_pack<T>::COUNT);
        c.to[i] = out;
    }
    if (lq_thread() == 0) {
        *c.scale = scale;
    }
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct cast *cast, struct lq_error *err)
{
    const struct cast c = *cast;
    const unsigned grid = lq_cuda_grid(device, c.n / LQ_PACK_BYTES, LQ_THREADS);
    const unsigned parts = grid < PARTS_MAX ? grid : (unsigned)PARTS_MAX;
    LQ_TRY(LQ_LAUNCH(device, err, find_largest<T>, parts, LQ_THREADS, 0, c));
    return LQ_LAUNCH(device, err, cast_tensor<T>, grid, LQ_THREADS, 0, c, (int)parts);
}

static enum lq_code run_any(struct lq_device *device, const struct cast *cast, struct lq_error *err)
{
    return device->element == LQ_ELEMENT_BF16 ? run<__nv_bfloat16>(device, cast, err)
                                              : run<__half>(device, cast, err);
}

static size_t rounded_up(int64_t bytes)
{
    return ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Scratch memory: a and b in e4m3, the parts, the two scales. */
enum lq_code lq_fp8_cast(struct lq_device *device, struct lq_product *product, struct lq_error *err)
{
    const int64_t a_count = product->m * product->k;
    const int64_t b_count = product->n * product->k;
    const size_t a_bytes = rounded_up(a_count);
    const size_t both_bytes = a_bytes + rounded_up(b_count);
    void *memory = NULL;
    if (!lq_aligned(product->a) || !lq_aligned(product->b) || !lq_aligned(product->c)) {
        return lq_fail(err, LQ_EDEVICE, NULL, "fp8 matmuls take addresses aligned to 16 bytes");
    }
    LQ_TRY(lq_cuda_scratch(device, both_bytes + (PARTS_MAX + 2) * sizeof(float), &memory, err));
    char *codes = (char *)memory;
    float *parts = (float *)(codes + both_bytes);
    const struct cast a = {a_count, product->a, (struct codes *)codes, parts, parts + PARTS_MAX};
    const struct cast b = {b_count, product->b, (struct codes *)(codes + a_bytes), parts,
                           parts + PARTS_MAX + 1};
    LQ_TRY(run_any(device, &a, err));
    LQ_TRY(run_any(device, &b, err));
    product->a = a.to;
    product->b = b.to;
    product->a_scale = a.scale;
    product->b_scale = b.scale;
    return LQ_OK;
}
