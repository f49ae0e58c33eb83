/* One system call behind three units. */
#include "server/clock.h"

#include <time.h>

int64_t lq_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t lq_clock_ms(void)
{
    return lq_clock_ns() / 1000000;
}

double lq_clock_s(void)
{
    return 1e-9 * (double)lq_clock_ns();
}
