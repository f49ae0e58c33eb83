/* Atomic counters and their text. Which events count is decided where they happen. */
#include "server/metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

/* Upper bounds; one more bucket takes the rest. Seconds from a cached answer to a request that
 * waits for a disk; drift from 1 % to a factor of ten. */
static const double SECONDS[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                 0.1,    0.25,  0.5,    1.0,   2.5,  5.0,   10.0};
static const double RATIOS[] = {0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3,
                                0.5,  0.75, 1.0,  1.5, 2.0,  5.0, 9.0};
enum { BUCKETS = sizeof SECONDS / sizeof *SECONDS };
_Static_assert(sizeof RATIOS == sizeof SECONDS, "both scales have as many buckets");

/* Sums are kept in millionths, so that they can be added atomically. */
struct histogram {
    _Atomic uint64_t bucket[BUCKETS + 1];
    _Atomic uint64_t sum_millionths;
};

static const int STATUSES[] = {200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408,
                               409, 413, 414, 415, 422, 429, 431, 500, 503, 0};
enum { STATUS_COUNT = sizeof STATUSES / sizeof *STATUSES };

struct route {
    _Atomic(const char *) method;
    _Atomic(const char *) path;
    _Atomic uint64_t by_status[STATUS_COUNT];
    struct histogram seconds;
};

static struct route routes[LQ_METRICS_ROUTES_MAX];
static _Atomic uint64_t counts[LQ_COUNT_COUNT];
static struct histogram distributions[LQ_DISTRIBUTION_COUNT];

/* A family of counters: its name, help and the label of each member, in the order of enum lq_count.
 */
struct family {
    const char *name;
    const char *help;
    const char *labels; /* NULL: none */
};
static const struct family COUNTS[LQ_COUNT_COUNT] = {
    [LQ_COUNT_ESTIMATES_CALIBRATED] =
        {"llmquote_estimates_total",
         "Estimates computed, by grade of evidence; cached answers are not computed.",
         "basis=\"calibrated\""},
    [LQ_COUNT_ESTIMATES_TRANSFERRED] = {"llmquote_estimates_total", NULL, "basis=\"transferred\""},
    [LQ_COUNT_ESTIMATES_PRIOR] = {"llmquote_estimates_total", NULL, "basis=\"prior\""},
    [LQ_COUNT_CACHE_HITS] = {"llmquote_answers_total",
                             "Cacheable answers, by where they came from.", "cache=\"hit\""},
    [LQ_COUNT_CACHE_MISSES] = {"llmquote_answers_total", NULL, "cache=\"miss\""},
    [LQ_COUNT_POINTS_STORED] =
        {"llmquote_points_total",
         "Calibration points received: new ones, and those that were there, repeated batches"
         " included.",
         "outcome=\"stored\""},
    [LQ_COUNT_POINTS_DUPLICATE] = {"llmquote_points_total", NULL, "outcome=\"duplicate\""},
    [LQ_COUNT_CONNECTIONS_REFUSED] = {"llmquote_connections_total",
                                      "Connections that the server ended before a request was read:"
                                      " refused at a limit (503), or too slow (408).",
                                      "outcome=\"refused\""},
    [LQ_COUNT_CONNECTIONS_ENDED] = {"llmquote_connections_total", NULL, "outcome=\"too-slow\""},
    [LQ_COUNT_WRITE_FAILURES] = {"llmquote_write_failures_total",
                                 "Transactions that the disk refused.", NULL},
    [LQ_COUNT_REBUILD_FAILURES] = {"llmquote_rebuild_failures_total",
                                   "Rebuilds of catalog and fits that failed.", NULL},
};

static const struct {
    const char *name;
    const char *help;
    const double *bounds;
} DISTRIBUTIONS[LQ_DISTRIBUTION_COUNT] = {
    [LQ_DISTRIBUTION_COMMIT_S] = {"llmquote_commit_duration_seconds",
                                  "One transaction with its flush to disk.", SECONDS},
    [LQ_DISTRIBUTION_REBUILD_S] = {"llmquote_rebuild_duration_seconds",
                                   "One rebuild of the catalog with its fits.", SECONDS},
    [LQ_DISTRIBUTION_DRIFT] = {"llmquote_point_drift_ratio",
                               "New points against the fit before them: the larger of measured over"
                               " predicted and its inverse, less one.",
                               RATIOS},
};

static void observe(struct histogram *histogram, const double *bounds, double value)
{
    size_t i = 0;
    while (i < BUCKETS && !(value <= bounds[i])) {
        i++;
    }
    const double most = 1e12; /* a sum of millionths stays within 64 bits for millions of these */
    const double bounded = value > 0.0 ? fmin(value, most) : 0.0;
    atomic_fetch_add_explicit(&histogram->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_millionths, (uint64_t)(bounded * 1e6),
                              memory_order_relaxed);
}

