/* RMSNorm and rotary positions of a backend against plain loops in double precision. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

static const struct {
    int64_t tokens;
    int64_t width;
} SIZES[] = {{1, 1}, {3, 17}, {17, 129}, {1, 1000}, {129, 513}, {0, 5}};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

static void norm_row(const double *x, const double *weight, double epsilon, int64_t width,
                     double *y)
{
    double squares = 0.0;
    for (int64_t i = 0; i < width; i++) {
        squares += x[i] * x[i];
    }
    for (int64_t i = 0; i < width; i++) {
        y[i] = x[i] / sqrt(squares / (double)width + epsilon) * weight[i];
    }
}

START_TEST(a_row_is_divided_by_its_root_mean_square)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const int64_t width = SIZES[_i / VARIANTS].width;
    const size_t n = (size_t)(SIZES[_i / VARIANTS].tokens * width);
    struct lq_op_norm op = {.tokens = SIZES[_i / VARIANTS].tokens, .width = width, .epsilon = 1e-5};
    const float *x = random_inputs(device, n, 1, 3.0);
    const float *weight = random_inputs(device, (size_t)width, 2, 1.0);
    op.x = upload(device, x, n);
    op.weight = upload(device, weight, (size_t)width);
    op.y = poisoned(device, n);
    OK(subject()->norm(device, &op, LQ_PASS_FORWARD, &err));
    double *want = zero_doubles(n);
    for (int64_t t = 0; t < op.tokens; t++) {
        norm_row(widen(x + t * width, (size_t)width), widen(weight, (size_t)width), op.epsilon,
                 width, want + t * width);
    }
    assert_near("y", download(device, op.y, n), want, n, within(device, FORWARD_TOLERANCE));
    const double bytes = (double)(n * element_bytes(device));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 2.0 * bytes, .calls = 1.0});
}
END_TEST

struct norm_loss {
    const struct lq_op_norm *op;
    const double *x;
    const double *weight;
    const float *d_y;
    double *y;
};

static double loss_of_norm(const void *context)
{
    const struct norm_loss *l = context;
    const int64_t width = l->op->width;
    double loss = 0.0;
    for (int64_t t = 0; t < l->op->tokens; t++) {
        norm_row(l->x + t * width, l->weight, l->op->epsilon, width, l->y);
        loss += dot(l->y, l->d_y + t * width, (size_t)width);
    }
    return loss;
}

static void add_to(double *gradient, const float *before, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        gradient[i] += (double)before[i];
    }
}

START_TEST(gradients_of_norms_are_added_to_what_is_there)
{
    static const int64_t WIDTHS[] = {1, 3, 17, 67};
    const int64_t width = WIDTHS[_i / VARIANTS];
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    struct lq_op_norm op = {.tokens = 11, .width = width, .epsilon = 1e-2};
    const size_t n = (size_t)(op.tokens * width);
    const float *x = random_inputs(device, n, 1, 0.5);
    const float *weight = random_inputs(device, (size_t)width, 2, 1.0);
    const float *d_y = random_inputs(device, n, 3, 1.0);
    const float *d_x = random_inputs(device, n, 4, 1.0);
    const float *d_weight = random_inputs(device, (size_t)width, 5, 1.0);
    op.x = upload(device, x, n);
    op.weight = upload(device, weight, (size_t)width);
    op.d_y = upload(device, d_y, n);
    op.d_x = upload(device, d_x, n);
    op.d_weight = upload(device, d_weight, (size_t)width);
    OK(subject()->norm(device, &op, LQ_PASS_BACKWARD, &err));
    double *x_wide = widen(x, n);
    double *weight_wide = widen(weight, (size_t)width);
    const struct norm_loss l = {&op, x_wide, weight_wide, d_y, zero_doubles((size_t)width)};
    double *want_x = gradient_of(loss_of_norm, &l, x_wide, n);
    double *want_weight = gradient_of(loss_of_norm, &l, weight_wide, (size_t)width);
    add_to(want_x, d_x, n);
    add_to(want_weight, d_weight, (size_t)width);
    const double tolerance = within(device, BACKWARD_TOLERANCE);
    assert_near("d_x", download(device, op.d_x, n), want_x, n, tolerance);
    assert_near("d_weight", download(device, op.d_weight, (size_t)width), want_weight,
                (size_t)width, tolerance);
    const double bytes = (double)(n * element_bytes(device));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 4.0 * bytes, .calls = 1.0});
}
END_TEST

START_TEST(frozen_weights_have_no_gradients)
{
    struct lq_device *device = open_device(1 + _i);
    const size_t n = 60000;
    struct lq_op_norm op = {.tokens = 300, .width = 200, .epsilon = 1e-5};
    op.x = upload(device, random_floats(n, 1, 1.0), n);
    op.weight = upload(device, random_floats(200, 2, 1.0), 200);
    op.d_y = upload(device, random_floats(n, 3, 1.0), n);
    op.d_x = upload(device, zero_floats(n), n);
    op.d_weight = upload(device, zero_floats(200), 200);
    OK(subject()->norm(device, &op, LQ_PASS_BACKWARD, &err));
    const float *both = download(device, op.d_x, n);
    op.d_x = upload(device, zero_floats(n), n);
    op.d_weight = NULL;
    OK(subject()->norm(device, &op, LQ_PASS_BACKWARD, &err));
    assert_same("d_x alone", download(device, op.d_x, n), both, n);
}
END_TEST

static const struct lq_op_rotation ROTATIONS[] = {
    {.rows = 1, .tokens = 1, .heads = 1, .head_size = 2, .stride = 2, .base = 10000.0},
    {.rows = 2, .tokens = 17, .heads = 3, .head_size = 6, .stride = 6, .base = 10000.0},
    {.rows = 3, .tokens = 129, .heads = 2, .head_size = 64, .stride = 64, .base = 500000.0},
    {.rows = 2, .tokens = 33, .heads = 5, .head_size = 8, .stride = 23, .base = 10000.0},
    {.rows = 1, .tokens = 3000, .heads = 1, .head_size = 4, .stride = 5, .base = 100.0},
};
enum { ROTATION_COUNT = sizeof ROTATIONS / sizeof ROTATIONS[0] };

static void rotate(const struct lq_op_rotation *op, double sign, const float *x, double *out)
{
    const int64_t half = op->head_size / 2;
    for (int64_t h = 0; h < op->rows * op->tokens * op->heads; h++) {
        const double position = (double)(h / op->heads % op->tokens);
        const float *head = x + h * op->stride;
        double *to = out + h * op->stride;
        for (int64_t i = 0; i < op->stride; i++) {
            to[i] = (double)head[i];
        }
        for (int64_t i = 0; i < half; i++) {
            const double angle =
                sign * position / pow(op->base, 2.0 * (double)i / (double)op->head_size);
            const double a = (double)head[i];
            const double b = (double)head[i + half];
            to[i] = a * cos(angle) - b * sin(angle);
            to[i + half] = b * cos(angle) + a * sin(angle);
        }
    }
}

START_TEST(heads_are_rotated_by_their_position_and_back)
{
    struct lq_op_rotation op = ROTATIONS[_i / VARIANTS];
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const size_t n = (size_t)(op.rows * op.tokens * op.heads * op.stride);
    const double tolerance = within(device, FORWARD_TOLERANCE);
    const float *x = random_inputs(device, n, 1, 1.0);
    op.x = upload(device, x, n);
    double *want = zero_doubles(n);
    rotate(&op, 1.0, x, want);
    OK(subject()->rotation(device, &op, LQ_PASS_FORWARD, &err));
    assert_near("forward", download(device, op.x, n), want, n, tolerance);
    const double bytes = 2.0 * (double)(op.rows * op.tokens * op.heads * op.head_size) *
                         (double)element_bytes(device);
    assert_tally(device, (struct lq_tally){.traffic_bytes = bytes, .calls = 1.0});
    OK(subject()->rotation(device, &op, LQ_PASS_BACKWARD, &err));
    assert_near("back", download(device, op.x, n), widen(x, n), n, tolerance);
    /* a rotation's gradient is the rotation backwards */
    op.x = upload(device, x, n);
    rotate(&op, -1.0, x, want);
    OK(subject()->rotation(device, &op, LQ_PASS_BACKWARD, &err));
    assert_near("backward", download(device, op.x, n), want, n, tolerance);
    assert_tally(device, (struct lq_tally){.traffic_bytes = 2.0 * bytes, .calls = 2.0});
}
END_TEST

