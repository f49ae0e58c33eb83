/* The CPU backend as what a test program is about: one, two and three threads. */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/subject.h"

const struct lq_backend *subject(void)
{
    return lq_cpu_backend();
}

enum lq_element subject_element(int variant)
{
    (void)variant;
    return LQ_ELEMENT_F32;
}

enum lq_code subject_open(int variant, struct lq_device **device, struct lq_error *err)
{
    return lq_cpu_open_threads(variant, device, err);
}

void subject_order(uint64_t seed)
{
    (void)seed;
}
