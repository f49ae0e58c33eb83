/* Whole answers for connections that no request is read from any more. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

enum { LQ_REFUSAL_MAX = 1024 };

/* Writes status line, header fields and problem+json as they go over the wire, and returns their
 * bytes. code: LQ_EDEADLINE or LQ_EOVERLOAD · detail: plain ASCII without quotes. */
size_t lq_refusal_write(enum lq_code code, const char *detail, char out[LQ_REFUSAL_MAX]);
