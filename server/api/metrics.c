/* The page that Prometheus scrapes: counters, and gauges of the catalog at hand. */
#include "server/api/metrics.h"

#include "server/jobs/queue.h"
#include "server/metrics.h"
#include "server/store/catalog.h"
#include "server/store/store.h"

#include <stdio.h>
#include <stdlib.h>

static void write_fits(FILE *out, const struct lq_catalog *catalog)
{
    size_t by_scope[LQ_SCOPE_IDENTITY + 1] = {0};
    for (size_t i = 0; i < catalog->fit_count; i++) {
        by_scope[catalog->fits[i].scope]++;
    }
    for (size_t s = 0; s <= LQ_SCOPE_IDENTITY; s++) {
        char labels[32];
        snprintf(labels, sizeof labels, "scope=\"%s\"", LQ_SCOPE_NAMES[s]);
        lq_metrics_write_gauge(out, "llmquote_fits", s == 0 ? "Fits in force, by scope." : NULL,
                               labels, (double)by_scope[s]);
    }
    lq_metrics_write_gauge(out, "llmquote_fits_timestamp_seconds",
                           "When these fits were made, in seconds since 1970.", NULL,
                           (double)catalog->fitted_at);
}

/* What waits. Refits are not jobs: points that they lack stand with the points. */
static void write_queues(FILE *out, const struct lq_call *call)
{
    static const char JOBS[] = "llmquote_jobs";
    const struct lq_queue_depth depth = lq_queue_depth(call->queue);
    lq_metrics_write_gauge(out, "llmquote_changes_waiting", "Changes that wait for the writer.",
                           NULL, (double)lq_store_waiting_changes(call->store));
    lq_metrics_write_gauge(out, JOBS, "Jobs that are not done.", "state=\"queued\"",
                           (double)depth.waiting);
    lq_metrics_write_gauge(out, JOBS, NULL, "state=\"running\"", (double)depth.running);
}

static void write_points(FILE *out, const struct lq_call *call)
{
    const struct lq_catalog *catalog = call->catalog;
    size_t implausible = 0;
    size_t outliers = 0;
    for (size_t i = 0; i < catalog->point_count; i++) {
        implausible += catalog->points[i].implausible ? 1 : 0;
        outliers += catalog->points[i].outlier ? 1 : 0;
    }
    lq_metrics_write_gauge(out, "llmquote_points", "Calibration points in the catalog at hand.",
                           NULL, (double)catalog->point_count);
    lq_metrics_write_gauge(out, "llmquote_points_implausible",
                           "Of these the ones that physics rules out.", NULL, (double)implausible);
    lq_metrics_write_gauge(out, "llmquote_points_outlying",
                           "Of these the ones that wait for a confirmation, far off the fit.", NULL,
                           (double)outliers);
    lq_metrics_write_gauge(out, "llmquote_points_pending",
                           "Stored points that the catalog at hand does not have yet.", NULL,
                           (double)lq_store_pending_points(call->store, catalog));
}

enum lq_code lq_metrics_get(struct lq_call *call, struct lq_reply *reply)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    lq_metrics_write_gauge(out, "llmquote_build_info", "Always 1; the version is a label.",
                           "version=\"" LQ_VERSION "\"", 1.0);
    lq_metrics_write(out);
    write_fits(out, call->catalog);
    write_queues(out, call);
    write_points(out, call);
    if (fclose(out) != 0) {
        free(text);
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply->body = text;
    reply->body_size = size;
    reply->free_body = free;
    return LQ_OK;
}
