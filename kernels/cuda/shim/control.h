/* What tests ask of the shim: another order of threads, a call that fails, another pretend device,
 * what has been left behind. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order in which blocks and the threads of a block run: 0 is rising, any other number an order
 * of its own, another one after each barrier. */
void lq_shim_order(uint64_t seed);

/* Lets the n-th runtime call from now on fail (1: the next); 0: none. That many calls have been
 * made since is what lq_shim_calls says. */
void lq_shim_fail(uint64_t n);
uint64_t lq_shim_calls(void);

/* How many devices there are, or `status` (a cudaError_t) as the reason why there is none. */
void lq_shim_devices(int count, int status);
/* Their compute capability (8.0 unless said) and memory in bytes (1 GiB unless said). */
void lq_shim_capability(int major, int minor);
void lq_shim_memory(size_t bytes);

/* Lets as many of the next queries of streams say that they are not done yet. */
void lq_shim_busy(uint64_t queries);

/* Device allocations, streams and library handles that have not been given back. */
size_t lq_shim_left(void);

#ifdef __cplusplus
}
#endif
