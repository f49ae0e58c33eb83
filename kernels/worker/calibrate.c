/* The loop over points: from a grid, or one after the other as estimates ask for them. */
#include "kernels/worker/calibrate.h"

#include "kernels/base/stop.h"
#include "kernels/delivery/client.h"
#include "kernels/document/catalog.h"
#include "kernels/worker/calibrate_point.h"
#include "kernels/worker/progress.h"

#include <stdlib.h>
#include <string.h>

/* A sweep under way. */
struct sweep {
    const struct lq_calibration_plan *plan;
    struct lq_rig *rig;
    struct lq_calibration_sink *sink;
    struct lq_calibration_sum *sum;
    struct lq_progress progress;
};

enum { LABEL_MAX = 160, LINE_MAX_CHARS = 400 };

/* 60 s: how long the next question waits for fits that have the last point, which takes a server
 * with 100,000 points a few seconds; asked for every 50 ms. */
static const double FITS_PATIENCE_S = 60.0;
static const double FITS_PAUSE_S = 0.05;

/* 5 s: how long a sweep waits for a server between two points; what it does not take waits in the
 * spool for the end. */
static const double PATIENCE_S = 5.0;

static void label(const struct sweep *s, const struct lq_sweep_item *item, char text[LABEL_MAX])
{
    char experts[32] = "";
    if (item->active_experts > 0) {
        snprintf(experts, sizeof experts, ", top-%lld", (long long)item->active_experts);
    }
    snprintf(text, LABEL_MAX, "%s %s, batch %lld x %lld tokens%s", s->plan->model->id,
             LQ_METHOD_NAMES[item->method], (long long)item->batch_size, (long long)item->tokens,
             experts);
}

static enum lq_code measure_item(const struct sweep *s, const struct lq_sweep_item *item,
                                 struct lq_measured *out, struct lq_error *err)
{
    const struct lq_method method = lq_item_method(s->plan, item);
    const struct lq_measure_job job = {.backend = s->rig->backend,
                                       .device = s->rig->device,
                                       .element = s->rig->element,
                                       .model = s->plan->model,
                                       .method = &method,
                                       .checkpointing = s->plan->checkpointing,
                                       .batch_size = item->batch_size,
                                       .tokens = item->tokens,
                                       .active_experts = item->active_experts,
                                       .skew = s->plan->skew,
                                       .budget_s = s->plan->budget_s,
                                       .rounds_max = s->plan->rounds_max};
    return lq_measure(&job, out, err);
}

/* Sends what waits; a server that does not take it is asked again at the end only. */
static void send_now(const struct sweep *s)
{
    struct lq_settings settings = *s->sink->settings;
    struct lq_delivery told;
    struct lq_error err = {0};
    settings.give_up_s = settings.give_up_s < PATIENCE_S ? settings.give_up_s : PATIENCE_S;
    if (s->sink->server_failed || s->sink->spool == NULL) {
        return;
    }
    const enum lq_code code = lq_deliver(&settings, s->sink->spool, stderr, &told, &err);
    if (code != LQ_OK) {
        s->sink->server_failed = true;
        fprintf(stderr, "llmquote-worker: %s; points wait in the spool\n", err.detail);
    }
    lq_delivery_add(&s->sum->sent, &told);
}

static enum lq_code keep(const struct sweep *s, const struct lq_sweep_item *item,
                         const struct lq_measured *measured, struct lq_error *err)
{
    char *text = NULL;
    LQ_TRY(lq_item_write(s->plan, s->rig, item, measured, &text, err));
    enum lq_code code = LQ_OK;
    if (s->sink->spool == NULL) {
        puts(text);
        fflush(stdout);
    } else {
        code = lq_spool_append(s->sink->spool, text, err);
    }
    free(text);
    return code;
}

