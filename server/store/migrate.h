/* Brings a database file to the schema this program knows, one numbered SQL file at a time. */
#pragma once

#include "core/base/error.h"
#include "migrations/embed.h"
#include "server/store/statement.h"

#include <stddef.h>

/* Checks whose database it is, turns durability on and applies what is missing, each migration in
 * a transaction of its own together with its version number.
 * migrations, count: ascending, entry i leads from version i to i + 1.
 * Errors: LQ_ESTORE (not a database, another program's, newer than `count`, a migration that
 * fails, and then the database stands at the version before it). Two processes may run this at
 * once: each migration is applied by one of them. */
LQ_MUST_USE enum lq_code lq_migrate(struct lq_database *database,
                                    const struct lq_embedded *migrations, size_t count,
                                    struct lq_error *err);

/* Checks that a database is one of ours, up to version `known`, without writing to it; `*version`
 * is its own. Errors: LQ_ESTORE (no database, empty, another program's, newer). */
LQ_MUST_USE enum lq_code lq_migrate_check(struct lq_database *database, size_t known,
                                          size_t *version, struct lq_error *err);
