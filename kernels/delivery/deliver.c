/* The loop of delivery: a batch, attempts, waits, and what follows from each answer. */
#include "kernels/delivery/deliver.h"

#include "kernels/base/clock.h"
#include "kernels/base/stop.h"
#include "kernels/delivery/answer.h"
#include "kernels/delivery/retry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { TOKEN_MAX = 512, URL_MAX = 1024, STRANGE_MAX = 4 /* answers in a row before giving up */ };

/* One delivery under way. */
struct courier {
    const struct lq_settings *settings;
    struct lq_spool *spool;
    struct lq_http *http;
    FILE *tell;
    struct lq_delivery *told;
    char url[URL_MAX];
    char token[TOKEN_MAX];
    size_t limit;      /* points of the next batch */
    bool may_grow;     /* the limit was lowered only to find a bad point */
    double progress_s; /* when a batch last ended */
    int failures;      /* in a row */
    int strange;
};

/* Uniform in [0, 1); 1/2 where the system has no random number at hand. */
static double chance(void)
{
    uint64_t bits = UINT64_C(1) << 63;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits) {
        return 0.5;
    }
    return ldexp((double)(bits >> 11), -53);
}

/* One attempt; that it failed is a verdict too. */
static void attempt(struct courier *c, const struct lq_batch *batch, struct lq_verdict *verdict)
{
    char key[LQ_SPOOL_KEY_MAX + 32];
    char bearer[TOKEN_MAX + 32];
    snprintf(key, sizeof key, "Idempotency-Key: %s", batch->key);
    snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", c->token);
    const char *const headers[] = {"Content-Type: application/json", key,
                                   c->token[0] != '\0' ? bearer : NULL, NULL};
    const struct lq_http_request request = {.method = "POST",
                                            .url = c->url,
                                            .headers = headers,
                                            .body = batch->body,
                                            .body_size = batch->body_size};
    struct lq_http_answer answer;
    struct lq_error err = {0};
    if (lq_http_send(c->http, &request, &answer, &err) == LQ_OK) {
        lq_http_answer_blot(&answer, c->token);
        lq_answer_judge(&answer, batch->count, (int64_t)time(NULL), verdict);
        lq_http_answer_free(&answer);
    } else {
        memset(verdict, 0, sizeof *verdict);
        verdict->kind = LQ_VERDICT_BUSY;
        verdict->code = err.code;
        verdict->wait_s = -1.0;
        memcpy(verdict->why, err.detail, sizeof verdict->why);
    }
    explicit_bzero(bearer, sizeof bearer);
}

/* Waits for the next attempt, or gives up. */
static enum lq_code wait_again(struct courier *c, const struct lq_verdict *verdict,
                               struct lq_error *err)
{
    const double left_s = c->progress_s + c->settings->give_up_s - lq_clock_s();
    c->strange = verdict->kind == LQ_VERDICT_STRANGE ? c->strange + 1 : 0;
    if (verdict->wait_s > left_s) {
        return lq_fail(err, verdict->code, NULL,
                       "%s: %s, and asks for %.0f s of patience; --give-up leaves less",
                       c->settings->server, verdict->why, verdict->wait_s);
    }
    if (left_s <= 0.0 || c->strange >= STRANGE_MAX) {
        return lq_fail(err, verdict->code, NULL, "%s: %s; given up after %d attempts",
                       c->settings->server, verdict->why, c->failures + 1);
    }
    const double wait_s = verdict->wait_s >= 0.0
                              ? verdict->wait_s
                              : fmin(left_s, lq_retry_backoff_s(c->failures, chance()));
    c->failures++;
    fprintf(c->tell, "llmquote-worker: %s: %s; trying again in %.1f s\n", c->settings->server,
            verdict->why, wait_s);
    lq_stop_wait(wait_s);
    return LQ_OK;
}

/* A batch has ended: what follows starts afresh. */
static void note_progress(struct courier *c)
{
    c->progress_s = lq_clock_s();
    c->failures = 0;
    c->strange = 0;
}

