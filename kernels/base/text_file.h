/* A small file read whole. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

/* Reads up to 1 MiB; the text ends in a zero byte that is not counted; free with free().
 * Errors: LQ_EFILE, also for larger files. */
LQ_MUST_USE enum lq_code lq_text_file_read(const char *path, char **text, size_t *size,
                                           struct lq_error *err);
