/* What every quote must obey, over all models and GPUs of the catalog and its real evidence. What
 * the step time must obey by itself is in test_step.c. */
#include "core/finetune/cost.h"
#include "server/json/estimate.h"
#include "server/json/field.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CASES = 3000, STREAM = 20 };

static const struct lq_catalog *catalog;
static struct lq_evidence evidence;
static struct random_job r;

static struct lq_estimate quote(int number)
{
    struct lq_estimate out;
    struct lq_error err = {0};
    const enum lq_code code = lq_estimate(&r.job, &evidence, &out, &err);
    ck_assert_msg(code == LQ_OK, "case %d: %s: %s: %s", number, random_describe(&r.job),
                  lq_code_slug(code), err.detail);
    return out;
}

#define assert_case(condition, number, ...)                                                        \
    do {                                                                                           \
        char got[512];                                                                             \
        snprintf(got, sizeof got, __VA_ARGS__);                                                    \
        ck_assert_msg(condition, "case %d: %s: " #condition ": %s", number,                        \
                      random_describe(&r.job), got);                                               \
    } while (0)

/* The answer as text; it must hold no number that is none. */
static void assert_text_is_finite(int number, const struct lq_estimate *e)
{
    static struct lq_job_document document;
    memset(&document, 0, sizeof document);
    document.job = r.job;
    const struct lq_cost_line line = {
        .provider = "p", .region = "", .instance_type = "", .date = "", .cost_usd = e->duration_s};
    const struct lq_quote all = {.document = &document,
                                 .estimate = e,
                                 .costs = &line,
                                 .cost_count = 1,
                                 .catalog_version = "c",
                                 .prices_version = "p"};
    json_t *o = lq_estimate_encode(&all);
    size_t size = 0;
    char *text = lq_dump(o, 10, &size);
    assert_case(text != NULL && size > 1000, number, "%zu bytes", size);
    /* jansson drops a real that is not finite: then a member is missing and a list is shorter */
    static const char *const LISTS[] = {"queries_per_s", "tokens_per_s_per_gpu", "duration_s",
                                        "cost_usd",      "memory_bytes",         "max_batch_size"};
    const json_t *interval = json_object_get(o, "interval");
    for (size_t i = 0; i < sizeof LISTS / sizeof LISTS[0]; i++) {
        assert_case(json_array_size(json_object_get(interval, LISTS[i])) == 2, number, "%s",
                    LISTS[i]);
    }
    const json_t *throughput = json_object_get(o, "throughput");
    assert_case(json_object_size(throughput) == 4, number, "%zu", json_object_size(throughput));
    const char *const bare[] = {":nan", ":-nan", ":inf", ":-inf", ",nan", ",inf", "[nan", "[inf"};
    for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++) {
        assert_case(strstr(text, bare[i]) == NULL, number, "%s", bare[i]);
    }
    lq_text_free(text);
    json_decref(o);
}

static void assert_sound(int number, const struct lq_estimate *e)
{
    const struct lq_estimate_interval *in = &e->interval;
    assert_case(isfinite(e->queries_per_s) && e->queries_per_s > 0.0, number, "%g",
                e->queries_per_s);
    assert_case(isfinite(e->duration_s) && e->duration_s > 0.0, number, "%g", e->duration_s);
    assert_case(isfinite(e->total_bytes) && e->total_bytes > 0.0, number, "%g", e->total_bytes);
    assert_case(e->batch_size >= 1, number, "%d", (int)e->batch_size);
    const double step_queries =
        (double)(e->batch_size * e->layout.data) * r.job.lengths->queries_per_row;
    const double duration = r.job.epochs * fmax(r.job.queries, step_queries) / e->queries_per_s;
    assert_case(fabs(e->duration_s / duration - 1.0) < 1e-12, number, "%g", e->duration_s);
    assert_case(in->queries_per_s[0] <= e->queries_per_s &&
                    e->queries_per_s <= in->queries_per_s[1],
                number, "%g %g", in->queries_per_s[0], in->queries_per_s[1]);
    assert_case(in->duration_s[0] <= e->duration_s && e->duration_s <= in->duration_s[1], number,
                "%g %g", in->duration_s[0], in->duration_s[1]);
    assert_case(in->memory_bytes[0] <= e->total_bytes && e->total_bytes <= in->memory_bytes[1],
                number, "%g %g", in->memory_bytes[0], in->memory_bytes[1]);
    assert_case(in->max_batch_size[0] <= e->max_batch_size &&
                    e->max_batch_size <= in->max_batch_size[1],
                number, "%d %d", (int)in->max_batch_size[0], (int)in->max_batch_size[1]);
    assert_case(e->moe_share >= 0.0 && e->moe_share <= 1.0, number, "%g", e->moe_share);
    const double stages = e->stage_s[0] + e->stage_s[1] + e->stage_s[2] + e->stage_s[3];
    double terms = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        terms += lq_step_term_s(&e->step, (enum lq_term)t);
    }
    assert_case(fabs(stages / e->step_s - 1.0) < 1e-12, number, "%g of %g", stages, e->step_s);
    assert_case(fabs(terms / e->step_s - 1.0) < 1e-12, number, "%g of %g", terms, e->step_s);
    assert_case(lq_layout_gpus(&e->layout) == r.job.gpu_count, number, "%d",
                (int)lq_layout_gpus(&e->layout));
    assert_case(e->unpadded_tokens_per_s <= e->tokens_per_s * (1.0 + 1e-9), number, "%g of %g",
                e->unpadded_tokens_per_s, e->tokens_per_s);
}

