/* A layer over the CPU backend: its gradients against differences, its routing against what was
 * asked, and what it cannot do. */
#include "kernels/layer/layer.h"
#include "tests/kernels/layer_fixture.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

/* sum(r y) after a forward pass with x + epsilon v. */
static double loss_at(const float *x, const float *v, double epsilon, const float *r, size_t n)
{
    const struct lq_layer_ports ports = lq_layer_ports(layer);
    float *moved = copy_floats(x, n);
    for (size_t i = 0; i < n; i++) {
        moved[i] += (float)(epsilon * (double)v[i]);
    }
    memcpy(ports.x, moved, n * sizeof *moved);
    OK(lq_layer_forward(layer, &err));
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)((const float *)ports.y)[i] * (double)r[i];
    }
    return sum;
}

/* The gradient of sum(r y) along a direction, by backward and by differences in fp32. */
static void assert_layer_gradient(const struct lq_model *model, const struct lq_method *method)
{
    enum { ROWS = 2, TOKENS = 9 };
    open_layer(model, method, LQ_CHECKPOINTING_FULL, ROWS, TOKENS);
    const struct lq_layer_ports ports = lq_layer_ports(layer);
    const size_t n = (size_t)(ROWS * TOKENS * model->hidden_size);
    float *x = copy_floats(ports.x, n);
    float *v = random_floats(n, 21, 1.0);
    float *r = random_floats(n, 22, 1.0);
    const double epsilon = 2e-3;
    const double by_difference =
        (loss_at(x, v, epsilon, r, n) - loss_at(x, v, -epsilon, r, n)) / (2.0 * epsilon);
    (void)loss_at(x, v, 0.0, r, n);
    memcpy(ports.d_y, r, n * sizeof *r);
    OK(lq_layer_backward(layer, &err));
    double along = 0.0;
    double scale = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double g = (double)((const float *)ports.d_x)[i];
        along += g * (double)v[i];
        scale += g * g;
    }
    ck_assert_msg(fabs(along - by_difference) <= 1e-2 * sqrt(scale),
                  "backward %.9g, differences %.9g, scale %.9g", along, by_difference, sqrt(scale));
    close_layer();
}

START_TEST(gradients_of_every_kind_of_layer_are_those_of_its_function)
{
    struct lq_model models[] = {dense(), moe(), mamba(), mla()};
    models[1].layers[0].ffn.active_experts = 128; /* a choice of experts has jumps */
    for (int i = 0; i < 4; i++) {
        assert_layer_gradient(&models[i], &FULL);
        assert_layer_gradient(&models[i], &LORA);
        assert_layer_gradient(&models[i], &QLORA);
    }
}
END_TEST

START_TEST(steps_lower_what_they_descend)
{
    const struct lq_model model = dense();
    enum { N = 2 * 9 * 128 };
    open_layer(&model, &FULL, LQ_CHECKPOINTING_NONE, 2, 9);
    const struct lq_layer_ports ports = lq_layer_ports(layer);
    float *x = copy_floats(ports.x, N);
    float *r = random_floats(N, 22, 1.0);
    float *still = zero_floats(N);
    const double before = loss_at(x, still, 0.0, r, N);
    for (int i = 0; i < 20; i++) {
        (void)loss_at(x, still, 0.0, r, N);
        memcpy(ports.d_y, r, N * sizeof *r);
        OK(lq_layer_backward(layer, &err));
        OK(lq_layer_step(layer, &err));
    }
    ck_assert_double_lt(loss_at(x, still, 0.0, r, N), before);
}
END_TEST

START_TEST(steps_without_end_keep_numbers_finite)
{
    struct lq_model model = moe();
    model.layers[0].ffn.active_experts = 2;
    open_layer(&model, &LORA, LQ_CHECKPOINTING_FULL, 1, 9);
    struct lq_expert_load first;
    struct lq_expert_load last;
    OK(lq_layer_forward(layer, &err));
    OK(lq_layer_load(layer, &first, &err));
    for (int i = 0; i < 200; i++) {
        OK(lq_layer_forward(layer, &err));
        OK(lq_layer_backward(layer, &err));
        OK(lq_layer_step(layer, &err));
    }
    OK(lq_layer_forward(layer, &err));
    OK(lq_layer_load(layer, &last, &err));
    const float *y = lq_layer_ports(layer).y;
    for (int i = 0; i < 9 * 128; i++) {
        ck_assert(isfinite(y[i]));
    }
    ck_assert_double_lt(fabs(last.variance - first.variance), 0.5 * first.variance);
}
END_TEST

