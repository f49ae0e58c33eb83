/* A database at any version, in the directory of the store's fixture. */
#pragma once

#include "migrations/embed.h"
#include "server/store/migrate.h"
#include "server/store/statement.h"
#include "tests/unit/store_fixture.h"

#include <stddef.h>
#include <stdint.h>

/* The one that is open; closed after each test. */
extern struct lq_database *database;

void tear_down(void);
void open_database(const char *name);
void run(const char *sql);

/* The integer that a query yields. */
int64_t number(const char *sql);

/* A database as the release with `version` migrations left it. */
void make_version(size_t version);
