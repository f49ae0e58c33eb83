/* Pages, query parameters and entity tags of calls that read. */
#include "server/api/page.h"
#include "tests/unit/check_main.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static struct lq_request request;
static struct lq_faults faults;

static struct lq_call call_with(const char *name, const char *value)
{
    request = (struct lq_request){0};
    faults = (struct lq_faults){0};
    if (name != NULL) {
        request.query[0] = (struct lq_query){name, value};
        request.query_count = 1;
    }
    return (struct lq_call){.request = &request, .faults = &faults};
}

static const char *const ITEMS[] = {"a", "B", "c", "D", "e", "F", "g"};

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const char *const *items = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", items[i]);
}

static json_t *encode(const void *context, size_t i)
{
    const char *const *items = context;
    return json_string(items[i]);
}

static bool is_even(const void *context, size_t i)
{
    (void)context;
    return i % 2 == 0;
}

static const struct lq_list LIST = {
    .name = "items", .context = ITEMS, .count = 7, .sorted = true, .key = key, .encode = encode};

/* Reads one page; the answer is new. */
static json_t *page_of(const struct lq_list *list, const char *limit, const char *cursor)
{
    struct lq_call call = call_with("limit", limit);
    if (cursor != NULL) {
        request.query[request.query_count++] = (struct lq_query){"cursor", cursor};
    }
    struct lq_reply reply = {0};
    ck_assert_int_eq(lq_list_reply(&call, list, &reply), LQ_OK);
    ck_assert_int_eq(reply.status, 200);
    json_t *answer = json_loadb(reply.body, reply.body_size, 0, NULL);
    ck_assert_ptr_nonnull(answer);
    reply.free_body((void *)(uintptr_t)reply.body);
    return answer;
}

/* Reads all pages of `list`, joined. */
static void read_all(const struct lq_list *list, const char *limit, char out[64], int *pages)
{
    char cursor[512] = "";
    out[0] = '\0';
    for (*pages = 0; *pages < 20;) {
        json_t *answer = page_of(list, limit, cursor[0] != '\0' ? cursor : NULL);
        (*pages)++;
        const json_t *items = json_object_get(answer, "items");
        for (size_t i = 0; i < json_array_size(items); i++) {
            strcat(out, json_string_value(json_array_get(items, i)));
        }
        const json_t *next = json_object_get(answer, "next_cursor");
        bool more = json_is_string(next);
        snprintf(cursor, sizeof cursor, "%s", more ? json_string_value(next) : "");
        json_decref(answer);
        if (!more) {
            return;
        }
    }
    ck_abort_msg("the pages do not end");
}

START_TEST(pages_hold_every_item_once)
{
    static const struct {
        const char *limit;
        int pages;
    } CASES[] = {{"1", 7}, {"3", 3}, {"6", 2}, {"7", 1}, {"1000", 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char seen[64];
        int pages;
        read_all(&LIST, CASES[i].limit, seen, &pages);
        ck_assert_str_eq(seen, "aBcDeFg");
        ck_assert_int_eq(pages, CASES[i].pages);
    }
}
END_TEST

START_TEST(filtered_pages_are_full_and_end_without_an_empty_one)
{
    struct lq_list list = LIST;
    list.match = is_even;
    char seen[64];
    int pages;
    read_all(&list, "2", seen, &pages);
    ck_assert_str_eq(seen, "aceg");
    ck_assert_int_eq(pages, 2);
}
END_TEST

START_TEST(a_sorted_list_goes_on_behind_an_item_that_is_gone)
{
    static const char *const WITHOUT_C[] = {"a", "B", "D", "e"};
    json_t *answer = page_of(&LIST, "3", NULL);
    struct lq_list list = LIST;
    list.context = WITHOUT_C;
    list.count = 4;
    const char *cursor = json_string_value(json_object_get(answer, "next_cursor"));
    json_t *rest = page_of(&list, "10", cursor);
    ck_assert_uint_eq(json_array_size(json_object_get(rest, "items")), 2);
    json_decref(rest);
    json_decref(answer);
}
END_TEST

static void expect_fault(const struct lq_list *list, const char *name, const char *value)
{
    struct lq_call call = call_with(name, value);
    struct lq_reply reply = {0};
    char pointer[32];
    snprintf(pointer, sizeof pointer, "/%s", name);
    ck_assert_int_eq(lq_list_reply(&call, list, &reply), LQ_EFIELD);
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_str_eq(faults.items[0].pointer, pointer);
}

START_TEST(bad_limits_and_cursors_are_faults)
{
    static const char *const LIMITS[] = {"0", "1001", "-1", "", "ten", "1e2", "99999999999999999"};
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        expect_fault(&LIST, "limit", LIMITS[i]);
    }
    static const char *const CURSORS[] = {"", "6", "zz", "6X", "00"};
    for (size_t i = 0; i < sizeof CURSORS / sizeof *CURSORS; i++) {
        expect_fault(&LIST, "cursor", CURSORS[i]);
    }
    struct lq_list unsorted = LIST;
    unsorted.sorted = false;
    expect_fault(&unsorted, "cursor", "7a"); /* "z": no such item, and nothing to go on behind */
    static char long_cursor[2 * LQ_PAGE_KEY_MAX + 1];
    memset(long_cursor, '6', sizeof long_cursor - 1);
    expect_fault(&LIST, "cursor", long_cursor);
}
END_TEST

