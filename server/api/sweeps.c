/* Answers sweeps: every point is decoded, estimated and priced as the single job it is. */
#include "server/api/sweeps.h"

#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/api/quotes.h"
#include "server/json/field.h"
#include "server/json/sweep.h"

#include <stdbool.h>

/* A sweep on its way to an answer. */
struct sweeping {
    const struct lq_call *call;
    struct lq_lookup lookup;
    struct lq_sweep sweep;
    json_t *series;
    json_t *assumptions;      /* of the first point whose job could be read, or NULL */
    struct lq_faults refused; /* of the first point whose job could not */
    size_t problems;
};

/* A measured batch is known to fit the device it was measured on, not a smaller one. */
static bool fits_less_memory(const struct lq_job_document *document, const struct lq_gpu *listed,
                             const struct lq_estimate *e, struct lq_faults *faults)
{
    const bool doubted = (e->warnings & (1u << LQ_WARN_BATCH_MEASURED)) != 0;
    if (!doubted || document->job.gpu->memory_bytes >= listed->memory_bytes) {
        return true;
    }
    lq_faults_add(faults, LQ_ENOFIT, "/job/batch_size",
                  "batch size %lld needs %.0f bytes; the device has %.0f", (long long)e->batch_size,
                  e->total_bytes, document->job.gpu->memory_bytes);
    return false;
}

/* The point of a decoded job; NULL with faults. */
static json_t *quote_point(const struct sweeping *s, struct lq_job_document *document,
                           double memory_bytes, struct lq_faults *faults)
{
    const struct lq_gpu *listed = document->job.gpu;
    struct lq_gpu device = *listed;
    if (memory_bytes > 0.0) {
        device.memory_bytes = memory_bytes;
        device.memory_nominal_bytes = memory_bytes;
        device.memory_is_reported = true;
        document->job.gpu = &device;
    }
    struct lq_quoted quoted;
    json_t *point = NULL;
    if (lq_quote_job(s->call->catalog, document, "/job", &quoted, faults) &&
        fits_less_memory(document, listed, &quoted.estimate, faults)) {
        const struct lq_quote quote = lq_quote_view(s->call->catalog, document, &quoted);
        point = lq_sweep_point_encode(&quote);
    }
    document->job.gpu = listed;
    return point;
}

static void take_point(struct sweeping *s, size_t x, size_t by)
{
    double memory_bytes = 0.0;
    struct lq_faults faults = {.count = 0};
    struct lq_job_document document;
    json_t *point = NULL;
    json_t *job = lq_sweep_job(&s->sweep, x, by, &memory_bytes);
    if (lq_job_decode(job, "/job", &s->lookup, &document, &faults) == LQ_OK) {
        point = quote_point(s, &document, memory_bytes, &faults);
        if (s->assumptions == NULL) {
            s->assumptions = lq_job_encode(&document);
        }
    } else if (s->refused.count == 0) {
        s->refused = faults;
    }
    lq_job_release(&document);
    json_decref(job);
    if (point == NULL) {
        s->problems++;
        point = lq_sweep_problem_encode(&faults);
    }
    lq_sweep_append(&s->sweep, s->series, x, by, point);
}

static json_t *encode(struct sweeping *s)
{
    const struct lq_catalog *catalog = s->call->catalog;
    json_t *answer = lq_sweep_encode(&s->sweep, s->series);
    const size_t points = lq_sweep_size(&s->sweep, 0) * lq_sweep_size(&s->sweep, 1);
    json_object_set_new(answer, "points", json_integer((json_int_t)points));
    json_object_set_new(answer, "problems", json_integer((json_int_t)s->problems));
    json_object_set_new(answer, "assumptions", s->assumptions);
    json_object_set_new(answer, "versions",
                        json_pack("{s:s, s:s, s:s}", "code", LQ_VERSION, "catalog",
                                  catalog->catalog_version, "prices", catalog->prices_version));
    return answer;
}

static enum lq_code run(struct sweeping *s, struct lq_call *call, struct lq_reply *reply)
{
    s->series = lq_sweep_series_new(&s->sweep);
    for (size_t by = 0; by < lq_sweep_size(&s->sweep, 1); by++) {
        for (size_t x = 0; x < lq_sweep_size(&s->sweep, 0); x++) {
            take_point(s, x, by);
        }
    }
    if (s->assumptions == NULL) { /* no value of an axis makes it a job: the job itself is bad */
        json_decref(s->series);
        *call->faults = s->refused;
        return s->refused.items[0].code;
    }
    return lq_reply_computed(call, encode(s), reply);
}

enum lq_code lq_sweeps_post(struct lq_call *call, struct lq_reply *reply)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    struct sweeping s = {.call = call, .lookup = lq_catalog_lookup(call->catalog)};
    enum lq_code code = lq_sweep_decode(root, &s.sweep, call->faults);
    if (code == LQ_OK) {
        code = run(&s, call, reply);
    }
    lq_sweep_release(&s.sweep);
    json_decref(root);
    return code;
}
