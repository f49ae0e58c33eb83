/* Counts and durations of what this process has done since it started, for Prometheus. Any thread
 * may call any of these at any time; nothing here ever waits. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Things that are counted. */
enum lq_count {
    LQ_COUNT_ESTIMATES_CALIBRATED, /* by grade, in the order of enum lq_basis_kind */
    LQ_COUNT_ESTIMATES_TRANSFERRED,
    LQ_COUNT_ESTIMATES_PRIOR,
    LQ_COUNT_CACHE_HITS,
    LQ_COUNT_CACHE_MISSES,
    LQ_COUNT_POINTS_STORED,
    LQ_COUNT_POINTS_DUPLICATE,
    LQ_COUNT_CONNECTIONS_REFUSED, /* there are as many as may be */
    LQ_COUNT_CONNECTIONS_ENDED,   /* whose request did not arrive in time */
    LQ_COUNT_WRITE_FAILURES,      /* commits that the disk refused */
    LQ_COUNT_REBUILD_FAILURES,    /* of the catalog with its fits */
    LQ_COUNT_COUNT
};

/* Things whose durations or sizes are kept as a histogram. */
enum lq_distribution {
    LQ_DISTRIBUTION_COMMIT_S,  /* one transaction with its flush */
    LQ_DISTRIBUTION_REBUILD_S, /* the catalog with its fits */
    LQ_DISTRIBUTION_DRIFT,     /* of a new point: the larger of measured over predicted and its
                                  inverse, less 1 */
    LQ_DISTRIBUTION_COUNT
};

void lq_metrics_count(enum lq_count what, uint64_t n);
void lq_metrics_observe(enum lq_distribution what, double value);

/* An answered request. route: its place in the route table, or LQ_METRICS_ROUTES_MAX - 1 for none;
 * method, path: the table's own texts, kept. status 0: the client went away. */
enum { LQ_METRICS_ROUTES_MAX = 96 };
void lq_metrics_request(size_t route, const char *method, const char *path, int status,
                        double seconds);

/* Writes everything in Prometheus' text format (version 0.0.4). */
void lq_metrics_write(FILE *out);

/* One more number that is known elsewhere, with its # HELP and # TYPE lines; labels as they are
 * written between braces, or NULL. A family's further samples have help NULL. */
void lq_metrics_write_gauge(FILE *out, const char *name, const char *help, const char *labels,
                            double value);