START_TEST(unknown_and_repeated_query_parameters_are_faults)
{
    static const char *const NAMES[] = {"limit", "gpu", NULL};
    struct lq_call call = call_with("limit", "1");
    ck_assert_int_eq(lq_query_check(&call, NAMES), LQ_OK);
    call = call_with("colour", "red");
    ck_assert_int_eq(lq_query_check(&call, NAMES), LQ_EFIELD);
    ck_assert_str_eq(faults.items[0].pointer, "/colour");
    call = call_with("gpu", "A40");
    request.query[1] = (struct lq_query){"gpu", "T4"};
    request.query_count = 2;
    ck_assert_int_eq(lq_query_check(&call, NAMES), LQ_EFIELD);
    ck_assert_str_eq(faults.items[0].pointer, "/gpu");
}
END_TEST

START_TEST(entity_tags_match_lists_weak_ones_and_the_star)
{
    const char *tag = "\"abc-0.1.0\"";
    ck_assert(lq_etag_matches("\"abc-0.1.0\"", tag));
    ck_assert(lq_etag_matches("W/\"abc-0.1.0\"", tag));
    ck_assert(lq_etag_matches("\"x,y\", W/\"z\" ,\"abc-0.1.0\"", tag));
    ck_assert(lq_etag_matches("*", tag));
    ck_assert(!lq_etag_matches(NULL, tag));
    ck_assert(!lq_etag_matches("", tag));
    ck_assert(!lq_etag_matches("\"abc\"", tag));
    ck_assert(!lq_etag_matches("abc-0.1.0", tag));
    ck_assert(!lq_etag_matches("\"*\", \"abc", tag));
}
END_TEST

START_TEST(a_tag_the_caller_has_is_answered_with_304)
{
    struct lq_call call = call_with(NULL, NULL);
    struct lq_reply reply = {0};
    ck_assert(!lq_reply_unchanged(&call, "0123456789abcdef", &reply));
    ck_assert_int_eq(reply.status, 0);
    char tag[sizeof reply.etag];
    memcpy(tag, reply.etag, sizeof tag);
    request.if_none_match = tag;
    ck_assert(lq_reply_unchanged(&call, "0123456789abcdef", &reply));
    ck_assert_int_eq(reply.status, 304);
    ck_assert_ptr_null(reply.body);
    struct lq_reply other = {0};
    ck_assert(!lq_reply_unchanged(&call, "0123456789abcdee", &other));
}
END_TEST

START_TEST(ids_in_paths_are_short_and_plain)
{
    char id[LQ_ID_MAX];
    struct lq_call call = call_with(NULL, NULL);
    request.param = "my-model.v1_2";
    ck_assert_int_eq(lq_path_id(&call, id), LQ_OK);
    ck_assert_str_eq(id, "my-model.v1_2");
    static const char *const BAD[] = {"", "a b", "a/b", "..", "-a", "\xc3\xa9", "a%", "a\n", NULL};
    for (size_t i = 0; BAD[i] != NULL; i++) {
        request.param = BAD[i];
        ck_assert_int_eq(lq_path_id(&call, id), LQ_EREQUEST);
    }
    char long_id[LQ_ID_MAX + 1];
    memset(long_id, 'a', LQ_ID_MAX);
    long_id[LQ_ID_MAX] = '\0';
    request.param = long_id;
    ck_assert_int_eq(lq_path_id(&call, id), LQ_EREQUEST);
    long_id[LQ_ID_MAX - 1] = '\0';
    ck_assert_int_eq(lq_path_id(&call, id), LQ_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page");
    TCase *tests = tcase_create("page");
    tcase_add_test(tests, pages_hold_every_item_once);
    tcase_add_test(tests, filtered_pages_are_full_and_end_without_an_empty_one);
    tcase_add_test(tests, a_sorted_list_goes_on_behind_an_item_that_is_gone);
    tcase_add_test(tests, bad_limits_and_cursors_are_faults);
    tcase_add_test(tests, unknown_and_repeated_query_parameters_are_faults);
    tcase_add_test(tests, entity_tags_match_lists_weak_ones_and_the_star);
    tcase_add_test(tests, a_tag_the_caller_has_is_answered_with_304);
    tcase_add_test(tests, ids_in_paths_are_short_and_plain);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
