/* A copy of a database that a server may be writing to. The copy is a database itself: a server
 * started on it goes on from there. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>

/* Copies the database at `path` to `file` (mode 0600): through FILE.partial, which is flushed and
 * checked whole before it takes the name. What is at `file` is replaced only if `force` is set,
 * and only where it is a regular file. Errors: LQ_ECONFLICT (`file` is there, is or belongs to the
 * database, is a directory or a link, or another backup to it is running), LQ_ESTORE. `file` is
 * whole or as it was on every error. */
LQ_MUST_USE enum lq_code lq_store_backup(const char *path, const char *file, bool force,
                                         struct lq_error *err);
