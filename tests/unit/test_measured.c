/* An own entry that points refer to must not become another model or GPU under its id. */
#include "server/api/measured.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <stdio.h>
#include <string.h>

static struct lq_model_entry model;
static struct lq_gpu_entry gpu;
static struct lq_point point;
static struct lq_catalog catalog;

/* One own model and one own GPU, and a point measured on both. */
static void set_up(void)
{
    model = (struct lq_model_entry){.model = tiny_moe()};
    snprintf(model.model.id, sizeof model.model.id, "own-moe");
    model.parameters = lq_model_parameters(&model.model, 0);
    gpu = (struct lq_gpu_entry){.gpu = SMALL_GPU};
    snprintf(gpu.gpu.id, sizeof gpu.gpu.id, "own-gpu");
    memset(&point, 0, sizeof point);
    snprintf(point.identity.model, sizeof point.identity.model, "Own-MoE");
    snprintf(point.identity.gpu, sizeof point.identity.gpu, "OWN-gpu");
    catalog = (struct lq_catalog){.models = &model,
                                  .model_count = 1,
                                  .gpus = &gpu,
                                  .gpu_count = 1,
                                  .points = &point,
                                  .point_count = 1};
}

START_TEST(the_same_entry_is_no_other)
{
    struct lq_model same_model = model.model;
    struct lq_gpu same_gpu = gpu.gpu;
    ck_assert(!lq_model_was_another(&catalog, &same_model));
    ck_assert(!lq_gpu_was_another(&catalog, &same_gpu));
    same_gpu.tdp_w += 50.0; /* no rate and no capacity */
    ck_assert(!lq_gpu_was_another(&catalog, &same_gpu));
}
END_TEST

START_TEST(a_model_of_another_size_or_shape_is_another)
{
    struct lq_model wider = model.model;
    wider.vocab_size += 1;
    wider.embedding_parameters += wider.hidden_size;
    ck_assert(lq_model_was_another(&catalog, &wider));
    struct lq_model sparser = model.model;
    for (int i = 0; i < sparser.layer_kinds; i++) {
        sparser.layers[i].ffn.active_experts = 1;
    }
    ck_assert(lq_model_was_another(&catalog, &sparser));
}
END_TEST

START_TEST(a_gpu_with_another_rate_or_capacity_is_another)
{
    double *const figures[] = {&gpu.gpu.memory_bytes,    &gpu.gpu.memory_bandwidth_bytes_per_s,
                               &gpu.gpu.fp32_flop_per_s, &gpu.gpu.fp16_flop_per_s,
                               &gpu.gpu.fp8_flop_per_s,  &gpu.gpu.interconnect_bytes_per_s};
    const struct lq_gpu posted = gpu.gpu;
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        const double was = *figures[i];
        *figures[i] = was + 1.0;
        ck_assert_msg(lq_gpu_was_another(&catalog, &posted), "figure %zu", i);
        *figures[i] = was;
    }
}
END_TEST

START_TEST(what_nobody_measured_or_was_shipped_is_not_guarded)
{
    struct lq_model other = model.model;
    other.hidden_size += 1;
    struct lq_gpu faster = gpu.gpu;
    faster.memory_bytes *= 2.0;
    model.provenance.shipped = gpu.provenance.shipped = true; /* no call can change those */
    ck_assert(!lq_model_was_another(&catalog, &other));
    ck_assert(!lq_gpu_was_another(&catalog, &faster));
    model.provenance.shipped = gpu.provenance.shipped = false;
    catalog.point_count = 0;
    ck_assert(!lq_model_was_another(&catalog, &other));
    ck_assert(!lq_gpu_was_another(&catalog, &faster));
    catalog.model_count = catalog.gpu_count = 0;
    ck_assert(!lq_model_was_another(&catalog, &other));
    ck_assert(!lq_gpu_was_another(&catalog, &faster));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measured");
    TCase *guarded = tcase_create("guarded");
    tcase_add_checked_fixture(guarded, set_up, NULL);
    tcase_add_test(guarded, the_same_entry_is_no_other);
    tcase_add_test(guarded, a_model_of_another_size_or_shape_is_another);
    tcase_add_test(guarded, a_gpu_with_another_rate_or_capacity_is_another);
    tcase_add_test(guarded, what_nobody_measured_or_was_shipped_is_not_guarded);
    suite_add_tcase(suite, guarded);
    return run_suite(suite);
}
