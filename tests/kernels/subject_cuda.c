/* The CUDA backend as what a test program is about, with each of its elements: on the shim, or on
 * the first GPU where LQ_CUDA_MODULE names the module. */
#include "kernels/cuda/shim/control.h"
#include "tests/kernels/subject.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef const struct lq_backend *backend_fn(void);
const struct lq_backend *lq_cuda_backend(void);

static const struct lq_backend *load(const char *module)
{
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    void *symbol = dlsym(library, LQ_CUDA_BACKEND_SYMBOL);
    ck_assert_msg(symbol != NULL, "%s has no " LQ_CUDA_BACKEND_SYMBOL, module);
    backend_fn *backend;
    memcpy(&backend, &symbol, sizeof backend);
    return backend();
}

const struct lq_backend *subject(void)
{
    static const struct lq_backend *backend;
    const char *module = getenv("LQ_CUDA_MODULE");
    if (backend == NULL) {
        backend = module != NULL ? load(module) : lq_cuda_backend();
    }
    return backend;
}

enum lq_element subject_element(int variant)
{
    static const enum lq_element ELEMENTS[VARIANTS] = {LQ_ELEMENT_F32, LQ_ELEMENT_BF16,
                                                       LQ_ELEMENT_F16};
    return ELEMENTS[(variant - 1) % VARIANTS];
}

enum lq_code subject_open(int variant, struct lq_device **device, struct lq_error *err)
{
    subject_order((uint64_t)(variant - 1));
    return subject()->open(0, subject_element(variant), device, err);
}

void subject_order(uint64_t seed)
{
    lq_shim_order(seed);
}
