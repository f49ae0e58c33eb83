/* Products by cuBLASLt: for each shape the algorithm that its heuristics name first, asked once. */
#include "kernels/cuda/linear_blas.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

/* Shapes remembered: a layer has some thirty, with uneven experts each has its own. */
enum { PLANS_MAX = 512, ALIGNMENT_MAX = 256 };

/* What NVIDIA recommends as workspace: 32 MiB from Hopper on, 4 MiB before (cuBLAS 13.0, 2.1.10
 * cublasSetWorkspace). */
static const size_t WORKSPACE_BYTES = (size_t)4 << 20;
static const size_t WORKSPACE_BYTES_HOPPER = (size_t)32 << 20;

/* What an algorithm depends on; compared as bytes, so zeroed before it is filled. */
struct shape {
    int64_t m;
    int64_t n;
    int64_t k;
    int32_t a_transposed;
    int32_t b_transposed;
    int32_t accumulate;
    int32_t arithmetic;
    int32_t a_alignment;
    int32_t b_alignment;
    int32_t c_alignment;
};

/* cuBLASLt knows columns only: it computes the transposed, c^T = op(b)^T op(a)^T, from the same
 * bytes, so that its first operand is b. */
struct plan {
    struct shape shape;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a;
    cublasLtMatrixLayout_t b;
    cublasLtMatrixLayout_t c;
    cublasLtMatmulAlgo_t algorithm;
};

struct lq_blas {
    cublasLtHandle_t handle;
    void *workspace;
    size_t workspace_bytes;
    struct plan plans[PLANS_MAX];
    size_t count;
    size_t next; /* to be replaced when all are taken */
};

static enum lq_code check(cublasStatus_t status, const char *what, struct lq_error *err)
{
    if (status == CUBLAS_STATUS_SUCCESS) {
        return LQ_OK;
    }
    const enum lq_code code = status == CUBLAS_STATUS_ALLOC_FAILED ? LQ_ENOFIT : LQ_EDEVICE;
    return lq_fail(err, code, NULL, "cuBLASLt, %s: %s", what, cublasLtGetStatusString(status));
}

/* What the library says to giving back is nobody's interest. */
static void forget(struct plan *plan)
{
    if (plan->product != NULL) {
        (void)cublasLtMatmulDescDestroy(plan->product);
    }
    if (plan->a != NULL) {
        (void)cublasLtMatrixLayoutDestroy(plan->a);
    }
    if (plan->b != NULL) {
        (void)cublasLtMatrixLayoutDestroy(plan->b);
    }
    if (plan->c != NULL) {
        (void)cublasLtMatrixLayoutDestroy(plan->c);
    }
    memset(plan, 0, sizeof *plan);
}

void lq_blas_close(struct lq_blas *blas)
{
    if (blas == NULL) {
        return;
    }
    for (size_t i = 0; i < blas->count; i++) {
        forget(&blas->plans[i]);
    }
    if (blas->workspace != NULL && cudaFree(blas->workspace) != cudaSuccess) {
        (void)cudaGetLastError();
    }
    if (blas->handle != NULL) {
        (void)cublasLtDestroy(blas->handle);
    }
    free(blas);
}

static enum lq_code open_into(struct lq_blas *blas, int major, struct lq_error *err)
{
    LQ_TRY(check(cublasLtCreate(&blas->handle), "opening", err));
    blas->workspace_bytes = major >= 9 ? WORKSPACE_BYTES_HOPPER : WORKSPACE_BYTES;
    return lq_cuda_check(cudaMalloc(&blas->workspace, blas->workspace_bytes),
                         "allocating cuBLASLt's workspace", err);
}

static enum lq_code open_once(struct lq_device *device, struct lq_error *err)
{
    if (device->blas != NULL) {
        return LQ_OK;
    }
    struct lq_blas *blas = (struct lq_blas *)calloc(1, sizeof *blas);
    if (blas == NULL) {
        return lq_fail(err, LQ_ENOFIT, NULL, "no memory for the state of cuBLASLt");
    }
    const enum lq_code code = open_into(blas, device->major, err);
    if (code != LQ_OK) {
        lq_blas_close(blas);
        return code;
    }
    device->blas = blas;
    return LQ_OK;
}

