/* What follows from published profiles and curves, on ones that can be counted by hand; and how
 * they are written. */
#include "core/finetune/published.h"
#include "server/json/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <string.h>

static const struct lq_profile_item LAYERS_A[] = {{"attention", 1.0}, {"moe", 3.0}};
static const struct lq_profile_item LAYERS_B[] = {{"moe", 1.0}, {"norm", 1.0}};
static const struct lq_profile_item TIMES[] = {{"topk", 3.0}, {"matmul", 1.0}, {"alone", 4.0}};
static const struct lq_profile_item SM[] = {{"topk", 0.2}, {"matmul", 0.9}, {"time_weighted", 0.5}};
static const struct lq_profile_item DRAM[] = {{"topk", 0.5}, {"matmul", 0.7}};
static const struct lq_profile_item TOKENS[] = {{"0", 1.0}, {"1", 1.0}, {"2", 2.0}, {"3", 4.0}};

#define BAR(figure_, model_, metric_, items_)                                                      \
    {                                                                                              \
        .figure = (figure_), .model = (model_), .run = "sparse", .level = "level",                 \
        .metric = (metric_), .active_experts = 2, .batch_size = 4, .sequence_tokens = 128,         \
        .source = "file", .note = "", .items = (items_),                                           \
        .count = sizeof(items_) / sizeof *(items_)                                                 \
    }
enum { LAYER_A, LAYER_B, KERNELS, BUSY_SM, BUSY_DRAM, LOAD, PROFILES };
static const struct lq_profile PROFILE[PROFILES] = {
    [LAYER_A] = BAR("Fig.5", "small-moe", "time", LAYERS_A),
    [LAYER_B] = BAR("Fig.5", "other", "time", LAYERS_B),
    [KERNELS] = BAR("Fig.6", "small-moe", "time", TIMES),
    [BUSY_SM] = BAR("Fig.9", "small-moe", "sm_utilisation", SM),
    [BUSY_DRAM] = BAR("Fig.10", "small-moe", "dram_bw_utilisation", DRAM),
    [LOAD] = {.figure = "Fig.11",
              .model = "other",
              .run = "HE_tuned",
              .level = "expert",
              .metric = "tokens_per_expert",
              .source = "file",
              .note = "",
              .items = TOKENS,
              .count = 4},
};

static const double RISING[] = {0.1, 0.4, 0.6, 0.6, 0.5};
static const double FLAT[] = {0.3, 0.2};
static const struct lq_accuracy_curve CURVES[] = {
    {"small-moe", "sparse", "set", 2, "file", RISING, 5},
    {"other", "dense", "set", 0, "file", FLAT, 2},
};
static const struct lq_published ALL = {PROFILE, PROFILES, CURVES, 2};

START_TEST(totals_leave_the_printed_mean_out)
{
    assert_close("total", lq_profile_total(&PROFILE[KERNELS]), 8.0, 1e-12);
    assert_close("total", lq_profile_total(&PROFILE[BUSY_SM]), 1.1, 1e-12);
}
END_TEST

START_TEST(the_same_run_of_another_figure_is_found)
{
    ck_assert_ptr_eq(lq_published_beside(&ALL, &PROFILE[BUSY_SM], "Fig.6"), &PROFILE[KERNELS]);
    ck_assert_ptr_eq(lq_published_beside(&ALL, &PROFILE[LAYER_B], "Fig.5"), &PROFILE[LAYER_B]);
    ck_assert_ptr_null(lq_published_beside(&ALL, &PROFILE[LAYER_B], "Fig.6"));
    struct lq_profile like = PROFILE[BUSY_SM];
    like.batch_size = 5;
    ck_assert_ptr_null(lq_published_beside(&ALL, &like, "Fig.6"));
    like = PROFILE[BUSY_SM];
    like.active_experts = 8;
    ck_assert_ptr_null(lq_published_beside(&ALL, &like, "Fig.6"));
    like = PROFILE[BUSY_SM];
    like.run = "dense";
    ck_assert_ptr_null(lq_published_beside(&ALL, &like, "Fig.6"));
}
END_TEST

START_TEST(utilisations_are_weighted_by_the_time_of_what_both_have)
{
    const double sm = lq_profile_weighted(&PROFILE[BUSY_SM], &PROFILE[KERNELS]);
    assert_close("sm", sm, (3.0 * 0.2 + 1.0 * 0.9) / 4.0, 1e-12);
    ck_assert_double_eq(lq_profile_weighted(&PROFILE[LOAD], &PROFILE[KERNELS]), 0.0);
}
END_TEST

START_TEST(the_busier_side_binds_and_launches_where_neither_is_busy)
{
    ck_assert_int_eq(lq_utilisation_bound(0.9, 0.7), LQ_BOUND_COMPUTE);
    ck_assert_int_eq(lq_utilisation_bound(0.1, 0.6), LQ_BOUND_MEMORY);
    ck_assert_int_eq(lq_utilisation_bound(0.59, 0.1), LQ_BOUND_OVERHEAD);
}
END_TEST