static void tell(struct sweep *s, const struct lq_sweep_item *item, const struct lq_measured *m)
{
    char what[LABEL_MAX];
    char line[LINE_MAX_CHARS];
    char load[64] = "";
    label(s, item, what);
    if (m->has_load) {
        snprintf(load, sizeof load, ", expert load variance %.3g", m->load.variance);
    }
    snprintf(line, sizeof line,
             "%s: step %.4g s (spread %.1f %%%s), %.4g tokens/s, peak %.2f GiB%s", what,
             m->step.median_s, 100.0 * m->step.spread, m->is_noisy ? ", NOISY" : "",
             (double)(item->batch_size * item->tokens) / m->step.median_s,
             m->peak_bytes / (1024.0 * 1024.0 * 1024.0), load);
    lq_progress_tell(&s->progress, lq_sweep_work(item), line);
}

/* One point from measuring to sending. LQ_ENOFIT is the caller's to handle. */
static enum lq_code take(struct sweep *s, const struct lq_sweep_item *item, struct lq_error *err)
{
    struct lq_measured measured;
    char what[LABEL_MAX];
    label(s, item, what);
    lq_progress_show(&s->progress, what);
    LQ_TRY(measure_item(s, item, &measured, err));
    LQ_TRY(keep(s, item, &measured, err));
    tell(s, item, &measured);
    s->sum->measured++;
    s->sum->noisy += measured.is_noisy ? 1 : 0;
    send_now(s);
    return LQ_OK;
}

/* Tells what did not fit; the sweep goes on. */
static void leave_out(struct sweep *s, const struct lq_sweep_item *item, size_t beside,
                      const struct lq_error *why)
{
    char what[LABEL_MAX];
    char line[LINE_MAX_CHARS + LQ_DETAIL_MAX];
    label(s, item, what);
    snprintf(line, sizeof line, "%s: does not fit: %s%s", what, why->detail,
             beside > 0 ? "; larger ones are left out" : "");
    s->sum->unfit += 1 + beside;
    lq_progress_tell(&s->progress, lq_sweep_work(item), line);
}

static enum lq_code take_grid(struct sweep *s, struct lq_sweep_item *items, size_t count,
                              struct lq_error *err)
{
    for (size_t i = 0; i < count && !lq_stop_asked(); i++) {
        if (items[i].skipped) {
            continue;
        }
        struct lq_error why = {0};
        const enum lq_code code = take(s, &items[i], &why);
        if (code == LQ_ENOFIT) {
            leave_out(s, &items[i], lq_sweep_skip(items, count, i), &why);
        } else if (code != LQ_OK && !lq_stop_asked()) {
            return lq_fail(err, code, NULL, "%s", why.detail);
        }
    }
    return LQ_OK;
}

/* What the server's estimate for the largest item would have measured next; `found` tells whether
 * there is anything. */
static enum lq_code ask(const struct sweep *s, const struct lq_sweep_item *largest,
                        struct lq_sweep_item *next, bool *found, struct lq_error *err)
{
    const struct lq_measured_point point = lq_item_point(s->plan, s->rig, largest);
    struct lq_http_answer answer;
    struct lq_suggestion first;
    size_t count = 0;
    char *body = NULL;
    struct lq_measured_point question = point;
    question.step_time_s = 1.0; /* a point has a rate; the question leaves it out */
    LQ_TRY(lq_question_write(&question, &body, err));
    const enum lq_code code =
        lq_client_call(s->sink->client, "POST", "/v1/estimates", body, &answer, err);
    free(body);
    LQ_TRY(code);
    const enum lq_code read = lq_suggestions_read(answer.body, answer.size, &first, 1, &count, err);
    lq_http_answer_free(&answer);
    LQ_TRY(read);
    *found = count > 0;
    *next = *largest;
    if (count > 0) {
        next->batch_size =
            first.batch_size < largest->batch_size ? first.batch_size : largest->batch_size;
        next->tokens = first.tokens < largest->tokens ? first.tokens : largest->tokens;
    }
    return LQ_OK;
}

/* Waits until the server's fits rest on all points it has taken: it stores them first. One that
 * takes too long is asked all the same. */
