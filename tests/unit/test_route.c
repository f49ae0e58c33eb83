/* The route table: every row is found, parameters are cut out, other methods are told apart. */
#include "server/http/route.h"
#include "tests/unit/check_main.h"

#include <stdbool.h>
#include <string.h>

START_TEST(every_row_is_found_by_its_own_method_and_path)
{
    for (size_t i = 0; i < LQ_ROUTE_COUNT; i++) {
        char path[64];
        const char *param = strstr(LQ_ROUTES[i].path, "{id}");
        int before = param != NULL ? (int)(param - LQ_ROUTES[i].path) : 64;
        snprintf(path, sizeof path, "%.*s%s%s", before, LQ_ROUTES[i].path,
                 param != NULL ? "some%2Fid" : "", param != NULL ? param + strlen("{id}") : "");
        struct lq_match match;
        ck_assert_int_eq(lq_route_find(LQ_ROUTES[i].method, path, &match, NULL), LQ_OK);
        ck_assert_ptr_eq(match.route, &LQ_ROUTES[i]);
        ck_assert(match.route->handler != NULL);
        if (param != NULL) {
            ck_assert_uint_eq(match.param_size, strlen("some%2Fid"));
            ck_assert_int_eq(strncmp(match.param, "some%2Fid", match.param_size), 0);
        } else {
            ck_assert_ptr_null(match.param);
        }
    }
}
END_TEST

START_TEST(whatever_stores_needs_a_scope_and_whatever_reads_does_not)
{
    for (size_t i = 0; i < LQ_ROUTE_COUNT; i++) {
        const struct lq_route *route = &LQ_ROUTES[i];
        bool stores = strcmp(route->method, "PUT") == 0 || strcmp(route->method, "DELETE") == 0 ||
                      strcmp(route->path, "/v1/calibrations") == 0 ||
                      strcmp(route->path, "/v1/scaling-laws") == 0;
        stores = stores && strcmp(route->method, "GET") != 0;
        /* whose estimates they are: only a token can tell */
        const bool own =
            strcmp(route->method, "GET") == 0 && strcmp(route->path, "/v1/estimates") == 0;
        const bool admin = route->scope != NULL && strcmp(route->scope, "admin") == 0;
        ck_assert_msg((route->scope != NULL) == (stores || own || admin), "%s %s", route->method,
                      route->path);
        /* an exclusion and a confirmation say all they say by being there */
        const bool is_word = route->scope != NULL && strcmp(route->scope, "admin") == 0;
        bool has_body =
            strcmp(route->method, "POST") == 0 || (strcmp(route->method, "PUT") == 0 && !is_word);
        ck_assert_msg((route->body_cap > 0) == has_body, "%s %s", route->method, route->path);
    }
}
END_TEST

START_TEST(price_lists_alone_come_as_csv_too)
{
    size_t takers = 0;
    for (size_t i = 0; i < LQ_ROUTE_COUNT; i++) {
        takers += lq_route_takes_csv(&LQ_ROUTES[i]);
        ck_assert(!lq_route_takes_csv(&LQ_ROUTES[i]) ||
                  (strcmp(LQ_ROUTES[i].method, "PUT") == 0 &&
                   strcmp(LQ_ROUTES[i].path, "/v1/prices/{id}") == 0));
    }
    ck_assert_uint_eq(takers, 1);
}
END_TEST

START_TEST(unknown_paths_and_methods_are_told_apart)
{
    struct lq_match match;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_route_find("GET", "/v1/model", &match, &err), LQ_ENOTFOUND);
    ck_assert_int_eq(lq_route_find("GET", "/v1/models/", &match, NULL), LQ_ENOTFOUND);
    ck_assert_int_eq(lq_route_find("GET", "/v1/models/a/b", &match, NULL), LQ_ENOTFOUND);
    ck_assert_int_eq(lq_route_find("GET", "", &match, NULL), LQ_ENOTFOUND);
    ck_assert_int_eq(lq_route_find("PUT", "/v1/estimates//outcome", &match, NULL), LQ_ENOTFOUND);
    ck_assert_int_eq(lq_route_find("PUT", "/v1/estimates/a/outcomes", &match, NULL), LQ_ENOTFOUND);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_route_find("POST", "/v1/models/a", &match, &err), LQ_EMETHOD);
    ck_assert_ptr_null(match.route);
    ck_assert_str_eq(match.allow, "GET, HEAD, PUT, DELETE, OPTIONS");
    ck_assert(strstr(err.detail, "POST is not one of GET") != NULL);
    ck_assert_int_eq(lq_route_find("HEAD", "/healthz", &match, NULL), LQ_OK);
    ck_assert_str_eq(match.route->method, "GET");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("route");
    TCase *tests = tcase_create("route");
    tcase_add_test(tests, every_row_is_found_by_its_own_method_and_path);
    tcase_add_test(tests, whatever_stores_needs_a_scope_and_whatever_reads_does_not);
    tcase_add_test(tests, price_lists_alone_come_as_csv_too);
    tcase_add_test(tests, unknown_paths_and_methods_are_told_apart);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
