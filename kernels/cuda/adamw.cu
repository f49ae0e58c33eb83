/* One step of AdamW, element by element, the states in the parameters' type. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

struct update {
    float beta1;
    float fresh1; /* 1 - beta1; in fp32 the difference of two rounded numbers is not exact enough */
    float beta2;
    float fresh2;
    float kept;      /* 1 - rate decay */
    float rate;      /* rate / (1 - beta1^step): the first moment's correction */
    float deviation; /* 1 / sqrt(1 - beta2^step): the second's */
    float epsilon;
};

struct state {
    float parameter;
    float first;
    float second;
};

static __device__ inline state advance(const update &u, const state &before, float gradient)
{
    state after;
    after.first = u.beta1 * before.first + u.fresh1 * gradient;
    after.second = u.beta2 * before.second + u.fresh2 * gradient * gradient;
    after.parameter = u.kept * before.parameter -
                      u.rate * after.first / (sqrtf(after.second) * u.deviation + u.epsilon);
    return after;
}

template <typename T>
static __global__ void adamw(struct lq_op_adamw op, struct update update, int64_t packs)
{
    T *parameter = (T *)op.parameter;
    const T *gradient = (const T *)op.gradient;
    T *first = (T *)op.first;
    T *second = (T *)op.second;
    for (int64_t i = lq_thread(); i < packs; i += lq_thread_count()) {
        lq_pack<T> p = lq_load_pack(parameter, i);
        lq_pack<T> m = lq_load_pack(first, i);
        lq_pack<T> v = lq_load_pack(second, i);
        const lq_pack<T> g = lq_load_pack(gradient, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            const state before = {lq_float(p.at[lane]), lq_float(m.at[lane]), lq_float(v.at[lane])};
            const state after = advance(update, before, lq_float(g.at[lane]));
            lq_store(&p.at[lane], after.parameter);
            lq_store(&m.at[lane], after.first);
            lq_store(&v.at[lane], after.second);
        }
        lq_store_pack(parameter, i, p);
        lq_store_pack(first, i, m);
        lq_store_pack(second, i, v);
    }
    for (int64_t i = packs * lq_pack<T>::COUNT + lq_thread(); i < op.n; i += lq_thread_count()) {
        const state before = {lq_load(parameter + i), lq_load(first + i), lq_load(second + i)};
        const state after = advance(update, before, lq_load(gradient + i));
        lq_store(parameter + i, after.parameter);
        lq_store(first + i, after.first);
        lq_store(second + i, after.second);
    }
}

static struct update make_update(const struct lq_op_adamw *op)
{
    const double step = (double)op->step;
    struct update u = {};
    u.beta1 = (float)op->beta1;
    u.fresh1 = (float)(1.0 - op->beta1);
    u.beta2 = (float)op->beta2;
    u.fresh2 = (float)(1.0 - op->beta2);
    u.kept = (float)(1.0 - op->rate * op->decay);
    u.rate = (float)(op->rate / (1.0 - pow(op->beta1, step)));
    u.deviation = (float)(1.0 / sqrt(1.0 - pow(op->beta2, step)));
    u.epsilon = (float)op->epsilon;
    return u;
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_adamw *op,
                        struct lq_error *err)
{
    const struct lq_op_adamw copy = *op;
    const struct update update = make_update(op);
    const bool aligned = lq_aligned(op->parameter) && lq_aligned(op->gradient) &&
                         lq_aligned(op->first) && lq_aligned(op->second);
    const int64_t packs = aligned ? op->n / lq_pack<T>::COUNT : 0;
    const unsigned grid = lq_cuda_grid(device, packs > 0 ? packs : op->n, LQ_THREADS);
    return LQ_LAUNCH(device, err, adamw<T>, grid, LQ_THREADS, 0, copy, update, packs);
}

enum lq_code lq_cuda_adamw(struct lq_device *device, const struct lq_op_adamw *op,
                           struct lq_error *err)
{
    assert(op->n >= 0 && op->step >= 1);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, err));
    struct lq_tally work = {};
    work.stream_bytes = 7.0 * (double)op->n * (double)lq_cuda_size(device);
    lq_cuda_count(device, work);
    return LQ_OK;
}
