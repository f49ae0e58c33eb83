/* Matmuls of the CPU backend and their gradients against triple loops in double precision. */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { GROUPS_MAX = 8, THREADS = 3 };

struct shape {
    int64_t tokens;
    int64_t outputs;
    int64_t inputs;
    int64_t groups;
    int32_t offsets[GROUPS_MAX + 1];
};

static const struct shape SHAPES[] = {
    {.tokens = 1, .outputs = 1, .inputs = 1, .groups = 1},
    {.tokens = 3, .outputs = 17, .inputs = 129, .groups = 1},
    {.tokens = 129, .outputs = 3, .inputs = 17, .groups = 1},
    {.tokens = 257, .outputs = 129, .inputs = 131, .groups = 1},
    {.tokens = 1, .outputs = 300, .inputs = 1000, .groups = 1},
    {.tokens = 600, .outputs = 8, .inputs = 500, .groups = 1},
    {.tokens = 90, .outputs = 33, .inputs = 65, .groups = 4, .offsets = {0, 0, 50, 51, 90}},
    {.tokens = 300, .outputs = 65, .inputs = 129, .groups = 5, .offsets = {0, 7, 7, 200, 300, 300}},
    {.tokens = 300, .outputs = 65, .inputs = 129, .groups = 3, .offsets = {0, 0, 300, 300}},
    {.tokens = 0, .outputs = 5, .inputs = 7, .groups = 2, .offsets = {0, 0, 0}},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };

/* One product: its operands, and where each is used in double precision. */
struct fixture {
    struct lq_op_linear op;
    size_t x_count;
    size_t w_count;
    size_t y_count;
};

static struct fixture fixture_of(const struct shape *shape, enum lq_linear_pass pass)
{
    struct fixture f = {.op = {.pass = pass,
                               .tokens = shape->tokens,
                               .outputs = shape->outputs,
                               .inputs = shape->inputs,
                               .groups = shape->groups,
                               .offsets = shape->groups > 1 ? shape->offsets : NULL,
                               .scale = 1.0}};
    f.x_count = (size_t)(shape->tokens * shape->inputs);
    f.w_count = (size_t)(shape->groups * shape->outputs * shape->inputs);
    f.y_count = (size_t)(shape->tokens * shape->outputs);
    f.op.x = random_floats(f.x_count, 1, 1.0);
    f.op.w = random_floats(f.w_count, 2, 0.5);
    f.op.y = random_floats(f.y_count, 3, 2.0);
    return f;
}

static int64_t group_of(const struct lq_op_linear *op, int64_t token)
{
    int64_t g = 0;
    while (op->offsets != NULL && token >= op->offsets[g + 1]) {
        g++;
    }
    return g;
}

/* Adds the product, scaled, to `out`, which is as long as what the pass writes. */
static void add_reference(const struct lq_op_linear *op, double *out)
{
    const float *x = op->x;
    const float *y = op->y;
    for (int64_t t = 0; t < op->tokens; t++) {
        const int64_t w_at = group_of(op, t) * op->outputs * op->inputs;
        const float *w = (const float *)op->w + w_at;
        for (int64_t o = 0; o < op->outputs; o++) {
            for (int64_t i = 0; i < op->inputs; i++) {
                const double x_i = (double)x[t * op->inputs + i];
                const double w_i = (double)w[o * op->inputs + i];
                const double y_o = (double)y[t * op->outputs + o];
                if (op->pass == LQ_LINEAR_FORWARD) {
                    out[t * op->outputs + o] += op->scale * x_i * w_i;
                } else if (op->pass == LQ_LINEAR_INPUT) {
                    out[t * op->inputs + i] += op->scale * y_o * w_i;
                } else {
                    out[w_at + o * op->inputs + i] += op->scale * y_o * x_i;
                }
            }
        }
    }
}

