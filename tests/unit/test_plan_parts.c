/* What is made of plans: the choice at a required loss, the laws' consensus, claims, shapes. */
#include "core/planning/plan_claims.h"
#include "core/planning/plan_consensus.h"
#include "core/planning/plan_shape.h"
#include "tests/unit/check_main.h"
#include "tests/unit/plan_fixture.h"

#include <math.h>
#include <string.h>

static struct lq_plan plan;

static void make_plan(const struct lq_plan_question *question)
{
    struct lq_error err = {0};
    ck_assert_msg(lq_plan(question, &plan, &err) == LQ_OK, "%s: %s", err.pointer, err.detail);
}

START_TEST(a_required_loss_is_recommended_only_where_the_total_budget_pays_for_it)
{
    struct lq_plan_question question = plan_question("yun2024-reconstructed");
    question.served_tokens = 1e12;
    question.required_loss = 2.3;
    question.total_gpu_s = 3e8;
    question.budget_flop = question.total_gpu_s * question.train_flop_per_s;
    make_plan(&question);
    const struct lq_allocation *at = &plan.recommendation.at;
    const double total_gpu_s = at->training_gpu_s + at->served_gpu_s;
    ck_assert(plan.recommendation.found);
    ck_assert_double_eq_tol(at->loss, 2.3, 1e-9);
    ck_assert_double_le(total_gpu_s, question.total_gpu_s);
    question.total_gpu_s = 0.9 * total_gpu_s; /* the training budget stays */
    make_plan(&question);
    ck_assert(!plan.recommendation.found);
    ck_assert_ptr_nonnull(strstr(plan.recommendation.why, "1.11 times the total budget"));
}
END_TEST

START_TEST(an_easy_required_loss_is_met_by_the_smallest_model)
{
    struct lq_plan_question question = plan_question("yun2024-reconstructed");
    question.required_loss = 50.0;
    make_plan(&question);
    ck_assert(plan.recommendation.found);
    ck_assert_double_eq(plan.recommendation.at.parameters, 1e4);
    ck_assert_double_le(plan.recommendation.at.loss, 50.0);
}
END_TEST

static struct lq_plan_verdict verdict(double experts, double parameters, double tokens)
{
    return (struct lq_plan_verdict){
        .law = lq_law_find("yun2024-s3"),
        .choice = {.found = true,
                   .at = {.experts = experts, .parameters = parameters, .tokens = tokens}},
        .optimal_parameters = 5e9};
}

START_TEST(the_consensus_is_what_most_laws_say_and_the_spread_what_all_say)
{
    const struct lq_plan_verdict verdicts[] = {verdict(16, 1e9, 1e12),
                                               verdict(32, 2e9, 1.2e12),
                                               {.choice = {.found = false}},
                                               verdict(16, 4e9, 1.1e12)};
    struct lq_plan_consensus c;
    lq_plan_agree(verdicts, 4, &c);
    ck_assert_uint_eq(c.laws, 3);
    ck_assert_uint_eq(c.agreeing, 2);
    ck_assert_double_eq(c.experts, 16.0);
    ck_assert_double_eq(c.experts_range[1], 32.0);
    ck_assert_double_eq(c.parameters_range[0], 1e9);
    ck_assert_double_eq(c.parameters_range[1], 4e9);
    ck_assert_ptr_nonnull(strstr(c.robust, "2 of 3 laws say 16"));
    ck_assert_ptr_nonnull(strstr(c.robust, "size is not"));
    ck_assert_ptr_nonnull(strstr(c.robust, "tokens are robust"));
}
END_TEST

START_TEST(a_tie_is_no_consensus_and_no_answer_is_said)
{
    const struct lq_plan_verdict verdicts[] = {verdict(32, 1e9, 1e12), verdict(8, 1e9, 1e12),
                                               verdict(16, 1e9, 1e12), verdict(8, 1e9, 1e12)};
    struct lq_plan_consensus c;
    lq_plan_agree(verdicts, 2, &c);
    ck_assert_double_eq(c.experts, 0.0);
    ck_assert_uint_eq(c.agreeing, 1);
    ck_assert_double_eq(c.experts_range[0], 8.0);
    ck_assert_ptr_nonnull(strstr(c.robust, "tied"));
    lq_plan_agree(verdicts, 4, &c);
    ck_assert_double_eq(c.experts, 8.0);
    ck_assert_uint_eq(c.agreeing, 2);
    const struct lq_plan_verdict none = {.choice = {.found = false}};
    lq_plan_agree(&none, 1, &c);
    ck_assert_uint_eq(c.laws, 0);
    ck_assert_ptr_nonnull(strstr(c.robust, "No law"));
}
END_TEST

