/* Files that are to be loaded as code: looked at first, since loading waits on a FIFO for ever and
 * ends the program on a file that is cut short. */
#pragma once

#include "core/base/error.h"

/* Length of a path that is loaded. */
enum { LQ_LIBRARY_PATH_MAX = 4096 };

/* Checks the file at `path` and writes how to name it to the loader, which takes names without '/'
 * for ones of the system's libraries. what: "the CUDA module". Errors: LQ_EDEVICE, with the file.
 */
LQ_MUST_USE enum lq_code lq_library_check(const char *what, const char *path,
                                          char name[LQ_LIBRARY_PATH_MAX], struct lq_error *err);

/* The refusal of such a file: `why` is the loader's own words, or NULL. */
LQ_MUST_USE enum lq_code lq_library_refuse(const char *what, const char *path, const char *why,
                                           struct lq_error *err);
