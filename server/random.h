/* Random bytes from the system, and ids made of them: for what nobody may guess. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

/* Bytes of which lq_random_hex makes ids at most. */
enum { LQ_RANDOM_ID_BYTES_MAX = 32 };

/* Fills `size` bytes. Errors: LQ_EINTERNAL where the system gives none. */
LQ_MUST_USE enum lq_code lq_random_fill(void *bytes, size_t size, struct lq_error *err);

/* Writes so many random bytes as twice as many lower-case hex digits, and a terminator. Errors:
 * those of lq_random_fill. */
LQ_MUST_USE enum lq_code lq_random_hex(char *hex, size_t bytes, struct lq_error *err);
