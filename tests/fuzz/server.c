/* Opens the seed once per program and calls handlers. What they find is not known here. */
#include "tests/fuzz/server.h"

#include "server/api/lookup.h"
#include "server/config.h"
#include "server/jobs/queue.h"
#include "server/jobs/refit.h"
#include "server/json/field.h"
#include "server/json/model_config.h"
#include "server/json/problem.h"
#include "server/store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct lq_store *store;
static const struct lq_catalog *catalog;
static struct lq_queue *queue;
static struct lq_config config;
static char directory[] = "/tmp/llmquote-fuzz-XXXXXX";
static char path[sizeof directory + 16];

/* Linked in place of jansson's (-Wl,--wrap), which would leave out such a number in silence. */
json_t *__real_json_real(double value); /* NOLINT(bugprone-reserved-identifier): the linker's */
json_t *__wrap_json_real(double value); /* NOLINT(bugprone-reserved-identifier) */
json_t *__wrap_json_real(double value)
{
    if (!isfinite(value)) {
        fuzz_fail("a number of the answer is not finite");
    }
    return __real_json_real(value);
}

static void must(enum lq_code code, const struct lq_error *err)
{
    if (code != LQ_OK) {
        fuzz_fail("%s: %s", lq_code_slug(code), err->detail);
    }
}

static void close_store(void)
{
    lq_queue_stop(queue);
    lq_store_release(store, catalog);
    lq_store_close(store);
    static const char *const FILES[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        char file[sizeof path + 8];
        snprintf(file, sizeof file, "%s%s", path, FILES[i]);
        (void)unlink(file);
    }
    (void)rmdir(directory);
}

static void open_store(void)
{
    static const struct lq_hooks HOOKS = {.decode_model = lq_model_decode, .refit = lq_refit};
    static const struct lq_queue_limits LIMITS = {.threads = 1, .waiting = 4, .finished = 4};
    struct lq_error err = {0};
    if (mkdtemp(directory) == NULL) {
        fuzz_fail("cannot make a folder in /tmp");
    }
    snprintf(path, sizeof path, "%s/fuzz.db", directory);
    must(lq_config_load(&config, 0, NULL, &err), &err);
    must(lq_store_open(path, &HOOKS, &store, &err), &err);
    must(lq_queue_start(&LIMITS, &queue, &err), &err);
    catalog = lq_store_acquire(store);
    (void)atexit(close_store);
}

const struct lq_catalog *fuzz_catalog(void)
{
    if (catalog == NULL) {
        open_store();
    }
    return catalog;
}

struct lq_lookup fuzz_lookup(void)
{
    return lq_catalog_lookup(fuzz_catalog());
}

json_t *fuzz_parse(const uint8_t *data, size_t size, struct lq_faults *faults)
{
    char *text = fuzz_text(data, size);
    json_t *root = lq_parse(text, size, faults);
    free(text);
    if (root == NULL) {
        (void)fuzz_decoded(faults->items[0].code, faults);
    }
    return root;
}

bool fuzz_decoded(enum lq_code code, const struct lq_faults *faults)
{
    if (code == LQ_OK) {
        return true;
    }
    if (faults->count == 0 || faults->items[0].code != code) {
        fuzz_fail("refused with %s, but %zu faults say so", lq_code_slug(code), faults->count);
    }
    if (lq_problem_status(code) >= 500) {
        fuzz_fail("%s at %s: %s", lq_code_slug(code), faults->items[0].pointer,
                  faults->items[0].detail);
    }
    size_t size = 0;
    char *problem = lq_problem_encode(faults, "fuzz", &size);
    if (problem == NULL || size == 0) {
        fuzz_fail("the problem cannot be written");
    }
    lq_text_free(problem);
    return false;
}

static void check_reply(const struct lq_reply *reply)
{
    const bool json = reply->content_type == NULL || strstr(reply->content_type, "json") != NULL;
    json_error_t error;
    if (json && reply->body != NULL) {
        json_t *root = json_loadb(reply->body, reply->body_size, JSON_REJECT_DUPLICATES, &error);
        if (root == NULL) {
            fuzz_fail("the answer is no JSON: %s", error.text);
        }
        json_decref(root);
    }
    if (reply->status >= 500) {
        fuzz_fail("answered with %d", reply->status);
    }
    if (reply->free_body != NULL) {
        reply->free_body((char *)(uintptr_t)reply->body);
    }
}

void fuzz_call(lq_handler handler, const struct lq_request *request)
{
    static struct lq_faults faults;
    faults.count = 0;
    const struct lq_catalog *seeded = fuzz_catalog(); /* opens what else the call takes */
    struct lq_call call = {.catalog = seeded,
                           .store = store,
                           .config = &config,
                           .queue = queue,
                           .request = request,
                           .faults = &faults};
    struct lq_reply reply = {0};
    if (fuzz_decoded(handler(&call, &reply), &faults)) {
        check_reply(&reply);
    }
}

void fuzz_post(lq_handler handler, const uint8_t *data, size_t size)
{
    char *body = fuzz_text(data, size);
    const struct lq_request request = {.method = "POST",
                                       .path = "/",
                                       .body = body,
                                       .body_size = size,
                                       .content_type = "application/json",
                                       .id = "fuzz"};
    fuzz_call(handler, &request);
    free(body);
}