/* The operand that the pass writes, and its length. */
static void **written(struct fixture *f, size_t *count)
{
    switch (f->op.pass) {
    case LQ_LINEAR_FORWARD:
        *count = f->y_count;
        return &f->op.y;
    case LQ_LINEAR_INPUT:
        *count = f->x_count;
        return &f->op.x;
    case LQ_LINEAR_WEIGHT:
        break;
    }
    *count = f->w_count;
    return &f->op.w;
}

static void check_pass(struct lq_device *device, struct fixture f, const double *product,
                       bool accumulate)
{
    size_t n = 0;
    void **out = written(&f, &n);
    const float *before = *out;
    double *want = accumulate ? widen(before, n) : zero_doubles(n);
    f.op.scale = accumulate ? 0.25 : 1.0;
    f.op.accumulate = accumulate;
    *out = accumulate ? copy_floats(before, n) : poisoned_floats(n);
    for (size_t i = 0; i < n; i++) {
        want[i] += f.op.scale * product[i];
    }
    OK(lq_cpu_linear(device, &f.op, &err));
    assert_near("linear", *out, want, n, FORWARD_TOLERANCE);
}

START_TEST(products_and_gradients_meet_the_triple_loop)
{
    for (int pass = LQ_LINEAR_FORWARD; pass <= LQ_LINEAR_WEIGHT; pass++) {
        struct fixture f = fixture_of(&SHAPES[_i], (enum lq_linear_pass)pass);
        size_t n = 0;
        written(&f, &n);
        double *product = zero_doubles(n);
        add_reference(&f.op, product);
        for (int threads = 1; threads <= THREADS; threads++) {
            struct lq_device *device = open_device(threads);
            check_pass(device, f, product, false);
            check_pass(device, f, product, true);
        }
    }
}
END_TEST

START_TEST(weights_of_empty_groups_have_no_gradient)
{
    struct lq_device *device = open_device(2);
    struct fixture f = fixture_of(&SHAPES[8], LQ_LINEAR_WEIGHT);
    const size_t one = f.w_count / 3;
    const float *before = copy_floats(f.op.w, f.w_count);
    f.op.accumulate = true;
    OK(lq_cpu_linear(device, &f.op, &err));
    assert_same("accumulated", f.op.w, before, one);
    f.op.w = poisoned_floats(f.w_count);
    f.op.accumulate = false;
    OK(lq_cpu_linear(device, &f.op, &err));
    assert_same("written", f.op.w, zero_floats(one), one);
    assert_same("written", (float *)f.op.w + 2 * one, zero_floats(one), one);
}
END_TEST

/* What leads to sum of d_y (x w^T), d_y being op->y. */
struct differentiated {
    const struct lq_op_linear *op;
    const double *x;
    const double *w;
};

static double loss_of(const void *context)
{
    const struct differentiated *d = context;
    const struct lq_op_linear *op = d->op;
    double loss = 0.0;
    for (int64_t t = 0; t < op->tokens; t++) {
        const double *w = d->w + group_of(op, t) * op->outputs * op->inputs;
        for (int64_t o = 0; o < op->outputs; o++) {
            double y = 0.0;
            for (int64_t i = 0; i < op->inputs; i++) {
                y += op->scale * d->x[t * op->inputs + i] * w[o * op->inputs + i];
            }
            loss += y * (double)((const float *)op->y)[t * op->outputs + o];
        }
    }
    return loss;
}

