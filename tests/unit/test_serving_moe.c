/* Means over traffic and the load of a planned mixture of experts, against counts by hand. */
#include "core/planning/serving_moe.h"
#include "core/planning/serving_traffic.h"
#include "tests/unit/check_main.h"

#include <math.h>

static const struct lq_request_kind CHAT = {161.0, 338.0, 1.0};
static const struct lq_traffic TRAFFIC = {.kinds = &CHAT, .count = 1};
static const struct lq_serving_format BF16 = {.precision = LQ_PRECISION_BF16};

/* Two kinds, half the requests each: a running one is met in proportion to its answer. */
START_TEST(running_requests_are_met_in_proportion_to_their_answers)
{
    const struct lq_request_kind kinds[] = {{100.0, 10.0, 2.0}, {1000.0, 90.0, 2.0}};
    const struct lq_traffic traffic = {.kinds = kinds, .count = 2};
    ck_assert_double_eq(lq_traffic_prompt_tokens(&traffic), 550.0);
    ck_assert_double_eq(lq_traffic_output_tokens(&traffic), 50.0);
    ck_assert_double_eq_tol(lq_traffic_held_tokens(&traffic, 0.0), 0.1 * 105 + 0.9 * 1045, 1e-9);
    ck_assert_double_eq_tol(lq_traffic_held_tokens(&traffic, 500.0), 0.1 * 105 + 0.9 * 500, 1e-9);
    /* grows to 105 at the middle of the first answer, then stays */
    ck_assert_double_eq_tol(lq_traffic_held_tokens(&traffic, 105.0),
                            0.1 * (0.5 * 102.5 + 0.5 * 105) + 0.9 * 105, 1e-9);
    ck_assert_double_eq(lq_traffic_longest_tokens(&traffic, 0.0), 1090.0);
}
END_TEST

START_TEST(prompts_attend_to_half_of_themselves)
{
    ck_assert_double_eq(lq_traffic_prompt_keys(&TRAFFIC, 0.0), 80.5);
}
END_TEST

static enum lq_code count_moe(struct lq_moe_shape shape, struct lq_serving_load *load,
                              struct lq_error *err)
{
    return lq_serving_count_moe(&shape, &BF16, lq_serving_stack_find("roofline"), &TRAFFIC, load,
                                err);
}

/* N_moe = (1 + (E - 1) / 3) N, 4/3 N active; LLaMA-7B's own width at its own size. */
START_TEST(the_paper_s_architecture_has_its_parameters)
{
    const struct lq_moe_shape shape = {6.738e9, 16.0, 2.0, 2.0 / 3.0, 0.5};
    struct lq_serving_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(count_moe(shape, &load, &err), LQ_OK);
    ck_assert_double_eq_tol(lq_moe_total_parameters(&shape), 6.0 * 6.738e9, 1.0);
    ck_assert_double_eq_tol(lq_moe_active_parameters(&shape), 4.0 / 3.0 * 6.738e9, 1.0);
    ck_assert_double_eq_tol(load.cache[0].token_bytes, 524288.0, 1e-6);
    ck_assert_double_eq_tol(load.stored_bytes, 12.0 * 6.738e9, 1.0);
    ck_assert_double_eq_tol(load.experts[0].bytes, 2.0 / 3.0 * 6.738e9, 1.0);
}
END_TEST

START_TEST(one_expert_is_the_dense_model)
{
    struct lq_serving_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(count_moe((struct lq_moe_shape){1e9, 1.0, 2.0, 2.0 / 3.0, 0.5}, &load, &err),
                     LQ_OK);
    ck_assert_uint_eq(load.expert_kinds, 0);
    ck_assert_double_eq(load.matrix_bytes, 2e9);
}
END_TEST

static const struct {
    struct lq_moe_shape shape;
    const char *pointer;
} BAD_SHAPES[] = {
    {{0.0, 8.0, 2.0, 0.5, 0.5}, "/parameters"},
    {{(double)NAN, 8.0, 2.0, 0.5, 0.5}, "/parameters"},
    {{1e9, 0.0, 2.0, 0.5, 0.5}, "/experts"},
    {{1e9, 1e6, 2.0, 0.5, 0.5}, "/experts"},
    {{1e9, 4.0, 5.0, 0.5, 0.5}, "/active_experts"},
    {{1e9, 4.0, 2.0, 1.5, 0.5}, "/mlp_share"},
    {{1e9, 4.0, 2.0, 0.5, -1.0}, "/moe_layer_share"},
};

START_TEST(shapes_out_of_range_are_refused)
{
    struct lq_serving_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(count_moe(BAD_SHAPES[_i].shape, &load, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, BAD_SHAPES[_i].pointer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serving_moe");
    TCase *tests = tcase_create("serving_moe");
    tcase_add_test(tests, running_requests_are_met_in_proportion_to_their_answers);
    tcase_add_test(tests, prompts_attend_to_half_of_themselves);
    tcase_add_test(tests, the_paper_s_architecture_has_its_parameters);
    tcase_add_test(tests, one_expert_is_the_dense_model);
    tcase_add_loop_test(tests, shapes_out_of_range_are_refused, 0,
                        sizeof BAD_SHAPES / sizeof *BAD_SHAPES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