/* The largest power of two, up to 256, that divides an address. */
static int32_t alignment_of(const void *memory)
{
    uintptr_t alignment = 1;
    while (alignment < ALIGNMENT_MAX && (uintptr_t)memory % (2 * alignment) == 0) {
        alignment *= 2;
    }
    return (int32_t)alignment;
}

static struct shape shape_of(const struct lq_product *p)
{
    struct shape shape;
    memset(&shape, 0, sizeof shape);
    shape.m = p->m;
    shape.n = p->n;
    shape.k = p->k;
    shape.a_transposed = p->a_transposed;
    shape.b_transposed = p->b_transposed;
    shape.accumulate = p->accumulate;
    shape.arithmetic = p->arithmetic;
    shape.a_alignment = alignment_of(p->a);
    shape.b_alignment = alignment_of(p->b);
    shape.c_alignment = alignment_of(p->c);
    return shape;
}

static cudaDataType_t type_of(enum lq_element element)
{
    return element == LQ_ELEMENT_F32 ? CUDA_R_32F
                                     : (element == LQ_ELEMENT_BF16 ? CUDA_R_16BF : CUDA_R_16F);
}

/* Rows as stored are the library's columns. */
static enum lq_code lay_out(cublasLtMatrixLayout_t *layout, cudaDataType_t type, int64_t rows,
                            int64_t columns, struct lq_error *err)
{
    return check(
        cublasLtMatrixLayoutCreate(layout, type, (uint64_t)columns, (uint64_t)rows, columns),
        "describing a matrix", err);
}

/* fp32 is multiplied as fp32 unless tf32 is what was asked for. FP8's first operand is transposed
 * and its second is not, as all of its kernels want it: a forward product is so by itself. */
static enum lq_code describe(struct plan *plan, enum lq_element element, struct lq_error *err)
{
    const struct shape *s = &plan->shape;
    const cublasOperation_t of_a = s->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t of_b = s->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cudaDataType_t type = type_of(element);
    const cudaDataType_t factor = s->arithmetic == LQ_ARITHMETIC_FP8 ? CUDA_R_8F_E4M3 : type;
    const cublasComputeType_t compute =
        s->arithmetic == LQ_ARITHMETIC_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    LQ_TRY(check(cublasLtMatmulDescCreate(&plan->product, compute, CUDA_R_32F),
                 "describing a product", err));
    LQ_TRY(check(cublasLtMatmulDescSetAttribute(plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &of_b,
                                                sizeof of_b),
                 "describing a product", err));
    LQ_TRY(check(cublasLtMatmulDescSetAttribute(plan->product, CUBLASLT_MATMUL_DESC_TRANSB, &of_a,
                                                sizeof of_a),
                 "describing a product", err));
    LQ_TRY(lay_out(&plan->a, factor, s->a_transposed ? s->k : s->m, s->a_transposed ? s->m : s->k,
                   err));
    LQ_TRY(lay_out(&plan->b, factor, s->b_transposed ? s->n : s->k, s->b_transposed ? s->k : s->n,
                   err));
    return lay_out(&plan->c, type, s->m, s->n, err);
}

/* Of FP8 alone; a plan serves other products too, whose scales lie elsewhere. */
static enum lq_code point_at_scales(const struct plan *plan, const struct lq_product *p,
                                    struct lq_error *err)
{
    if (p->arithmetic != LQ_ARITHMETIC_FP8) {
        return LQ_OK;
    }
    LQ_TRY(check(cublasLtMatmulDescSetAttribute(plan->product, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
                                                &p->b_scale, sizeof p->b_scale),
                 "scaling", err));
    return check(cublasLtMatmulDescSetAttribute(plan->product, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
                                                &p->a_scale, sizeof p->a_scale),
                 "scaling", err);
}

