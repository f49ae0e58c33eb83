/* What an operator sets: one table of settings, each a flag and an environment variable. */
#pragma once

#include "core/base/error.h"
#include "server/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    LQ_ORIGINS_MAX = 16,
    LQ_ORIGIN_MAX = 128,
    LQ_THREADS_MAX = 256,
    LQ_JOB_QUEUE_MAX = 1024,
    LQ_RETENTION_DAYS_MAX = 36500,
    LQ_CACHE_MIB_MAX = 65536,
    LQ_CONNECTIONS_MAX = 100000,
    LQ_DEADLINE_S_MAX = 3600,
    LQ_PROXIES_MAX = 16,
    LQ_PATH_MAX = 1024
};

/* How many requests a second, and how many at once; 0 a second: any number. */
struct lq_rate_limit {
    double per_s;
    double burst;
};

struct lq_config {
    char host[256];       /* without brackets */
    char port[8];         /* decimal; "0" picks a free one */
    char db[LQ_PATH_MAX]; /* path of the database file */
    int threads;
    int job_threads; /* that do long fits, beside those */
    int job_queue;   /* jobs that may wait for one */
    int estimate_retention_days;
    int bodies_mib;                 /* of all that is on its way, together */
    int cache_mib;                  /* of computed answers; 0: none */
    int calibration_retention_days; /* 0: for ever */
    bool log_requests;
    char origins[LQ_ORIGINS_MAX][LQ_ORIGIN_MAX]; /* that may read answers across origins */
    size_t origin_count;
    int connections; /* that may be open, in all and from one address */
    int connections_per_address;
    int request_deadline_s; /* from a request's first byte to its last */
    struct lq_rate_limit rate_per_token;
    struct lq_rate_limit rate_per_address;
    struct lq_ip_range proxies[LQ_PROXIES_MAX]; /* whose X-Forwarded-For is believed */
    size_t proxy_count;
    bool reads_need_token;
    bool metrics_need_token;
    char tls_cert[LQ_PATH_MAX]; /* PEM files; "" both or none */
    char tls_key[LQ_PATH_MAX];
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

/* Whether this address is a reverse proxy of ours. */
bool lq_config_trusts(const struct lq_config *config, struct lq_ip ip);

/* Writes one line per setting: flag, what it takes, meaning, default and variable. */
void lq_config_print_help(FILE *out);