START_TEST(laws_that_do_not_know_experts_have_no_say_on_their_number)
{
    struct lq_plan_verdict verdicts[] = {verdict(1, 1e9, 1e12), verdict(1, 2e9, 1e12),
                                         verdict(16, 1e9, 1e12)};
    verdicts[0].law = lq_law_find("besiroglu2024");
    verdicts[1].law = lq_law_find("hoffmann2022");
    struct lq_plan_consensus c;
    lq_plan_agree(verdicts, 2, &c);
    ck_assert_uint_eq(c.laws, 2);
    ck_assert_uint_eq(c.voters, 0);
    ck_assert_double_eq(c.experts, 0.0);
    ck_assert_double_eq(c.parameters_range[1], 2e9);
    ck_assert_ptr_nonnull(strstr(c.robust, "None of the laws knows experts"));
    lq_plan_agree(verdicts, 3, &c);
    ck_assert_double_eq(c.experts, 16.0);
    ck_assert_double_eq(c.experts_range[0], 16.0);
    ck_assert_ptr_nonnull(strstr(c.robust, "Only one law"));
}
END_TEST

START_TEST(claims_need_a_law_that_knows_experts)
{
    struct lq_plan_claims claims;
    const struct lq_plan_question dense = plan_question("besiroglu2024");
    ck_assert(!lq_plan_claims(&dense, &claims));
    const struct lq_plan_question moe = plan_question("ludziejewski2025");
    ck_assert(lq_plan_claims(&moe, &claims));
    ck_assert_double_eq(claims.rows[4].budget_ratio, 1.0);
}
END_TEST

START_TEST(claims_name_the_cap_and_both_orders)
{
    struct lq_plan_claims claims;
    const struct lq_plan_question question = plan_question("yun2024-reconstructed");
    ck_assert(lq_plan_claims(&question, &claims));
    const char *detail = claims.claims[LQ_CLAIM_FEW_SERVE_CHEAPEST].detail;
    ck_assert_ptr_nonnull(strstr(detail, "at most 256 concurrent requests 4 serve cheapest"));
    ck_assert_ptr_nonnull(strstr(detail, "without that cap 32 serve cheapest"));
    ck_assert_ptr_nonnull(
        strstr(claims.claims[LQ_CLAIM_FEW_COST_TO_TRAIN].detail, "3.51 and 8 experts 1.94"));
}
END_TEST

START_TEST(llama_7b_s_layers_come_out_as_they_are)
{
    const struct lq_plan_proportions dense = {1.0, 2.0 / 3.0, 0.5};
    const struct lq_plan_shape shape = lq_plan_shape_of(12.0 * 32 * 4096 * 4096, &dense);
    ck_assert_int_eq(shape.layers, 32);
    ck_assert_int_eq(shape.hidden_size, 4096);
    ck_assert_int_eq(shape.heads, 32);
    ck_assert_int_eq(shape.moe_layers, 0);
    ck_assert_double_eq(shape.total_parameters, shape.parameters);
}
END_TEST

START_TEST(shapes_can_be_built_and_come_near_the_planned_size)
{
    for (double n = 5e7; n < 1e12; n *= 1.7) {
        const struct lq_plan_proportions moe = {8.0, 2.0 / 3.0, 0.5};
        const struct lq_plan_shape s = lq_plan_shape_of(n, &moe);
        ck_assert_int_eq(s.hidden_size, s.heads * s.head_size);
        ck_assert_int_eq(s.moe_layers * 2, s.layers);
        const double h = (double)s.hidden_size;
        const double mlp = 3.0 * h * (double)s.intermediate_size;
        ck_assert_double_eq(s.parameters, (double)s.layers * (4.0 * h * h + mlp));
        ck_assert_double_eq(s.total_parameters, s.parameters + (double)s.moe_layers * 7.0 * mlp);
        /* half a group of layers */
        ck_assert_double_le(fabs(s.parameters / n - 1.0), 1.1 / (double)s.layers);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan_parts");
    TCase *cases = tcase_create("parts");
    tcase_add_test(cases, a_required_loss_is_recommended_only_where_the_total_budget_pays_for_it);
    tcase_add_test(cases, an_easy_required_loss_is_met_by_the_smallest_model);
    tcase_add_test(cases, the_consensus_is_what_most_laws_say_and_the_spread_what_all_say);
    tcase_add_test(cases, a_tie_is_no_consensus_and_no_answer_is_said);
    tcase_add_test(cases, laws_that_do_not_know_experts_have_no_say_on_their_number);
    tcase_add_test(cases, claims_need_a_law_that_knows_experts);
    tcase_add_test(cases, claims_name_the_cap_and_both_orders);
    tcase_add_test(cases, llama_7b_s_layers_come_out_as_they_are);
    tcase_add_test(cases, shapes_can_be_built_and_come_near_the_planned_size);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
