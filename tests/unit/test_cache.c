/* Kept answers: found by the same question on the same data, within bounds, whole while in use. */
#include "server/http/cache.h"
#include "server/store/catalog.h"
#include "tests/unit/check_main.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct lq_catalog catalog = {.data_version = "1"};
static struct lq_cache *cache;

static struct lq_cache_key key_of(const char *body)
{
    return (struct lq_cache_key){
        .route = 3, .body = body, .body_size = strlen(body), .catalog = &catalog};
}

static void put(const char *body, const char *answer)
{
    const struct lq_cache_key key = key_of(body);
    const struct lq_reply reply = {.body = answer, .body_size = strlen(answer)};
    lq_cache_put(cache, &key, &reply);
}

/* Whether that answer is found. */
static bool finds(const struct lq_cache_key *key, const char *answer)
{
    struct lq_reply reply = {.status = 0};
    if (!lq_cache_get(cache, key, &reply)) {
        return false;
    }
    union {
        const char *text;
        void *memory;
    } body = {.text = reply.body};
    const bool same =
        reply.body_size == strlen(answer) && memcmp(reply.body, answer, reply.body_size) == 0;
    reply.free_body(body.memory);
    return same;
}

static void set_up(void)
{
    cache = lq_cache_new((size_t)1024 * 1024);
    strcpy(catalog.data_version, "1");
}

static void tear_down(void)
{
    lq_cache_free(cache);
}

START_TEST(an_answer_is_found_by_its_route_body_and_data)
{
    put("question", "answer");
    struct lq_cache_key key = key_of("question");
    ck_assert(finds(&key, "answer"));
    key.route = 4;
    ck_assert(!finds(&key, "answer"));
    key = key_of("question ");
    ck_assert(!finds(&key, "answer"));
    key = key_of("question");
    strcpy(catalog.data_version, "2");
    ck_assert(!finds(&key, "answer"));
    strcpy(catalog.data_version, "1");
    strcpy(catalog.prices_version, "p");
    ck_assert(!finds(&key, "answer"));
    catalog.prices_version[0] = '\0';
    ck_assert(finds(&key, "answer"));
}
END_TEST

START_TEST(the_same_question_is_kept_once)
{
    put("question", "first");
    put("question", "second");
    const struct lq_cache_key key = key_of("question");
    ck_assert(finds(&key, "second"));
}
END_TEST

START_TEST(the_least_recently_used_answers_make_room)
{
    static char large[8192];
    memset(large, 'x', sizeof large - 1);
    const struct lq_cache_key used = key_of("used");
    put("used", "often");
    int found = 0;
    for (int i = 0; i < 1000; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        put(body, large);
        ck_assert(finds(&used, "often"));
    }
    for (int i = 0; i < 1000; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        const struct lq_cache_key key = key_of(body);
        found += finds(&key, large) ? 1 : 0;
    }
    ck_assert_int_gt(found, 40); /* 1 MiB holds about 125 of them */
    ck_assert_int_lt(found, 130);
}
END_TEST

START_TEST(an_answer_in_use_outlives_the_cache)
{
    put("question", "answer");
    const struct lq_cache_key key = key_of("question");
    struct lq_reply reply = {.status = 0};
    ck_assert(lq_cache_get(cache, &key, &reply));
    lq_cache_free(cache);
    cache = NULL;
    ck_assert_int_eq(memcmp(reply.body, "answer", 6), 0);
    union {
        const char *text;
        void *memory;
    } body = {.text = reply.body};
    reply.free_body(body.memory);
}
END_TEST

START_TEST(an_answer_of_a_tenth_of_the_cache_is_not_kept)
{
    static char large[100 * 1024];
    memset(large, 'x', sizeof large - 1);
    put("question", large);
    const struct lq_cache_key key = key_of("question");
    ck_assert(!finds(&key, large));
}
END_TEST

START_TEST(no_cache_finds_nothing)
{
    struct lq_cache *none = lq_cache_new(0);
    const struct lq_cache_key key = key_of("question");
    const struct lq_reply answer = {.body = "answer", .body_size = 6};
    struct lq_reply reply = {.status = 0};
    ck_assert_ptr_null(none);
    lq_cache_put(none, &key, &answer);
    ck_assert(!lq_cache_get(none, &key, &reply));
}
END_TEST

static void *hammer(void *seed)
{
    unsigned state = *(unsigned *)seed;
    for (int i = 0; i < 5000; i++) {
        char body[16];
        state = state * 1664525U + 1013904223U;
        snprintf(body, sizeof body, "%u", (state >> 16) % 50U);
        const struct lq_cache_key key = key_of(body);
        if (!finds(&key, body)) {
            put(body, body);
        }
    }
    return NULL;
}

START_TEST(threads_find_what_others_put)
{
    pthread_t threads[4];
    unsigned seeds[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    const struct lq_cache_key key = key_of("7");
    ck_assert(finds(&key, "7"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tests = tcase_create("cache");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_answer_is_found_by_its_route_body_and_data);
    tcase_add_test(tests, the_same_question_is_kept_once);
    tcase_add_test(tests, the_least_recently_used_answers_make_room);
    tcase_add_test(tests, an_answer_in_use_outlives_the_cache);
    tcase_add_test(tests, an_answer_of_a_tenth_of_the_cache_is_not_kept);
    tcase_add_test(tests, no_cache_finds_nothing);
    tcase_add_test(tests, threads_find_what_others_put);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
