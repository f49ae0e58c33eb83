/* The backends there are: that of the CPU, part of the program, and those in modules, which are
 * loaded when they are asked for and stay loaded. */
#pragma once

#include "kernels/backend.h"

#include <stddef.h>

/* Names of all backends, best first; NULL at the end. */
extern const char *const LQ_BACKEND_NAMES[];

/* Gets the backend of that name.
 * module: the file that holds the CUDA backend; NULL: llmquote-cuda.so beside the program, where a
 * build leaves it, or where it is installed. Loading one can take a second and hundreds of MB.
 * Errors: LQ_EFIELD (no such backend), LQ_EDEVICE (why its module is of no use, in one sentence).
 * A module being there says nothing of devices: lq_backend.list does. */
LQ_MUST_USE enum lq_code lq_backend_get(const char *name, const char *module,
                                        const struct lq_backend **out, struct lq_error *err);

/* Whether a backend has that name, here or elsewhere. Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_backend_check(const char *name, struct lq_error *err);

/* Whether the backend could be loaded at all: it is part of the program, or its module is there. */
bool lq_backend_is_there(const char *name, const char *module);
