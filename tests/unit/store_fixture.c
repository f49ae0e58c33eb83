/* See store_fixture.h. */
#include "tests/unit/store_fixture.h"

#include "server/json/model_config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[64];

void make_directory(void)
{
    strcpy(directory, "/tmp/llmquote-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

const char *in_directory(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

void remove_directory(void)
{
    DIR *listing = opendir(directory);
    ck_assert_ptr_nonnull(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (entry->d_name[0] != '.') {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
            ck_assert_int_eq(remove(path), 0);
        }
    }
    closedir(listing);
    ck_assert_int_eq(rmdir(directory), 0);
}

static enum lq_code count(const struct lq_catalog *catalog, struct lq_fit **fits, size_t *fit_count,
                          struct lq_error *err)
{
    struct lq_fit *fit = calloc(1, sizeof *fit);
    if (fit == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    strcpy(fit->id, "count");
    fit->points = catalog->point_count;
    *fits = fit;
    *fit_count = 1;
    return LQ_OK;
}

const struct lq_hooks COUNTING_HOOKS = {.decode_model = lq_model_decode, .refit = count};

struct lq_store *open_store(void)
{
    struct lq_store *store = NULL;
    struct lq_error err = {0};
    enum lq_code code = lq_store_open(in_directory("llmquote.db"), &COUNTING_HOOKS, &store, &err);
    ck_assert_msg(code == LQ_OK, "%s", err.detail);
    return store;
}

struct lq_new_point make_point(int number)
{
    static char documents[16384][32]; /* as many as one test posts */
    char *document = documents[number % 16384];
    snprintf(document, sizeof documents[0], "{\"number\":%d}", number);
    return (struct lq_new_point){
        .point = {.identity = {.model = "mixtral-8x7b",
                               .gpu = "A40",
                               .stack = "llmquote-worker",
                               .gpu_count = 1,
                               .method = {.kind = LQ_METHOD_LORA,
                                          .rank = 16,
                                          .targets = LQ_TARGETS_ALL_LINEAR},
                               .checkpointing = LQ_CHECKPOINTING_FULL,
                               .layout = LQ_LAYOUT_SINGLE},
                  .conditions = {.active_experts = 2,
                                 .batch_size = 4,
                                 .accumulation_steps = 1,
                                 .sequence_tokens = 512,
                                 .rule = {.padding_multiple = 8},
                                 .row_tokens = 512.0,
                                 .queries_per_row = 1.0},
                  .queries_per_s = 1.0 + number,
                  .step_time_s = 4.0 / (1.0 + number),
                  .source = "test"},
        .document = document,
        .measured_at = "2026-01-02T03:04:05Z",
    };
}

enum lq_code post_points(struct lq_store *store, int first, size_t count, const char *key,
                         char (*ids)[LQ_ID_MAX], size_t *duplicates)
{
    struct lq_new_point *points = calloc(count, sizeof *points);
    ck_assert_ptr_nonnull(points);
    for (size_t i = 0; i < count; i++) {
        points[i] = make_point(first + (int)i);
    }
    char digest[32];
    snprintf(digest, sizeof digest, "%d+%zu", first, count);
    const struct lq_batch batch = {.points = points,
                                   .count = count,
                                   .idempotency_key = key,
                                   .body_digest = digest,
                                   .token_id = "tester",
                                   .token_name = "tester"};
    struct lq_error err = {0};
    enum lq_code code = lq_store_add_points(store, &batch, ids, duplicates, NULL, &err);
    free(points);
    return code;
}

static int64_t pending(struct lq_store *store)
{
    const struct lq_catalog *catalog = lq_store_acquire(store);
    const int64_t points = lq_store_pending_points(store, catalog);
    lq_store_release(store, catalog);
    return points;
}

void settle(struct lq_store *store)
{
    enum { LIMIT_MS = 10 * 1000 };
    for (int waited_ms = 0; pending(store) > 0; waited_ms++) {
        ck_assert_int_lt(waited_ms, LIMIT_MS);
        usleep(1000);
    }
}

enum lq_code get_document(struct lq_store *store, const char *id, char **document)
{
    struct lq_stored_point stored;
    const struct lq_catalog *catalog = lq_store_acquire(store);
    const enum lq_code code =
        lq_store_get_point(store, catalog, id, &stored, &(struct lq_error){0});
    lq_store_release(store, catalog);
    if (code == LQ_OK) {
        *document = stored.document;
    }
    return code;
}

size_t count_points(struct lq_store *store)
{
    settle(store);
    const struct lq_catalog *catalog = lq_store_acquire(store);
    size_t count = catalog->point_count;
    lq_store_release(store, catalog);
    return count;
}