START_TEST(what_lies_between_heads_keeps_its_bytes)
{
    struct lq_op_rotation op = ROTATIONS[3];
    struct lq_device *device = open_device(1 + _i);
    const size_t n = (size_t)(op.rows * op.tokens * op.heads * op.stride);
    const float *x = random_inputs(device, n, 1, 1.0);
    op.x = upload(device, x, n);
    OK(subject()->rotation(device, &op, LQ_PASS_FORWARD, &err));
    const float *after = download(device, op.x, n);
    for (size_t h = 0; h < n; h += (size_t)op.stride) {
        assert_same("rest", after + h + op.head_size, x + h + op.head_size,
                    (size_t)(op.stride - op.head_size));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("norm");
    TCase *tests = tcase_create("norm");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, a_row_is_divided_by_its_root_mean_square, 0, SIZE_COUNT * VARIANTS);
    tcase_add_loop_test(tests, gradients_of_norms_are_added_to_what_is_there, 0, 4 * VARIANTS);
    tcase_add_loop_test(tests, frozen_weights_have_no_gradients, 0, VARIANTS);
    tcase_add_loop_test(tests, heads_are_rotated_by_their_position_and_back, 0,
                        ROTATION_COUNT * VARIANTS);
    tcase_add_loop_test(tests, what_lies_between_heads_keeps_its_bytes, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
