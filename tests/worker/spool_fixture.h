/* A spool in a temporary folder for tests, and its file as bytes. */
#pragma once

#include "kernels/delivery/spool.h"

#include <stddef.h>

/* The folder of the running test, made by setup and removed with all in it by teardown. */
extern char spool_dir[64];
void spool_setup(void);
void spool_teardown(void);

/* Opens the spool; fails the test where it cannot, or where `damaged` is not what was found. */
struct lq_spool *spool_opened(bool damaged);

/* Keeps points {"n":first} .. {"n":last}. */
void spool_keep(struct lq_spool *spool, int first, int last);

/* Whether the next batch is of exactly these points, in order, under `key` if that is not NULL;
 * copies the key to `key_out` if that is not NULL. */
void spool_expect_batch(struct lq_spool *spool, int first, int last, const char *key,
                        char *key_out);

/* The path of a file of the folder: static text, until the next call. */
const char *spool_path(const char *name);

/* A file of the folder; to be freed. */
char *spool_read(const char *name, size_t *size);
void spool_write(const char *name, const char *data, size_t size);
