/* What an operator sets: one table of settings, each a flag and an environment variable. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    LQ_ORIGINS_MAX = 16,
    LQ_ORIGIN_MAX = 128,
    LQ_THREADS_MAX = 64,
    LQ_JOB_QUEUE_MAX = 1024,
    LQ_RETENTION_DAYS_MAX = 36500,
    LQ_CACHE_MIB_MAX = 65536
};

struct lq_config {
    char host[256]; /* without brackets */
    char port[8];   /* decimal; "0" picks a free one */
    char db[1024];  /* path of the database file */
    int threads;
    int job_threads; /* that do long fits, beside those */
    int job_queue;   /* jobs that may wait for one */
    int estimate_retention_days;
    int cache_mib; /* of computed answers; 0: none */
    int calibration_retention_days; /* 0: for ever */
    bool log_requests;
    char origins[LQ_ORIGINS_MAX][LQ_ORIGIN_MAX]; /* that may read answers across origins */
    size_t origin_count;
};

/* Fills `out` from flags (`--name VALUE` or `--name=VALUE`), else the environment, else defaults.
 * argv: argc arguments after the program's name (and command), all of them settings.
 * Errors: LQ_EFIELD, the text names the flag or variable and what it takes. */
LQ_MUST_USE enum lq_code lq_config_load(struct lq_config *out, int argc, char *const *argv,
                                        struct lq_error *err);

/* Whether argv[*i] is the flag `--name`; then `*value` is its value (NULL where it is missing) and
 * `*i` stands on the last argument used. */
bool lq_config_flag(int argc, char *const *argv, int *i, const char *name, const char **value);

/* Whether answers may be read by pages of this origin. */
bool lq_config_allows_origin(const struct lq_config *config, const char *origin);

/* Writes one line per setting: flag, what it takes, meaning, default and variable. */
void lq_config_print_help(FILE *out);