START_TEST(gradients_are_those_of_the_product)
{
    static const struct shape SHAPE = {
        .tokens = 9, .outputs = 5, .inputs = 7, .groups = 3, .offsets = {0, 4, 4, 9}};
    struct lq_device *device = open_device(2);
    struct fixture f = fixture_of(&SHAPE, LQ_LINEAR_INPUT);
    f.op.scale = 0.5;
    double *x = widen(f.op.x, f.x_count);
    double *w = widen(f.op.w, f.w_count);
    const struct differentiated d = {&f.op, x, w};
    const double *d_x = gradient_of(loss_of, &d, x, f.x_count);
    const double *d_w = gradient_of(loss_of, &d, w, f.w_count);
    float *inputs = f.op.x;
    f.op.x = poisoned_floats(f.x_count);
    OK(lq_cpu_linear(device, &f.op, &err));
    assert_near("d_x", f.op.x, d_x, f.x_count, BACKWARD_TOLERANCE);
    f.op.pass = LQ_LINEAR_WEIGHT;
    f.op.x = inputs;
    f.op.w = poisoned_floats(f.w_count);
    OK(lq_cpu_linear(device, &f.op, &err));
    assert_near("d_w", f.op.w, d_w, f.w_count, BACKWARD_TOLERANCE);
}
END_TEST

START_TEST(the_same_bytes_come_out_every_time)
{
    struct lq_device *device = open_device(3);
    struct fixture f = fixture_of(&SHAPES[7], LQ_LINEAR_FORWARD);
    f.op.y = poisoned_floats(f.y_count);
    OK(lq_cpu_linear(device, &f.op, &err));
    const float *first = copy_floats(f.op.y, f.y_count);
    for (int i = 0; i < 5; i++) {
        OK(lq_cpu_linear(device, &f.op, &err));
        assert_same("again", f.op.y, first, f.y_count);
    }
}
END_TEST

START_TEST(the_tally_counts_flops_and_the_weights_of_groups_with_rows)
{
    struct lq_device *device = open_device(2);
    struct fixture f = fixture_of(&SHAPES[7], LQ_LINEAR_FORWARD);
    const double flop = 2.0 * 300.0 * 65.0 * 129.0;
    for (int pass = LQ_LINEAR_FORWARD; pass <= LQ_LINEAR_WEIGHT; pass++) {
        f.op.pass = (enum lq_linear_pass)pass;
        f.op.accumulate = pass == LQ_LINEAR_INPUT;
        OK(lq_cpu_linear(device, &f.op, &err));
        assert_tally(device, (struct lq_tally){
                                 .flop = flop, .weight_bytes = 3 * 4 * 65.0 * 129.0, .calls = 1.0});
    }
}
END_TEST

START_TEST(the_tally_of_adapters_counts_their_activations)
{
    struct lq_device *device = open_device(1);
    struct fixture f = fixture_of(&SHAPES[1], LQ_LINEAR_FORWARD);
    static const double TRAFFIC[3][2] = {[LQ_LINEAR_FORWARD] = {129.0 + 17.0, 129.0 + 2.0 * 17.0},
                                         [LQ_LINEAR_INPUT] = {129.0 + 17.0, 2.0 * 129.0 + 17.0},
                                         [LQ_LINEAR_WEIGHT] = {129.0 + 17.0, 129.0 + 17.0}};
    f.op.adapter = true;
    for (int pass = LQ_LINEAR_FORWARD; pass <= LQ_LINEAR_WEIGHT; pass++) {
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            f.op.pass = (enum lq_linear_pass)pass;
            f.op.accumulate = accumulate == 1;
            OK(lq_cpu_linear(device, &f.op, &err));
            assert_tally(device,
                         (struct lq_tally){.flop = 2.0 * 3.0 * 17.0 * 129.0,
                                           .traffic_bytes = 12.0 * TRAFFIC[pass][accumulate],
                                           .calls = 1.0});
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_linear");
    TCase *tests = tcase_create("cpu_linear");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, products_and_gradients_meet_the_triple_loop, 0, SHAPE_COUNT);
    tcase_add_test(tests, weights_of_empty_groups_have_no_gradient);
    tcase_add_test(tests, gradients_are_those_of_the_product);
    tcase_add_test(tests, the_same_bytes_come_out_every_time);
    tcase_add_test(tests, the_tally_counts_flops_and_the_weights_of_groups_with_rows);
    tcase_add_test(tests, the_tally_of_adapters_counts_their_activations);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