START_TEST(every_model_on_every_gpu_is_answered_soundly_or_refused)
{
    int answered = 0;
    int refused = 0;
    for (size_t m = 0; m < catalog->model_count; m++) {
        for (size_t g = 0; g < catalog->gpu_count; g++) {
            const int number = (int)(m * catalog->gpu_count + g);
            random_case(STREAM, number);
            random_fill(catalog, m, g, &r);
            struct lq_estimate e;
            struct lq_error err = {0};
            const enum lq_code code = lq_estimate(&r.job, &evidence, &e, &err);
            if (code == LQ_OK) {
                answered++;
                assert_sound(number, &e);
                assert_text_is_finite(number, &e);
                continue;
            }
            refused++;
            assert_case(code == LQ_ENOFIT, number, "%s %s", lq_code_slug(code), err.detail);
            assert_case(strstr(err.detail, " -") == NULL, number, "%.150s", err.detail);
        }
    }
    ck_assert_int_gt(answered, 500);
    ck_assert_int_gt(refused, 500);
}
END_TEST

START_TEST(cost_is_linear_in_price_epochs_and_queries)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 1, i);
        random_roomy(catalog, &r);
        const struct lq_estimate e = quote(i);
        struct lq_offer offer = {random_between(1, 8), 0.1 + 50.0 * random_share()};
        const double once = lq_cost_of(&offer, r.job.gpu_count, e.duration_s).cost_usd;
        offer.instance_usd_per_h *= 3.0;
        const double priced = lq_cost_of(&offer, r.job.gpu_count, e.duration_s).cost_usd;
        assert_case(fabs(priced / once - 3.0) < 1e-9, i, "%g %g", priced, once);
        r.job.epochs *= 2.0;
        r.job.queries *= 5.0;
        const struct lq_estimate more = quote(i);
        assert_case(fabs(more.duration_s / e.duration_s - 10.0) < 1e-9, i, "%g %g", more.duration_s,
                    e.duration_s);
    }
}
END_TEST

START_TEST(intervals_widen_with_confidence)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 2, i);
        random_roomy(catalog, &r);
        const struct lq_estimate narrow = quote(i);
        r.job.confidence += (0.999 - r.job.confidence) * (0.01 + 0.9 * random_share());
        const struct lq_estimate wide = quote(i);
        assert_case(wide.queries_per_s == narrow.queries_per_s, i, "%g", wide.queries_per_s);
        assert_case(wide.interval.duration_s[0] < narrow.interval.duration_s[0], i, "%g",
                    wide.interval.duration_s[0]);
        assert_case(wide.interval.duration_s[1] > narrow.interval.duration_s[1], i, "%g",
                    wide.interval.duration_s[1]);
        assert_case(wide.interval.memory_bytes[1] > narrow.interval.memory_bytes[1], i, "%g",
                    wide.interval.memory_bytes[1]);
    }
}
END_TEST

/* Fits may find a device faster than its shares of peak say, but none above the peak itself. */
START_TEST(nothing_is_faster_than_the_peak_rate)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 3, i);
        random_roomy(catalog, &r);
        r.job.batch_size = random_flag() ? r.job.batch_size : random_between(1000, 100000);
        const struct lq_estimate e = quote(i);
        struct lq_job job = r.job;
        job.layout = e.layout;
        const double least_s = lq_job_least_step_s(&job, (double)e.batch_size, e.row_tokens);
        assert_case(e.step_s >= least_s, i, "%g of %g s", e.step_s, least_s);
    }
}
END_TEST

START_TEST(a_layout_of_ones_own_is_never_faster_than_the_one_found)
{
    int tried = 0;
    for (int i = 0; i < CASES / 4; i++) {
        random_case(STREAM + 4, i);
        random_roomy(catalog, &r);
        if (r.job.gpu_count < 2) {
            continue;
        }
        tried++;
        const struct lq_estimate best = quote(i);
        r.job.layout = best.layout;
        assert_case(lq_job_missing_parallelism(&r.job) == 0, i, "not of %s", r.job.stack);
        r.job.layout = lq_layout_replicas(r.job.gpu_count, r.job.network.node_gpu_count);
        if (lq_job_missing_parallelism(&r.job) != 0) {
            r.job.layout.zero_stage = 3; /* what is beyond the stack may be faster */
        }
        const struct lq_estimate own = quote(i);
        assert_case(own.queries_per_s <= best.queries_per_s * (1.0 + 1e-9), i, "%g, found %g",
                    own.queries_per_s, best.queries_per_s);
    }
    ck_assert_int_gt(tried, CASES / 8);
}
END_TEST

START_TEST(the_same_question_has_the_same_answer)
{
    for (int i = 0; i < 300; i++) {
        random_case(STREAM + 7, i);
        random_roomy(catalog, &r);
        const struct lq_estimate a = quote(i);
        const struct lq_estimate b = quote(i);
        assert_case(a.queries_per_s == b.queries_per_s && a.total_bytes == b.total_bytes &&
                        a.warnings == b.warnings && a.basis.fit == b.basis.fit,
                    i, "%g %g", a.queries_per_s, b.queries_per_s);
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    evidence = evidence_of(catalog);
    Suite *suite = suite_create("estimates");
    TCase *tests = tcase_create("estimates");
    tcase_add_test(tests, every_model_on_every_gpu_is_answered_soundly_or_refused);
    tcase_add_test(tests, cost_is_linear_in_price_epochs_and_queries);
    tcase_add_test(tests, intervals_widen_with_confidence);
    tcase_add_test(tests, nothing_is_faster_than_the_peak_rate);
    tcase_add_test(tests, a_layout_of_ones_own_is_never_faster_than_the_one_found);
    tcase_add_test(tests, the_same_question_has_the_same_answer);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
