/* The kinds of parallelism: which a layout uses, which a stack offers, and that a search keeps to
 * them. */
#include "core/arch/parallelism.h"
#include "core/finetune/estimate.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <stdio.h>
#include <string.h>

#define KIND(name) LQ_PARALLELISM_BIT(LQ_PARALLELISM_##name)

/* data, tensor, pipeline, expert, context, zero_stage, zero_group, nodes */
static const struct {
    struct lq_layout layout;
    uint32_t kinds;
} USES[] = {
    {{1, 1, 1, 1, 1, 0, 0, 1}, 0},
    {{1, 1, 1, 1, 1, 3, 0, 1}, 0}, /* nobody to share with */
    {{4, 1, 1, 1, 1, 0, 0, 1}, KIND(DATA)},
    {{4, 1, 1, 4, 1, 0, 0, 1}, KIND(DATA) | KIND(EXPERT)},
    {{4, 1, 1, 1, 1, 1, 0, 1}, KIND(ZERO_1)},
    {{4, 1, 1, 1, 1, 2, 4, 1}, KIND(ZERO_2)}, /* a group of all ranks */
    {{4, 1, 1, 1, 1, 3, 0, 1}, KIND(ZERO_3)},
    {{4, 1, 1, 1, 1, 3, 1, 1}, KIND(DATA)}, /* groups of one rank shard nothing */
    {{16, 1, 1, 1, 1, 1, 8, 2}, KIND(HYBRID_1)},
    {{16, 1, 1, 1, 1, 2, 8, 2}, KIND(HYBRID_2)},
    {{16, 1, 1, 1, 1, 3, 8, 2}, KIND(HYBRID_3)},
    {{1, 8, 1, 1, 1, 0, 0, 1}, KIND(TENSOR)},
    {{2, 4, 1, 1, 1, 0, 0, 1}, KIND(DATA_COMBINED) | KIND(TENSOR)},
    {{1, 1, 1, 1, 2, 0, 0, 1}, KIND(DATA_COMBINED) | KIND(CONTEXT)},
    {{1, 1, 1, 1, 2, 3, 0, 1}, KIND(ZERO_3) | KIND(CONTEXT)},
    {{2, 2, 2, 1, 1, 1, 0, 1}, KIND(ZERO_1) | KIND(TENSOR) | KIND(PIPELINE)},
};

START_TEST(a_layout_uses_the_kinds_of_its_groups)
{
    ck_assert_uint_eq(lq_layout_parallelism(&USES[_i].layout), USES[_i].kinds);
}
END_TEST

START_TEST(all_names_fit_and_differ)
{
    char text[LQ_PARALLELISM_TEXT_MAX];
    lq_parallelism_text(LQ_PARALLELISM_ALL, text);
    for (int i = 0; i < LQ_PARALLELISM_COUNT; i++) {
        ck_assert_ptr_nonnull(strstr(text, LQ_PARALLELISM_NAMES[i]));
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(LQ_PARALLELISM_NAMES[i], LQ_PARALLELISM_NAMES[j]);
        }
    }
    ck_assert_uint_lt(strlen(text) + 1, sizeof text);
    ck_assert_ptr_null(LQ_PARALLELISM_NAMES[LQ_PARALLELISM_COUNT]);
    lq_parallelism_text(KIND(ZERO_3) | KIND(CONTEXT), text);
    ck_assert_str_eq(text, "zero-3, context");
    lq_parallelism_text(0, text);
    ck_assert_str_eq(text, "");
}
END_TEST

static const struct lq_method METHODS[] = {
    {.kind = LQ_METHOD_FULL},
    {.kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR},
    {.kind = LQ_METHOD_QLORA,
     .rank = 16,
     .targets = LQ_TARGETS_ALL_LINEAR,
     .quantization = LQ_QUANTIZATION_NF4_DQ},
};
enum { METHOD_COUNT = sizeof METHODS / sizeof METHODS[0] };

