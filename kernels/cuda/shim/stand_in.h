/* What everything that stands in for a library's calls asks of the shim, in C and in C++. */
#pragma once

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* False where this call is the one that is to fail; every call asks. */
bool lq_shim_may(void);
/* What a runtime call of the library's own leaves that has failed: cudaGetLastError tells it. */
void lq_shim_leave_error(void);
/* A handle that lq_shim_left counts. */
void lq_shim_hold(void);
void lq_shim_let_go(void);

#ifdef __cplusplus
}
#endif
