/* Opens the seed once per program, brackets inputs and calls handlers. What they find is not known
 * here. */
#include "tests/fuzz/server.h"

#include "server/api/lookup.h"
#include "server/config.h"
#include "server/jobs/queue.h"
#include "server/jobs/refit.h"
#include "server/json/arena.h"
#include "server/json/field.h"
#include "server/json/model_config.h"
#include "server/json/problem.h"
#include "server/store/snapshot.h"
#include "server/store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of how many inputs one is looked at more closely, at two to three times the cost. */
enum { THOROUGH = 8 };
/* Entries of a list that is cut short. */
enum { SHORT_LIST = 3 };

static bool thorough;
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

const struct lq_catalog *fuzz_catalog_short(void)
{
    static struct lq_snapshot cut; /* handlers ask the store about it as about the one it is of */
    struct lq_catalog *c = &cut.catalog;
    if (c->models == NULL) {
        *c = *fuzz_catalog();
        cut.mark = *lq_snapshot_mark(catalog);
        size_t *const counts[] = {&c->model_count,    &c->gpu_count,   &c->price_count,
                                  &c->provider_count, &c->point_count, &c->dataset_count,
                                  &c->fit_count,      &c->law_count,   &c->run_count};
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            *counts[i] = *counts[i] < SHORT_LIST ? *counts[i] : SHORT_LIST;
        }
    }
    return c;
}

struct lq_lookup fuzz_lookup(void)
{
    return lq_catalog_lookup(fuzz_catalog());
}

char *fuzz_begin(const uint8_t *data, size_t size)
{
    static bool installed;
    if (!installed) {
        lq_arena_install();
        (void)fuzz_catalog(); /* outlives the input, so it is opened outside of the arena */
        installed = true;
    }
    thorough = fuzz_is_one_in(THOROUGH, data, size);
    if (!thorough) {
        lq_arena_begin();
    }
    return fuzz_text(data, size);
}

void fuzz_end(char *text)
{
    free(text);
    if (!thorough) {
        lq_arena_end();
    }
}

static void check_fault(const struct lq_error *fault)
{
    if (fault->code == LQ_OK || fault->detail[0] == '\0') {
        fuzz_fail("a fault at %s without a word", fault->pointer);
    }
    if (fault->pointer[0] != '\0' && fault->pointer[0] != '/') {
        fuzz_fail("%s is no pointer: %s", fault->pointer, fault->detail);
    }
}

static void check_problem(const struct lq_faults *faults)
{
    size_t size = 0;
    char *problem = lq_problem_encode(faults, "fuzz", &size);
    if (problem == NULL || size == 0) {
        fuzz_fail("the problem cannot be written");
    }
    lq_text_free(problem);
}

bool fuzz_decoded(enum lq_code code, const struct lq_faults *faults)
{
    if ((code == LQ_OK) != (faults->count == 0) ||
        (code != LQ_OK && faults->items[0].code != code)) {
        fuzz_fail("%s, but %zu faults say otherwise", lq_code_slug(code), faults->count);
    }
    if (code == LQ_OK) {
        return true;
    }
    if (lq_problem_status(code) >= 500) {
        fuzz_fail("%s at %s: %s", lq_code_slug(code), faults->items[0].pointer,
                  faults->items[0].detail);
    }
    for (size_t i = 0; i < faults->count && i < LQ_FAULTS_MAX; i++) {
        check_fault(&faults->items[i]);
    }
    if (thorough) {
        check_problem(faults);
    }
    return false;
}

void fuzz_encoded(json_t *value)
{
    if (value == NULL) {
        fuzz_fail("what was accepted cannot be written");
    }
    json_decref(value);
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

void fuzz_call(lq_handler handler, const struct lq_request *request,
               const struct lq_catalog *seeded)
{
    static struct lq_faults faults;
    faults.count = 0;
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

void fuzz_body(fuzz_decoder decode, const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    char *text = fuzz_begin(data, size);
    json_t *root = lq_parse(text, size, &faults);
    (void)fuzz_decoded(root != NULL ? decode(root, &faults) : faults.items[0].code, &faults);
    json_decref(root);
    fuzz_end(text);
}

void fuzz_post(fuzz_decoder decode, lq_handler handler, const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    if (!fuzz_is_one_in(FUZZ_COMPUTED, data, size)) {
        return;
    }
    char *body = fuzz_begin(data, size);
    const struct lq_request request = {.method = "POST",
                                       .path = "/",
                                       .body = body,
                                       .body_size = size,
                                       .content_type = "application/json",
                                       .id = "fuzz"};
    fuzz_call(handler, &request, fuzz_catalog());
    fuzz_end(body);
}