START_TEST(stacks_offer_no_more_over_quantised_weights)
{
    for (size_t i = 0; i < LQ_STACK_COUNT; i++) {
        const struct lq_stack *stack = &LQ_STACKS[i];
        const uint32_t full = lq_stack_parallelism(stack, &METHODS[0]);
        const uint32_t quantized = lq_stack_parallelism(stack, &METHODS[2]);
        ck_assert_msg((quantized & ~full) == 0 && (full & ~LQ_PARALLELISM_ALL) == 0, "%s",
                      stack->id);
        ck_assert_msg(!stack->serves_only || full == 0, "%s", stack->id);
        ck_assert_uint_eq(lq_stack_parallelism(stack, &METHODS[1]), full);
    }
}
END_TEST

/* The answer keeps to what the stack offers; without any the job is refused. */
static void assert_within(const struct lq_job *job, const struct lq_stack *stack)
{
    struct lq_estimate e;
    struct lq_error err = {0};
    const uint32_t offered = lq_stack_parallelism(stack, &job->method);
    const enum lq_code code = lq_estimate(job, &NOTHING, &e, &err);
    if (offered == 0) {
        ck_assert_int_eq(code, LQ_EIMPOSSIBLE);
        ck_assert_str_eq(err.pointer, "/gpu_count");
        ck_assert_ptr_nonnull(strstr(err.detail, stack->id));
        return;
    }
    ck_assert_msg(code == LQ_OK, "%s on %d: %s", stack->id, (int)job->gpu_count, err.detail);
    const uint32_t used = lq_layout_parallelism(&e.layout);
    char text[LQ_PARALLELISM_TEXT_MAX];
    lq_parallelism_text(used, text);
    ck_assert_msg(used != 0 && (used & ~offered) == 0, "%s with %s on %d: %s", stack->id,
                  LQ_METHOD_NAMES[job->method.kind], (int)job->gpu_count, text);
    ck_assert(!warns(&e, LQ_WARN_LAYOUT));
}

START_TEST(a_search_keeps_to_what_the_stack_offers)
{
    static const int64_t COUNTS[] = {2, 3, 4, 8, 16, 64};
    struct lq_model dense;
    for (int model = 0; model < 2; model++) {
        struct lq_job job = small_job();
        if (model == 1) {
            dense = *job.model;
            dense.layers[0].ffn =
                (struct lq_ffn){.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 4096};
            job.model = &dense;
            job.active_experts = 0;
        }
        job.stack = LQ_STACKS[_i].id;
        job.batch_size = 1;
        for (size_t m = 0; m < METHOD_COUNT; m++) {
            job.method = METHODS[m];
            for (size_t n = 0; n < sizeof COUNTS / sizeof COUNTS[0]; n++) {
                job.gpu_count = COUNTS[n];
                assert_within(&job, &LQ_STACKS[_i]);
            }
        }
    }
}
END_TEST

/* What pays without a restriction: experts spread, where the stack has that. */
START_TEST(experts_are_spread_by_stacks_that_can)
{
    struct lq_job job = small_job();
    job.gpu_count = 2;
    job.batch_size = 1;
    job.stack = "internevo";
    ck_assert_int_eq(quote(&job, &NOTHING).layout.expert, 2);
    job.stack = "hf-2024";
    ck_assert_int_eq(quote(&job, &NOTHING).layout.expert, 1);
}
END_TEST