static enum lq_code await_fits(const struct sweep *s, struct lq_error *err)
{
    int64_t pending = 1;
    for (double waited_s = 0.0; !lq_stop_asked(); waited_s += FITS_PAUSE_S) {
        struct lq_http_answer answer;
        LQ_TRY(lq_client_call(s->sink->client, "GET", "/v1/fits?limit=1", NULL, &answer, err));
        const enum lq_code code = lq_pending_points_read(answer.body, answer.size, &pending, err);
        lq_http_answer_free(&answer);
        LQ_TRY(code);
        if (pending == 0 || waited_s >= FITS_PATIENCE_S) {
            break;
        }
        lq_stop_wait(FITS_PAUSE_S);
    }
    return LQ_OK;
}

/* Point after point, as long as a measurement would narrow the estimate. */
static enum lq_code take_suggested(struct sweep *s, const struct lq_sweep_item *largest,
                                   struct lq_error *err)
{
    struct lq_sweep_item last = {.batch_size = 0};
    for (int64_t i = 0; i < s->plan->suggested && !lq_stop_asked(); i++) {
        struct lq_sweep_item next;
        bool found = false;
        LQ_TRY(ask(s, largest, &next, &found, err));
        if (!found || (next.batch_size == last.batch_size && next.tokens == last.tokens)) {
            lq_progress_tell(&s->progress, 0.0, "no further point would narrow the estimate");
            return LQ_OK;
        }
        struct lq_error why = {0};
        const enum lq_code code = take(s, &next, &why);
        if (code == LQ_ENOFIT) {
            leave_out(s, &next, 0, &why);
            return LQ_OK;
        }
        if (code != LQ_OK && !lq_stop_asked()) {
            return lq_fail(err, code, NULL, "%s", why.detail);
        }
        if (s->sink->server_failed) {
            return lq_fail(err, LQ_EPEER, NULL,
                           "suggestions need a server that takes each point first");
        }
        LQ_TRY(await_fits(s, err));
        last = next;
    }
    return LQ_OK;
}

/* One question for each method, number of active experts and length: its largest batch. */
static enum lq_code take_all_suggested(struct sweep *s, const struct lq_sweep_item *items,
                                       size_t count, struct lq_error *err)
{
    for (size_t i = 0; i < count && !lq_stop_asked(); i++) {
        bool is_largest = true;
        for (size_t j = i + 1; j < count; j++) {
            is_largest = is_largest && !(items[j].method == items[i].method &&
                                         items[j].active_experts == items[i].active_experts &&
                                         items[j].tokens == items[i].tokens);
        }
        if (is_largest) {
            LQ_TRY(take_suggested(s, &items[i], err));
        }
    }
    return LQ_OK;
}

enum lq_code lq_calibrate(const struct lq_calibration_plan *plan, struct lq_rig *rig,
                          struct lq_calibration_sink *sink, struct lq_calibration_sum *sum,
                          struct lq_error *err)
{
    static struct lq_sweep_item items[LQ_SWEEP_MAX];
    struct sweep s = {.plan = plan, .rig = rig, .sink = sink, .sum = sum};
    size_t count = 0;
    double total = 0.0;
    *sum = (struct lq_calibration_sum){.measured = 0};
    LQ_TRY(lq_sweep_make(&plan->axes, items, &count, err));
    for (size_t i = 0; i < count; i++) {
        total += lq_sweep_work(&items[i]);
    }
    lq_progress_begin(&s.progress, stderr, total);
    const enum lq_code code = plan->suggested > 0 ? take_all_suggested(&s, items, count, err)
                                                  : take_grid(&s, items, count, err);
    sum->is_interrupted = lq_stop_asked();
    LQ_TRY(code);
    if (sum->measured == 0 && sum->unfit > 0) {
        return lq_fail(err, LQ_ENOFIT, NULL, "nothing of what was asked for fits this device");
    }
    return LQ_OK;
}