void lq_metrics_count(enum lq_count what, uint64_t n)
{
    atomic_fetch_add_explicit(&counts[what], n, memory_order_relaxed);
}

void lq_metrics_observe(enum lq_distribution what, double value)
{
    observe(&distributions[what], DISTRIBUTIONS[what].bounds, value);
}

void lq_metrics_request(size_t route, const char *method, const char *path, int status,
                        double seconds)
{
    struct route *r = &routes[route < LQ_METRICS_ROUTES_MAX ? route : LQ_METRICS_ROUTES_MAX - 1];
    size_t s = 0;
    while (s + 1 < STATUS_COUNT && STATUSES[s] != status) {
        s++;
    }
    atomic_store_explicit(&r->path, path, memory_order_relaxed);
    atomic_store_explicit(&r->method, method, memory_order_release);
    atomic_fetch_add_explicit(&r->by_status[s], 1, memory_order_relaxed);
    observe(&r->seconds, SECONDS, seconds);
}

static void write_head(FILE *out, const char *name, const char *help, const char *type)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* labels: what stands before le, with a comma behind it, or "". */
static void write_histogram(FILE *out, const char *name, const char *labels, const char *after,
                            const struct histogram *histogram, const double *bounds)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        sum += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
        fprintf(out, "%s_bucket{%sle=\"%g\"} %llu\n", name, labels, bounds[i],
                (unsigned long long)sum);
    }
    sum += atomic_load_explicit(&histogram->bucket[BUCKETS], memory_order_relaxed);
    fprintf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels, (unsigned long long)sum);
    const uint64_t total = atomic_load_explicit(&histogram->sum_millionths, memory_order_relaxed);
    fprintf(out, "%s_sum%s %.6f\n%s_count%s %llu\n", name, after, (double)total * 1e-6, name, after,
            (unsigned long long)sum);
}

static void write_requests(FILE *out)
{
    write_head(out, "llmquote_requests_total",
               "Requests by route and status; 0: ended before an answer of ours, by either side.",
               "counter");
    for (size_t r = 0; r < LQ_METRICS_ROUTES_MAX; r++) {
        const char *method = atomic_load_explicit(&routes[r].method, memory_order_acquire);
        const char *path = atomic_load_explicit(&routes[r].path, memory_order_relaxed);
        for (size_t s = 0; method != NULL && s < STATUS_COUNT; s++) {
            const uint64_t n = atomic_load_explicit(&routes[r].by_status[s], memory_order_relaxed);
            if (n > 0) {
                fprintf(out,
                        "llmquote_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %llu\n",
                        method, path, STATUSES[s], (unsigned long long)n);
            }
        }
    }
}

static void write_latencies(FILE *out)
{
    static const char NAME[] = "llmquote_request_duration_seconds";
    write_head(out, NAME, "From the request line to the end of the answer.", "histogram");
    for (size_t r = 0; r < LQ_METRICS_ROUTES_MAX; r++) {
        const char *method = atomic_load_explicit(&routes[r].method, memory_order_acquire);
        const char *path = atomic_load_explicit(&routes[r].path, memory_order_relaxed);
        if (method == NULL) {
            continue;
        }
        char labels[160];
        char after[164];
        snprintf(labels, sizeof labels, "method=\"%s\",route=\"%s\",", method, path);
        snprintf(after, sizeof after, "{method=\"%s\",route=\"%s\"}", method, path);
        write_histogram(out, NAME, labels, after, &routes[r].seconds, SECONDS);
    }
}

void lq_metrics_write(FILE *out)
{
    write_requests(out);
    write_latencies(out);
    for (size_t i = 0; i < LQ_COUNT_COUNT; i++) {
        const struct family *family = &COUNTS[i];
        if (family->help != NULL) {
            write_head(out, family->name, family->help, "counter");
        }
        fprintf(out, "%s%s%s%s %llu\n", family->name, family->labels != NULL ? "{" : "",
                family->labels != NULL ? family->labels : "", family->labels != NULL ? "}" : "",
                (unsigned long long)atomic_load_explicit(&counts[i], memory_order_relaxed));
    }
    for (size_t i = 0; i < LQ_DISTRIBUTION_COUNT; i++) {
        write_head(out, DISTRIBUTIONS[i].name, DISTRIBUTIONS[i].help, "histogram");
        write_histogram(out, DISTRIBUTIONS[i].name, "", "", &distributions[i],
                        DISTRIBUTIONS[i].bounds);
    }
}

void lq_metrics_write_gauge(FILE *out, const char *name, const char *help, const char *labels,
                            double value)
{
    if (help != NULL) {
        write_head(out, name, help, "gauge");
    }
    fprintf(out, "%s%s%s%s %.17g\n", name, labels != NULL ? "{" : "", labels != NULL ? labels : "",
            labels != NULL ? "}" : "", value);
}