static enum lq_code accept(struct courier *c, const struct lq_batch *batch,
                           const struct lq_receipt *receipt, struct lq_error *err)
{
    LQ_TRY(lq_spool_done(c->spool, err));
    c->told->delivered += batch->count;
    c->told->duplicates += receipt->duplicates;
    c->told->implausible += receipt->implausible;
    if (receipt->implausible > 0 && receipt->implausible_ids != NULL) {
        fprintf(c->tell, "llmquote-worker: stored, but too implausible for fits: %s\n",
                receipt->implausible_ids);
    }
    if (c->may_grow && c->limit < LQ_SPOOL_BATCH_POINTS_MAX) {
        const size_t twice = 2 * c->limit;
        c->limit = twice < LQ_SPOOL_BATCH_POINTS_MAX ? twice : LQ_SPOOL_BATCH_POINTS_MAX;
    }
    return LQ_OK;
}

/* Keeps a point and the words about it where nothing sends it any more. */
static enum lq_code set_aside(struct courier *c, const struct lq_batch *batch, size_t point,
                              const char *pointer, const char *detail, struct lq_error *err)
{
    fprintf(c->tell, "llmquote-worker: rejected: %s%s%s\n", pointer, pointer[0] != '\0' ? ": " : "",
            detail);
    char *line =
        lq_rejection_print(pointer, detail, batch->body + batch->at[point], batch->size[point]);
    if (line == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    const enum lq_code code = lq_spool_set_aside(c->spool, line, err);
    free(line);
    return code;
}

/* Gives up the points that the server found fault with; the others wait again. */
static enum lq_code drop_faulty(struct courier *c, const struct lq_batch *batch,
                                const struct lq_problem *problem, struct lq_error *err)
{
    bool rejected[LQ_SPOOL_BATCH_POINTS_MAX] = {false};
    size_t count = 0;
    for (size_t i = 0; i < problem->fault_count; i++) {
        const struct lq_point_fault *fault = &problem->faults[i];
        if (rejected[fault->point]) {
            continue; /* one line a point: its first fault */
        }
        rejected[fault->point] = true;
        count++;
        LQ_TRY(set_aside(c, batch, fault->point, fault->pointer, fault->detail, err));
    }
    LQ_TRY(lq_spool_dissolve(c->spool, rejected, err));
    c->told->rejected += count;
    return LQ_OK;
}

static enum lq_code drop_all(struct courier *c, const struct lq_batch *batch,
                             const struct lq_verdict *verdict, struct lq_error *err)
{
    bool rejected[LQ_SPOOL_BATCH_POINTS_MAX];
    for (size_t i = 0; i < batch->count; i++) {
        rejected[i] = true;
        LQ_TRY(set_aside(c, batch, i, "", verdict->why, err));
    }
    LQ_TRY(lq_spool_dissolve(c->spool, rejected, err));
    c->told->rejected += batch->count;
    return LQ_OK;
}

/* Sends half as many from now on; a single point that is too much is given up. */
static enum lq_code halve(struct courier *c, const struct lq_batch *batch,
                          const struct lq_verdict *verdict, struct lq_error *err)
{
    if (batch->count == 1) {
        return drop_all(c, batch, verdict, err);
    }
    static const bool NONE[LQ_SPOOL_BATCH_POINTS_MAX] = {false};
    LQ_TRY(lq_spool_dissolve(c->spool, NONE, err));
    c->limit = batch->count / 2;
    c->may_grow = verdict->code != LQ_ETOOLARGE;
    return LQ_OK;
}

static enum lq_code refuse(const struct courier *c, const struct lq_verdict *verdict,
                           struct lq_error *err)
{
    return lq_fail(err, verdict->code, NULL,
                   "%s: %s; it takes a token with the scope calibrations:write, by --token-file or "
                   "LLMQUOTE_TOKEN%s",
                   c->settings->server, verdict->why,
                   c->token[0] == '\0' ? " (none is given)" : "");
}

/* Does what the verdict asks for; *has_ended where the batch is history. */
static enum lq_code obey(struct courier *c, const struct lq_batch *batch,
                         const struct lq_verdict *verdict, bool *has_ended, struct lq_error *err)
{
    *has_ended = true;
    switch (verdict->kind) {
    case LQ_VERDICT_ACCEPTED:
        return accept(c, batch, &verdict->receipt, err);
    case LQ_VERDICT_FAULTY:
        return drop_faulty(c, batch, &verdict->problem, err);
    case LQ_VERDICT_CONFLICT:
        return drop_all(c, batch, verdict, err);
    case LQ_VERDICT_TOO_MUCH:
        return halve(c, batch, verdict, err);
    case LQ_VERDICT_REFUSED:
        return refuse(c, verdict, err);
    case LQ_VERDICT_BUSY:
    case LQ_VERDICT_STRANGE:
        break;
    }
    *has_ended = false;
    return lq_stop_asked() ? LQ_OK : wait_again(c, verdict, err);
}

static enum lq_code deliver_batch(struct courier *c, const struct lq_batch *batch,
                                  struct lq_error *err)
{
    struct lq_verdict *verdict = malloc(sizeof *verdict);
    if (verdict == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    enum lq_code code = LQ_OK;
    bool has_ended = false;
    while (code == LQ_OK && !has_ended && !lq_stop_asked()) {
        attempt(c, batch, verdict);
        code = obey(c, batch, verdict, &has_ended, err);
        free(verdict->receipt.implausible_ids);
        verdict->receipt.implausible_ids = NULL;
    }
    free(verdict);
    if (has_ended) {
        note_progress(c);
    }
    return code;
}

static enum lq_code deliver_all(struct courier *c, struct lq_error *err)
{
    note_progress(c);
    while (lq_spool_waiting(c->spool) > 0 && !lq_stop_asked()) {
        struct lq_batch batch;
        enum lq_code code = lq_spool_batch(c->spool, c->limit, &batch, err);
        code = code == LQ_OK ? deliver_batch(c, &batch, err) : code;
        lq_batch_free(&batch);
        LQ_TRY(code);
    }
    return LQ_OK;
}

static enum lq_code prepare(struct courier *c, struct lq_error *err)
{
    const char *server = c->settings->server;
    size_t size = strlen(server);
    while (size > 0 && server[size - 1] == '/') {
        size--;
    }
    if (size + sizeof "/v1/calibrations" > sizeof c->url) {
        return lq_fail(err, LQ_EFIELD, NULL, "the server's URL is longer than %d bytes", URL_MAX);
    }
    snprintf(c->url, sizeof c->url, "%.*s/v1/calibrations", (int)size, server);
    LQ_TRY(lq_settings_token(c->settings, c->token, sizeof c->token, err));
    const bool is_secret = c->token[0] != '\0' && !c->settings->insecure_http;
    LQ_TRY(lq_http_check_server(server, is_secret, err));
    const struct lq_http_settings settings = {.ca_file = c->settings->ca_file,
                                              .timeout_s = c->settings->timeout_s};
    return lq_http_new(&settings, &c->http, err);
}

void lq_delivery_add(struct lq_delivery *sum, const struct lq_delivery *more)
{
    sum->delivered += more->delivered;
    sum->duplicates += more->duplicates;
    sum->implausible += more->implausible;
    sum->rejected += more->rejected;
    sum->kept = more->kept;
    sum->is_interrupted = more->is_interrupted;
}

enum lq_code lq_deliver(const struct lq_settings *settings, struct lq_spool *spool, FILE *tell,
                        struct lq_delivery *told, struct lq_error *err)
{
    memset(told, 0, sizeof *told);
    struct courier courier = {.settings = settings,
                              .spool = spool,
                              .tell = tell,
                              .told = told,
                              .limit = LQ_SPOOL_BATCH_POINTS_MAX};
    enum lq_code code = LQ_OK;
    if (lq_spool_waiting(spool) > 0) {
        code = prepare(&courier, err);
        code = code == LQ_OK ? deliver_all(&courier, err) : code;
    }
    lq_http_free(courier.http);
    explicit_bzero(courier.token, sizeof courier.token);
    told->kept = lq_spool_waiting(spool);
    told->is_interrupted = told->kept > 0 && lq_stop_asked();
    return code;
}
