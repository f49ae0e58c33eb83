/* Whether a database is whole: by the engine's own checks and by what this program needs of it. */
#pragma once

#include "server/store/store.h"

/* Told of one fault in words, borrowed. */
typedef void (*lq_fault_visit)(const char *fault, void *context);

/* The engine's integrity check and foreign keys alone. Errors: LQ_ESTORE, the first fault. */
LQ_MUST_USE enum lq_code lq_check_integrity(const char *path, struct lq_error *err);

/* Checks the database at `path`, which may be in use, and tells of every fault: the engine's,
 * references that lead nowhere, rows that contradict each other, and what the program cannot read
 * (models, identities, laws) where the schema is of its own version. Errors: LQ_ESTORE where it
 * cannot be checked at all (missing, no database of ours, newer than this program). */
LQ_MUST_USE enum lq_code lq_store_check(const char *path, const struct lq_hooks *hooks,
                                        lq_fault_visit visit, void *context, size_t *faults,
                                        struct lq_error *err);
