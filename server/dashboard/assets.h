/* The dashboard's files, compiled into the program by bundle.py at build time; nothing here reads a
 * file, and what the files say is theirs. */
#pragma once

#include <stddef.h>

/* One file. `data` and `gzip` are static and never change. */
struct lq_asset {
    const char *name; /* "main-1f3a5c7e9b2d4f60.js": the content's hash is part of it */
    const char *type; /* media type with its charset */
    const char *hash; /* first 16 hexadecimal digits of the content's SHA-256 */
    const char *data;
    size_t size;
    const char *gzip; /* the same, compressed (RFC 1952) */
    size_t gzip_size;
};

/* The page at "/"; its name has no hash. */
extern const struct lq_asset LQ_DASHBOARD_PAGE;

/* All that the page asks for, ascending by name. */
extern const struct lq_asset LQ_DASHBOARD_ASSETS[];
extern const size_t LQ_DASHBOARD_ASSET_COUNT;