static enum lq_code prefer(cublasLtMatmulPreference_t preference, const struct lq_blas *blas,
                           const struct shape *s, struct lq_error *err)
{
    const uint64_t workspace = blas->workspace_bytes;
    LQ_TRY(check(cublasLtMatmulPreferenceSetAttribute(preference,
                                                      CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                      &workspace, sizeof workspace),
                 "preferring", err));
    const struct {
        cublasLtMatmulPreferenceAttributes_t what;
        uint32_t bytes;
    } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)s->b_alignment},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)s->a_alignment},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)s->c_alignment},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)s->c_alignment}};
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        LQ_TRY(check(cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].what,
                                                          &alignments[i].bytes,
                                                          sizeof alignments[i].bytes),
                     "preferring", err));
    }
    return LQ_OK;
}

static enum lq_code choose(const struct lq_blas *blas, cublasLtMatmulPreference_t preference,
                           struct plan *plan, struct lq_error *err)
{
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    LQ_TRY(prefer(preference, blas, &plan->shape, err));
    LQ_TRY(check(cublasLtMatmulAlgoGetHeuristic(blas->handle, plan->product, plan->b, plan->a,
                                                plan->c, plan->c, preference, 1, &result, &count),
                 "choosing an algorithm", err));
    if (count == 0) {
        return lq_fail(err, LQ_EDEVICE, NULL, "cuBLASLt has no algorithm for %lld x %lld x %lld",
                       (long long)plan->shape.m, (long long)plan->shape.n,
                       (long long)plan->shape.k);
    }
    plan->algorithm = result.algo;
    return LQ_OK;
}

static enum lq_code make_plan(const struct lq_device *device, const struct lq_product *product,
                              struct plan *plan, struct lq_error *err)
{
    LQ_TRY(describe(plan, device->element, err));
    LQ_TRY(point_at_scales(plan, product, err));
    cublasLtMatmulPreference_t preference = NULL;
    LQ_TRY(check(cublasLtMatmulPreferenceCreate(&preference), "preferring", err));
    const enum lq_code code = choose(device->blas, preference, plan, err);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    return code;
}

static enum lq_code find_plan(const struct lq_device *device, const struct lq_product *product,
                              const struct plan **out, struct lq_error *err)
{
    struct lq_blas *blas = device->blas;
    const struct shape shape = shape_of(product);
    for (size_t i = 0; i < blas->count; i++) {
        if (memcmp(&blas->plans[i].shape, &shape, sizeof shape) == 0) {
            *out = &blas->plans[i];
            return LQ_OK;
        }
    }
    struct plan plan;
    memset(&plan, 0, sizeof plan);
    plan.shape = shape;
    const enum lq_code code = make_plan(device, product, &plan, err);
    if (code != LQ_OK) {
        forget(&plan);
        return code;
    }
    struct plan *place = &blas->plans[blas->next];
    blas->next = (blas->next + 1) % PLANS_MAX;
    blas->count += blas->count < PLANS_MAX ? 1 : 0;
    forget(place);
    *place = plan;
    *out = place;
    return LQ_OK;
}

enum lq_code lq_blas_multiply(struct lq_device *device, const struct lq_product *product,
                              struct lq_error *err)
{
    LQ_TRY(open_once(device, err));
    const struct plan *plan = NULL;
    LQ_TRY(find_plan(device, product, &plan, err));
    const float scale = (float)product->scale;
    const float keep = product->accumulate ? 1.0F : 0.0F;
    LQ_TRY(point_at_scales(plan, product, err));
    return check(cublasLtMatmul(device->blas->handle, plan->product, &scale, product->b, plan->b,
                                product->a, plan->a, &keep, product->c, plan->c, product->c,
                                plan->c, &plan->algorithm, device->blas->workspace,
                                device->blas->workspace_bytes, device->stream),
                 "multiplying", err);
}