START_TEST(the_moe_share_is_the_mean_of_the_bars)
{
    assert_close("all", lq_published_moe_share(&ALL, NULL), (0.75 + 0.5) / 2.0, 1e-12);
    assert_close("one", lq_published_moe_share(&ALL, "other"), 0.5, 1e-12);
    ck_assert_double_eq(lq_published_moe_share(&ALL, "none"), 0.0);
}
END_TEST

START_TEST(both_variances_of_a_load_are_by_their_definition)
{
    static struct lq_expert_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_profile_load(&PROFILE[LOAD], &load, &err), LQ_OK);
    assert_close("percent", load.variance, 1e4 * (1.0 + 1.0 + 0.0 + 4.0) / 64.0 / 4.0, 1e-12);
    assert_close("tokens", lq_profile_variance_tokens2(&PROFILE[LOAD], false), 6.0 / 4.0, 1e-12);
    assert_close("sample", lq_profile_variance_tokens2(&PROFILE[LOAD], true), 6.0 / 3.0, 1e-12);
    struct lq_profile one = PROFILE[LOAD];
    one.count = 1;
    ck_assert_double_eq(lq_profile_variance_tokens2(&one, true), 0.0);
    one.count = 0;
    ck_assert_int_eq(lq_profile_load(&one, &load, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/expert_load");
}
END_TEST

START_TEST(runs_of_a_load_have_their_long_names)
{
    const struct lq_load_run run = lq_profile_load_run(&PROFILE[LOAD]);
    ck_assert_str_eq(run.test_set, "HellaSwag");
    ck_assert(run.tuned);
    const struct lq_load_run own = lq_profile_load_run(&PROFILE[LAYER_A]);
    ck_assert_str_eq(own.test_set, "sparse");
    ck_assert(!own.tuned);
    ck_assert_ptr_null(lq_printed_variance(&PROFILE[LOAD])); /* of a model that was not printed */
}
END_TEST

START_TEST(the_first_best_epoch_counts_and_gains_end_with_the_curve)
{
    ck_assert_uint_eq(lq_accuracy_best_epoch(&CURVES[0]), 2);
    assert_close("1 epoch", lq_accuracy_gain(&CURVES[0], 1.9), 0.6, 1e-12);
    assert_close("2 epochs", lq_accuracy_gain(&CURVES[0], 2.0), 1.0, 1e-12);
    assert_close("many", lq_accuracy_gain(&CURVES[0], 1e6), 0.8, 1e-12);
    ck_assert_double_eq(lq_accuracy_gain(&CURVES[0], 0.5), 0.0);
    ck_assert_uint_eq(lq_accuracy_best_epoch(&CURVES[1]), 0);
    ck_assert_double_eq(lq_accuracy_gain(&CURVES[1], 1.0), 1.0);
}
END_TEST

/* The member of a list's entry; the test fails where there is none. */
static const json_t *entry(const json_t *o, const char *list, size_t i, const char *member)
{
    const json_t *value = json_object_get(json_array_get(json_object_get(o, list), i), member);
    ck_assert_msg(value != NULL, "no %s/%zu/%s", list, i, member);
    return value;
}

START_TEST(published_figures_are_written_by_kind)
{
    json_t *o = lq_published_encode(&ALL);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "shares")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "utilisation")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "expert_load")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "accuracy")), 2);
    assert_close("total", json_number_value(entry(o, "shares", 0, "total_s")), 4.0, 1e-12);
    const json_t *moe = json_array_get(entry(o, "shares", 0, "items"), 1);
    assert_close("share", json_number_value(json_object_get(moe, "share")), 0.75, 1e-12);
    ck_assert_uint_eq(json_array_size(entry(o, "utilisation", 0, "items")), 2);
    const json_t *mean = entry(o, "utilisation", 0, "time_weighted");
    ck_assert_str_eq(json_string_value(json_object_get(mean, "bound")), "overhead");
    assert_close("printed", json_number_value(json_object_get(mean, "printed_sm_utilisation")), 0.5,
                 1e-12);
    ck_assert(json_is_null(json_object_get(mean, "printed_dram_utilisation")));
    ck_assert(json_is_null(entry(o, "expert_load", 0, "printed")));
    ck_assert_uint_eq(json_array_size(entry(o, "expert_load", 0, "shares")), 4);
    ck_assert_int_eq(json_integer_value(entry(o, "accuracy", 0, "best_epoch")), 2);
    ck_assert(json_is_null(entry(o, "accuracy", 1, "active_experts")));
    json_decref(o);
}
END_TEST

