/* Normal numbers by seed: the same as the CPU backend's, up to the rounding of the element. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

/* splitmix64 (S. Vigna, prng.di.unimi.it/splitmix64.c, public domain) of a counter. */
static __device__ inline uint64_t hash(uint64_t seed, int64_t i)
{
    uint64_t z = seed + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* Pairs of normal numbers from pairs of uniform ones (Box and Muller 1958). */
template <typename T>
static __global__ void fill_pairs(T *to, int64_t n, uint64_t seed, float scale)
{
    for (int64_t i = lq_thread(); 2 * i < n; i += lq_thread_count()) {
        const uint64_t bits = hash(seed, i);
        const float u = ((float)(bits >> 40) + 0.5F) * 0x1p-24F; /* in (0, 1] */
        const float turn = (float)((bits >> 8) & 0xffffff) * 0x1p-24F;
        const float radius = scale * sqrtf(-2.0F * logf(u));
        float sine;
        float cosine;
        sincospif(2.0F * turn, &sine, &cosine);
        lq_store(to + 2 * i, radius * cosine);
        if (2 * i + 1 < n) {
            lq_store(to + 2 * i + 1, radius * sine);
        }
    }
}

struct noise {
    void *memory;
    int64_t n;
    uint64_t seed;
    float scale;
};

template <typename T>
static enum lq_code run(struct lq_device *device, const struct noise *noise, struct lq_error *err)
{
    T *to = (T *)noise->memory;
    const int64_t n = noise->n;
    const uint64_t seed = noise->seed;
    const float scale = noise->scale;
    const unsigned grid = lq_cuda_grid(device, n / 2 + 1, LQ_THREADS);
    return LQ_LAUNCH(device, err, fill_pairs<T>, grid, LQ_THREADS, 0, to, n, seed, scale);
}

enum lq_code lq_cuda_randomize(struct lq_device *device, void *memory, int64_t n, uint64_t seed,
                               double scale, struct lq_error *err)
{
    const struct noise noise = {memory, n, seed, (float)scale};
    return LQ_BY_ELEMENT(device, run, device, &noise, err);
}