START_TEST(a_skew_prefers_the_first_experts_and_none_is_even)
{
    struct lq_model model = moe();
    model.layers[0].ffn.experts = 8;
    model.layers[0].ffn.active_experts = 2;
    const double skews[] = {0.0, 0.5, 2.0};
    double variance = -1.0;
    for (int i = 0; i < 3; i++) {
        const struct lq_layer_job job = {.model = &model,
                                         .method = &LORA,
                                         .rows = 4,
                                         .tokens = 128,
                                         .skew = skews[i],
                                         .seed = 5};
        struct lq_expert_load load;
        lq_space_open(&space, lq_cpu_backend(), device, LQ_ELEMENT_F32);
        OK(lq_layer_open(&space, &job, 0, &layer, &err));
        OK(lq_layer_forward(layer, &err));
        OK(lq_layer_load(layer, &load, &err));
        ck_assert_uint_eq(load.experts, 8);
        ck_assert_double_gt(load.variance, variance);
        if (skews[i] > 0.0) {
            ck_assert_double_gt(load.share[0], load.share[7]);
        }
        variance = load.variance;
        close_layer();
    }
}
END_TEST

START_TEST(a_dense_layer_has_no_expert_load)
{
    const struct lq_model model = dense();
    struct lq_expert_load load;
    struct lq_error err = {0};
    open_layer(&model, &FULL, LQ_CHECKPOINTING_NONE, 1, 3);
    ck_assert_int_eq(lq_layer_load(layer, &load, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/expert_load");
}
END_TEST

/* Opens what cannot be; the device stays usable. */
static void assert_refused(const struct lq_model *model, int64_t rows, int64_t tokens,
                           enum lq_code code, const char *part)
{
    struct lq_error err = {0};
    const struct lq_layer_job job = {
        .model = model, .method = &FULL, .rows = rows, .tokens = tokens, .seed = 1};
    lq_space_open(&space, lq_cpu_backend(), device, LQ_ELEMENT_F32);
    ck_assert_int_eq(lq_layer_open(&space, &job, 0, &layer, &err), code);
    ck_assert_msg(strstr(err.detail, part) != NULL, "%s", err.detail);
    ck_assert_ptr_null(layer);
    lq_space_close(&space);
}

START_TEST(what_operations_cannot_do_is_refused_before_they_run)
{
    struct lq_model model = dense();
    model.layers[0].mixer.head_size = 1026;
    assert_refused(&model, 1, 8, LQ_EIMPOSSIBLE, "the size of a head must be 1..1024");
    model = mla();
    model.layers[0].mixer.rope_size = 2048;
    assert_refused(&model, 1, 8, LQ_EIMPOSSIBLE, "positions");
    model = mamba();
    model.layers[0].mixer.conv_size = 17;
    assert_refused(&model, 1, 8, LQ_EIMPOSSIBLE, "convolution");
    model = mamba();
    model.layers[0].mixer.state_size = 257;
    assert_refused(&model, 1, 8, LQ_EIMPOSSIBLE, "states");
    model = moe();
    model.layers[0].ffn.experts = 1025;
    assert_refused(&model, 1, 8, LQ_EIMPOSSIBLE, "experts");
}
END_TEST

START_TEST(steps_beyond_indices_and_memory_do_not_fit)
{
    struct lq_model model = dense();
    assert_refused(&model, 1000000, 16777216, LQ_ENOFIT, "more than");
    assert_refused(&model, 128, 16777216, LQ_ENOFIT, "more than");
    model = moe();
    assert_refused(&model, 64, 16777216, LQ_ENOFIT, "more than");
    model = dense();
    model.hidden_size = 1 << 20;
    assert_refused(&model, 8, 1 << 24, LQ_ENOFIT, "");
}
END_TEST

START_TEST(memory_is_counted_by_use_and_given_back)
{
    const struct lq_model model = dense();
    size_t before = 0;
    size_t now = 0;
    size_t peak = 0;
    lq_cpu_backend()->usage(device, true, &before, &peak);
    open_layer(&model, &FULL, LQ_CHECKPOINTING_NONE, 2, 9);
    const size_t cells = 4 * 128 * 128 + 3 * 128 * 256 + 2 * 128;
    ck_assert_uint_eq(space.bytes[LQ_USE_WEIGHT], cells * 4);
    ck_assert_uint_eq(space.bytes[LQ_USE_GRADIENT], cells * 4);
    ck_assert_uint_eq(space.bytes[LQ_USE_STATE], cells * 8);
    ck_assert_uint_eq(space.bytes[LQ_USE_KEPT], (size_t)(2 * 9 * 128 * 4));
    close_layer();
    lq_cpu_backend()->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layer");
    TCase *tests = tcase_create("layer");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, gradients_of_every_kind_of_layer_are_those_of_its_function);
    tcase_add_test(tests, steps_lower_what_they_descend);
    tcase_add_test(tests, steps_without_end_keep_numbers_finite);
    tcase_add_test(tests, a_skew_prefers_the_first_experts_and_none_is_even);
    tcase_add_test(tests, a_dense_layer_has_no_expert_load);
    tcase_add_test(tests, what_operations_cannot_do_is_refused_before_they_run);
    tcase_add_test(tests, steps_beyond_indices_and_memory_do_not_fit);
    tcase_add_test(tests, memory_is_counted_by_use_and_given_back);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