/* Checks the two numbers of a span. */
static void assert_span(const json_t *o, const char *name, double low, double high)
{
    const json_t *span = json_object_get(o, name);
    ck_assert_uint_eq(json_array_size(span), 2);
    assert_close(name, json_number_value(json_array_get(span, 0)), low, 1e-12);
    assert_close(name, json_number_value(json_array_get(span, 1)), high, 1e-12);
}

START_TEST(a_job_gets_the_evidence_of_its_own_model)
{
    struct lq_job job = small_job(); /* a curve is of its model, the load of another */
    job.epochs = 1.0;
    json_t *o = lq_defaults_evidence_encode(&job, &ALL);
    const json_t *epochs = json_object_get(o, "epochs");
    ck_assert_int_eq(json_integer_value(json_object_get(epochs, "runs")), 1);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(epochs, "models"), 0)),
                     "small-moe");
    assert_span(epochs, "best_epoch", 2.0, 2.0);
    assert_span(epochs, "gain_share", 0.6, 0.6);
    const json_t *load = json_object_get(o, "expert_load");
    assert_span(load, "busiest_over_mean", 2.0, 2.0);
    assert_span(load, "variance_percent2", 1e4 * 6.0 / 256.0, 1e4 * 6.0 / 256.0);
    json_decref(o);
}
END_TEST

START_TEST(another_model_gets_the_span_of_all_runs)
{
    struct lq_model model = tiny_dense();
    struct lq_job job = small_job();
    job.model = &model;
    job.active_experts = 0;
    job.epochs = 1.0;
    json_t *o = lq_defaults_evidence_encode(&job, &ALL);
    const json_t *epochs = json_object_get(o, "epochs");
    ck_assert_uint_eq(json_array_size(json_object_get(epochs, "models")), 2);
    assert_span(epochs, "best_epoch", 0.0, 2.0);
    assert_span(epochs, "gain_share", 0.6, 1.0);
    ck_assert_str_eq(json_string_value(json_object_get(epochs, "detail")),
                     "the best accuracy of these runs came after 0 to 2 of 4 epochs; this job's"
                     " epochs reach 60 to 100 % of the best gain (Xia et al. 2024, Fig. 3)");
    json_decref(o);
}
END_TEST

static bool has_load_evidence(const struct lq_job *job, const struct lq_published *published)
{
    json_t *o = lq_defaults_evidence_encode(job, published);
    const bool has = json_is_object(json_object_get(o, "expert_load"));
    json_decref(o);
    return has;
}

START_TEST(an_even_load_needs_evidence_only_where_it_is_assumed)
{
    static const struct lq_expert_load GIVEN = {.variance = 1.0};
    static const struct lq_published CURVES_ALONE = {.curves = CURVES, .curve_count = 2};
    struct lq_model dense = tiny_dense();
    struct lq_job job = small_job();
    ck_assert(has_load_evidence(&job, &ALL));
    ck_assert(!has_load_evidence(&job, &CURVES_ALONE));
    job.expert_load = &GIVEN;
    ck_assert(!has_load_evidence(&job, &ALL));
    job.expert_load = NULL;
    job.active_experts = lq_model_experts(job.model);
    ck_assert(!has_load_evidence(&job, &ALL));
    job.model = &dense;
    job.active_experts = 0;
    ck_assert(!has_load_evidence(&job, &ALL));
}
END_TEST

START_TEST(without_anything_published_there_is_no_evidence)
{
    const struct lq_job job = small_job();
    json_t *o = lq_defaults_evidence_encode(&job, NULL);
    ck_assert(json_is_null(json_object_get(o, "epochs")));
    ck_assert(json_is_null(json_object_get(o, "expert_load")));
    json_decref(o);
    static const struct lq_published NONE = {.profile_count = 0};
    o = lq_published_encode(&NONE);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "shares")), 0);
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("published");
    TCase *tests = tcase_create("published");
    tcase_add_test(tests, totals_leave_the_printed_mean_out);
    tcase_add_test(tests, the_same_run_of_another_figure_is_found);
    tcase_add_test(tests, utilisations_are_weighted_by_the_time_of_what_both_have);
    tcase_add_test(tests, the_busier_side_binds_and_launches_where_neither_is_busy);
    tcase_add_test(tests, the_moe_share_is_the_mean_of_the_bars);
    tcase_add_test(tests, both_variances_of_a_load_are_by_their_definition);
    tcase_add_test(tests, runs_of_a_load_have_their_long_names);
    tcase_add_test(tests, the_first_best_epoch_counts_and_gains_end_with_the_curve);
    tcase_add_test(tests, published_figures_are_written_by_kind);
    tcase_add_test(tests, a_job_gets_the_evidence_of_its_own_model);
    tcase_add_test(tests, another_model_gets_the_span_of_all_runs);
    tcase_add_test(tests, an_even_load_needs_evidence_only_where_it_is_assumed);
    tcase_add_test(tests, without_anything_published_there_is_no_evidence);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
