/* Problems: every code's status, and how faults are told. */
#include "server/json/problem.h"
#include "tests/unit/check_main.h"

#include <string.h>

static const char *text_at(const json_t *problem, const char *name)
{
    return json_string_value(json_object_get(problem, name));
}

START_TEST(every_code_has_its_status)
{
    static const int STATUS[LQ_CODE_COUNT] = {
        [LQ_OK] = 200,
        [LQ_ESYNTAX] = 400,
        [LQ_EFIELD] = 400,
        [LQ_EREFERENCE] = 400,
        [LQ_EREQUEST] = 400,
        [LQ_ETOKEN] = 401,
        [LQ_ESCOPE] = 403,
        [LQ_ENOTFOUND] = 404,
        [LQ_EMETHOD] = 405,
        [LQ_ECONFLICT] = 409,
        [LQ_ETOOLARGE] = 413,
        [LQ_EURI] = 414,
        [LQ_EHEAD] = 431,
        [LQ_EMEDIA] = 415,
        [LQ_ENOFIT] = 422,
        [LQ_EUNPRICED] = 422,
        [LQ_ENOCOEFFICIENTS] = 422,
        [LQ_ENOMEASUREMENT] = 422,
        [LQ_EIMPOSSIBLE] = 422,
        [LQ_EFIT] = 422,
        [LQ_EBUSY] = 429,
        [LQ_EDEADLINE] = 408,
        [LQ_EOVERLOAD] = 503,
        [LQ_ESTORE] = 503,
        [LQ_ENUMBER] = 500,
        [LQ_EDEVICE] = 500,
        [LQ_EFILE] = 500,
        [LQ_EPEER] = 500,
        [LQ_EINTERNAL] = 500,
    };
    for (int code = 0; code < LQ_CODE_COUNT; code++) {
        ck_assert_int_eq(lq_problem_status((enum lq_code)code), STATUS[code]);
    }
}
END_TEST

START_TEST(one_fault_is_told_with_its_pointer)
{
    struct lq_faults faults = {0};
    lq_faults_add(&faults, LQ_EREFERENCE, "/gpu", "no GPU is called \"A41\"");
    json_t *problem = lq_problem_new(&faults, "id-1");
    ck_assert_str_eq(text_at(problem, "type"), "urn:llmquote:problem:unknown-reference");
    ck_assert_str_eq(text_at(problem, "title"), lq_code_title(LQ_EREFERENCE));
    ck_assert_str_eq(text_at(problem, "detail"), "/gpu: no GPU is called \"A41\"");
    ck_assert_str_eq(text_at(problem, "instance"), "id-1");
    ck_assert_int_eq(json_integer_value(json_object_get(problem, "status")), 400);
    const json_t *errors = json_object_get(problem, "errors");
    ck_assert_uint_eq(json_array_size(errors), 1);
    ck_assert_str_eq(text_at(json_array_get(errors, 0), "pointer"), "/gpu");
    ck_assert_str_eq(text_at(json_array_get(errors, 0), "detail"), "no GPU is called \"A41\"");
    ck_assert_ptr_null(json_object_get(problem, "error_count"));
    json_decref(problem);
}
END_TEST

START_TEST(faults_beyond_the_bound_are_counted)
{
    struct lq_faults faults = {0};
    for (int i = 0; i < 40; i++) {
        char pointer[16];
        snprintf(pointer, sizeof pointer, "/f%d", i);
        lq_faults_add(&faults, LQ_EFIELD, pointer, "bad");
    }
    json_t *problem = lq_problem_new(&faults, "x");
    ck_assert_uint_eq(json_array_size(json_object_get(problem, "errors")), LQ_FAULTS_MAX);
    ck_assert_int_eq(json_integer_value(json_object_get(problem, "error_count")), 40);
    ck_assert_str_eq(text_at(problem, "detail"), "40 faults, the first at \"/f0\": bad");
    json_decref(problem);
}
END_TEST

START_TEST(faults_without_a_place_in_a_document_have_no_errors)
{
    struct lq_faults faults = {0};
    lq_faults_add(&faults, LQ_ENOTFOUND, "", "there is no such model");
    json_t *problem = lq_problem_new(&faults, "x");
    ck_assert_ptr_null(json_object_get(problem, "errors"));
    json_decref(problem);
    faults = (struct lq_faults){0};
    lq_faults_add(&faults, LQ_EFIELD, "", "the body must be a JSON object");
    problem = lq_problem_new(&faults, "x");
    const json_t *error = json_array_get(json_object_get(problem, "errors"), 0);
    ck_assert_str_eq(text_at(error, "pointer"), "");
    json_decref(problem);
}
END_TEST

START_TEST(a_5xx_tells_nothing_of_the_inside)
{
    struct lq_faults faults = {0};
    lq_faults_add(&faults, LQ_ESTORE, "/secret", "disk I/O error in /var/lib/secret.db");
    size_t size = 0;
    char *text = lq_problem_encode(&faults, "id-1", &size);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_ptr_null(strstr(text, "secret"));
    ck_assert_ptr_nonnull(strstr(text, "\"status\":503"));
    free(text);
}
END_TEST

START_TEST(texts_that_are_not_utf8_are_made_readable)
{
    struct lq_faults faults = {0};
    lq_faults_add(&faults, LQ_EFIELD, "/\xc3", "got \"\xff\"");
    json_t *problem = lq_problem_new(&faults, "x");
    ck_assert_str_eq(text_at(problem, "detail"), "/?: got \"?\"");
    json_decref(problem);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("problem");
    TCase *tests = tcase_create("problem");
    tcase_add_test(tests, every_code_has_its_status);
    tcase_add_test(tests, one_fault_is_told_with_its_pointer);
    tcase_add_test(tests, faults_beyond_the_bound_are_counted);
    tcase_add_test(tests, faults_without_a_place_in_a_document_have_no_errors);
    tcase_add_test(tests, a_5xx_tells_nothing_of_the_inside);
    tcase_add_test(tests, texts_that_are_not_utf8_are_made_readable);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