START_TEST(a_named_layout_beyond_the_stack_is_estimated_with_a_warning)
{
    struct lq_job job = small_job();
    job.gpu_count = 2;
    job.batch_size = 1;
    job.layout = (struct lq_layout){2, 1, 1, 2, 1, 0, 0, 1};
    struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert(warns(&e, LQ_WARN_LAYOUT));
    ck_assert_uint_eq(lq_job_missing_parallelism(&job), KIND(EXPERT));
    job.layout.expert = 1;
    e = quote(&job, &NOTHING);
    ck_assert(!warns(&e, LQ_WARN_LAYOUT));
    job.stack = "unsloth-2024";
    e = quote(&job, &NOTHING);
    ck_assert(warns(&e, LQ_WARN_LAYOUT));
    job.layout = LQ_LAYOUT_SINGLE;
    job.gpu_count = 1;
    e = quote(&job, &NOTHING);
    ck_assert(!warns(&e, LQ_WARN_LAYOUT));
}
END_TEST

START_TEST(quantised_weights_are_sharded_from_2024_on)
{
    struct lq_job job = small_job();
    job.method = METHODS[2];
    job.layout = (struct lq_layout){2, 1, 1, 1, 1, 3, 0, 1};
    ck_assert_uint_eq(lq_job_missing_parallelism(&job), 0);
    job.stack = "hf-2023";
    ck_assert_uint_eq(lq_job_missing_parallelism(&job), KIND(ZERO_3));
    job.method = METHODS[1];
    ck_assert_uint_eq(lq_job_missing_parallelism(&job), 0);
}
END_TEST

/* A label that only points know: what hf-2024 offers, and what the points ran with. */
START_TEST(points_show_what_an_unknown_label_offers)
{
    struct lq_job job = small_job();
    job.stack = "my-own-trainer";
    job.gpu_count = 2;
    struct lq_point points[] = {{.identity = lq_job_identity(&job)},
                                {.identity = lq_job_identity(&job)}};
    points[0].identity.layout = (struct lq_layout){1, 2, 1, 1, 1, 0, 0, 1};
    points[1].identity.layout = (struct lq_layout){1, 1, 2, 1, 1, 0, 0, 1};
    snprintf(points[1].identity.stack, sizeof points[1].identity.stack, "another");
    const struct lq_evidence evidence = {.points = points, .point_count = 2};
    const uint32_t hf = lq_stack_parallelism(lq_stack_find("hf-2024"), &job.method);
    ck_assert_uint_eq(lq_job_parallelism(&job, &NOTHING), hf);
    ck_assert_uint_eq(lq_job_parallelism(&job, &evidence), hf | KIND(TENSOR));
    points[0].out_of_memory = true; /* it did not run */
    ck_assert_uint_eq(lq_job_parallelism(&job, &evidence), hf);
    points[0].out_of_memory = false;
    job.method = METHODS[2]; /* over other weights it was not shown */
    ck_assert_uint_eq(lq_job_parallelism(&job, &evidence) & KIND(TENSOR), 0);
    job.method = METHODS[1];
    job.layout = points[1].identity.layout;
    ck_assert_uint_eq(lq_job_missing_parallelism(&job), 0); /* nobody told what it cannot */
    job.stack = "hf-2024";
    snprintf(points[0].identity.stack, sizeof points[0].identity.stack, "hf-2024");
    ck_assert_uint_eq(lq_job_parallelism(&job, &evidence), hf); /* known by its own table */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parallelism");
    TCase *tests = tcase_create("parallelism");
    tcase_add_loop_test(tests, a_layout_uses_the_kinds_of_its_groups, 0,
                        (int)(sizeof USES / sizeof USES[0]));
    tcase_add_test(tests, all_names_fit_and_differ);
    tcase_add_test(tests, stacks_offer_no_more_over_quantised_weights);
    tcase_add_loop_test(tests, a_search_keeps_to_what_the_stack_offers, 0, (int)LQ_STACK_COUNT);
    tcase_add_test(tests, experts_are_spread_by_stacks_that_can);
    tcase_add_test(tests, a_named_layout_beyond_the_stack_is_estimated_with_a_warning);
    tcase_add_test(tests, quantised_weights_are_sharded_from_2024_on);
    tcase_add_test(tests, points_show_what_an_unknown_label_offers);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
