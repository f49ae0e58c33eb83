/* Files compiled into the program: migrations, seed data, documents. Each list is made at build
 * time by embed.py; nothing here reads a file. */
#pragma once

#include <stddef.h>

/* One embedded file. `data` is static, NUL-terminated behind `size` bytes and never changes. */
struct lq_embedded {
    const char *name; /* path below the folder it was embedded from: "xia2024/throughput.csv" */
    const char *data;
    size_t size;
};

/* Numbered SQL files, ascending: entry i brings a database from version i to version i + 1. */
extern const struct lq_embedded LQ_MIGRATIONS[];
extern const size_t LQ_MIGRATIONS_COUNT;

/* Catalogs and published measurements, ascending by name, and the SHA-256 over all of them. */
extern const struct lq_embedded LQ_SEED[];
extern const size_t LQ_SEED_COUNT;
extern const char LQ_SEED_DIGEST[];
