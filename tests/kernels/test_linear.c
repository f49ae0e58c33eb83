/* Matmuls of a backend and their gradients against triple loops in double precision. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

enum { GROUPS_MAX = 40 };

struct shape {
    int64_t tokens;
    int64_t outputs;
    int64_t inputs;
    int64_t groups;
    int32_t offsets[GROUPS_MAX + 1];
};

/* Groups have few rows on average, but for those of 600 tokens. */
static const struct shape SHAPES[] = {
    {.tokens = 1, .outputs = 1, .inputs = 1, .groups = 1},
    {.tokens = 3, .outputs = 17, .inputs = 129, .groups = 1},
    {.tokens = 129, .outputs = 3, .inputs = 17, .groups = 1},
    {.tokens = 130, .outputs = 129, .inputs = 67, .groups = 1},
    {.tokens = 1, .outputs = 300, .inputs = 1000, .groups = 1},
    {.tokens = 600, .outputs = 8, .inputs = 500, .groups = 1},
    {.tokens = 90, .outputs = 33, .inputs = 65, .groups = 4, .offsets = {0, 0, 50, 51, 90}},
    {.tokens = 300, .outputs = 33, .inputs = 65, .groups = 5, .offsets = {0, 7, 7, 200, 300, 300}},
    {.tokens = 300, .outputs = 65, .inputs = 129, .groups = 3, .offsets = {0, 0, 300, 300}},
    {.tokens = 0, .outputs = 5, .inputs = 7, .groups = 2, .offsets = {0, 0, 0}},
    {.tokens = 150, .outputs = 136, .inputs = 72, .groups = 3, .offsets = {0, 70, 70, 150}},
    {.tokens = 600, .outputs = 5, .inputs = 9, .groups = 2, .offsets = {0, 520, 600}},
    {.tokens = 45,
     .outputs = 8,
     .inputs = 16,
     .groups = 40,
     .offsets = {[34] = 13, 13, 13, 45, 45, 45, 45}},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };

/* One product: its operands here and on the device. */
struct fixture {
    struct lq_device *device;
    struct lq_op_linear op;
    const int32_t *offsets; /* NULL with one group */
    size_t x_count;
    size_t w_count;
    size_t y_count;
    const float *x;
    const float *w;
    const float *y;
};

static struct fixture fixture_of(struct lq_device *device, const struct shape *shape,
                                 enum lq_linear_pass pass)
{
    struct fixture f = {.device = device,
                        .op = {.pass = pass,
                               .tokens = shape->tokens,
                               .outputs = shape->outputs,
                               .inputs = shape->inputs,
                               .groups = shape->groups,
                               .scale = 1.0},
                        .offsets = shape->groups > 1 ? shape->offsets : NULL};
    const size_t groups = (size_t)shape->groups;
    f.x_count = (size_t)(shape->tokens * shape->inputs);
    f.w_count = groups * (size_t)(shape->outputs * shape->inputs);
    f.y_count = (size_t)(shape->tokens * shape->outputs);
    f.x = random_inputs(device, f.x_count, 1, 1.0);
    f.w = random_inputs(device, f.w_count, 2, 0.5);
    f.y = random_inputs(device, f.y_count, 3, 2.0);
    f.op.x = upload(device, f.x, f.x_count);
    f.op.w = upload(device, f.w, f.w_count);
    f.op.y = upload(device, f.y, f.y_count);
    f.op.offsets =
        groups > 1 ? upload_bytes(device, f.offsets, (groups + 1) * sizeof(int32_t)) : NULL;
    return f;
}

static int64_t group_of(const struct fixture *f, int64_t token)
{
    int64_t g = 0;
    while (f->offsets != NULL && token >= f->offsets[g + 1]) {
        g++;
    }
    return g;
}

/* Adds the product, scaled, to `out`, which is as long as what the pass writes. */
static void add_reference(const struct fixture *f, double *out)
{
    const struct lq_op_linear *op = &f->op;
    const float *x = f->x;
    const float *y = f->y;
    for (int64_t t = 0; t < op->tokens; t++) {
        const int64_t w_at = group_of(f, t) * op->outputs * op->inputs;
        const float *w = f->w + w_at;
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

/* The operand that the pass writes: where it is, what was there, and its length. */
struct written {
    void **at;
    const float *before;
    size_t count;
};

static struct written written_by(struct fixture *f)
{
    switch (f->op.pass) {
    case LQ_LINEAR_FORWARD:
        return (struct written){&f->op.y, f->y, f->y_count};
    case LQ_LINEAR_INPUT:
        return (struct written){&f->op.x, f->x, f->x_count};
    case LQ_LINEAR_WEIGHT:
        break;
    }
    return (struct written){&f->op.w, f->w, f->w_count};
}

static void check_pass(struct fixture f, const double *product, bool accumulate)
{
    const struct written out = written_by(&f);
    double *want = accumulate ? widen(out.before, out.count) : zero_doubles(out.count);
    f.op.scale = accumulate ? 0.25 : 1.0;
    f.op.accumulate = accumulate;
    *out.at = accumulate ? upload(f.device, out.before, out.count) : poisoned(f.device, out.count);
    for (size_t i = 0; i < out.count; i++) {
        want[i] += f.op.scale * product[i];
    }
    OK(subject()->linear(f.device, &f.op, &err));
    assert_near("linear", download(f.device, *out.at, out.count), want, out.count,
                within(f.device, FORWARD_TOLERANCE));
}

START_TEST(products_and_gradients_meet_the_triple_loop)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    for (int pass = LQ_LINEAR_FORWARD; pass <= LQ_LINEAR_WEIGHT; pass++) {
        struct fixture f = fixture_of(device, &SHAPES[_i / VARIANTS], (enum lq_linear_pass)pass);
        double *product = zero_doubles(written_by(&f).count);
        add_reference(&f, product);
        const bool all = _i % VARIANTS == 0;
        const bool accumulate = (_i + pass) % 2 == 0;
        if (all || !accumulate) {
            check_pass(f, product, false);
        }
        if (all || accumulate) {
            check_pass(f, product, true);
        }
    }
}
END_TEST

START_TEST(weights_of_empty_groups_have_no_gradient)
{
    struct lq_device *device = open_device(1 + _i);
    struct fixture f = fixture_of(device, &SHAPES[8], LQ_LINEAR_WEIGHT);
    const size_t one = f.w_count / 3;
    f.op.accumulate = true;
    OK(subject()->linear(device, &f.op, &err));
    assert_same("accumulated", download(device, f.op.w, one), f.w, one);
    f.op.w = poisoned(device, f.w_count);
    f.op.accumulate = false;
    OK(subject()->linear(device, &f.op, &err));
    const float *written = download(device, f.op.w, f.w_count);
    assert_same("written", written, zero_floats(one), one);
    assert_same("written", written + 2 * one, zero_floats(one), one);
}
END_TEST

/* What leads to sum of d_y (x w^T), d_y being y. */
struct differentiated {
    const struct fixture *f;
    const double *x;
    const double *w;
};

static double loss_of(const void *context)
{
    const struct differentiated *d = context;
    const struct lq_op_linear *op = &d->f->op;
    double loss = 0.0;
    for (int64_t t = 0; t < op->tokens; t++) {
        const double *w = d->w + group_of(d->f, t) * op->outputs * op->inputs;
        for (int64_t o = 0; o < op->outputs; o++) {
            double y = 0.0;
            for (int64_t i = 0; i < op->inputs; i++) {
                y += op->scale * d->x[t * op->inputs + i] * w[o * op->inputs + i];
            }
            loss += y * (double)d->f->y[t * op->outputs + o];
        }
    }
    return loss;
}

START_TEST(gradients_are_those_of_the_product)
{
    static const struct shape SHAPE = {
        .tokens = 9, .outputs = 5, .inputs = 7, .groups = 3, .offsets = {0, 4, 4, 9}};
    struct lq_device *device = open_device(1 + _i);
    struct fixture f = fixture_of(device, &SHAPE, LQ_LINEAR_INPUT);
    f.op.scale = 0.5;
    double *x = widen(f.x, f.x_count);
    double *w = widen(f.w, f.w_count);
    const struct differentiated d = {&f, x, w};
    const double *d_x = gradient_of(loss_of, &d, x, f.x_count);
    const double *d_w = gradient_of(loss_of, &d, w, f.w_count);
    const double tolerance = within(device, BACKWARD_TOLERANCE);
    void *inputs = f.op.x;
    f.op.x = poisoned(device, f.x_count);
    OK(subject()->linear(device, &f.op, &err));
    assert_near("d_x", download(device, f.op.x, f.x_count), d_x, f.x_count, tolerance);
    f.op.pass = LQ_LINEAR_WEIGHT;
    f.op.x = inputs;
    f.op.w = poisoned(device, f.w_count);
    OK(subject()->linear(device, &f.op, &err));
    assert_near("d_w", download(device, f.op.w, f.w_count), d_w, f.w_count, tolerance);
}
END_TEST

START_TEST(the_same_bytes_come_out_every_time)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const int pass = _i / VARIANTS;
    struct fixture f = fixture_of(device, &SHAPES[10], (enum lq_linear_pass)pass);
    const struct written out = written_by(&f);
    const float *first = NULL;
    for (uint64_t seed = 0; seed < 3; seed++) {
        subject_order(seed);
        *out.at = poisoned(device, out.count);
        OK(subject()->linear(device, &f.op, &err));
        const float *got = download(device, *out.at, out.count);
        first = seed == 0 ? got : first;
        assert_same("again", got, first, out.count);
    }
}
END_TEST

START_TEST(the_tally_counts_flops_and_the_weights_of_groups_with_rows)
{
    struct lq_device *device = open_device(1 + _i);
    struct fixture f = fixture_of(device, &SHAPES[7], LQ_LINEAR_FORWARD);
    const double flop = 2.0 * 300.0 * 33.0 * 65.0;
    const double weight_bytes = 3.0 * (double)element_bytes(device) * 33.0 * 65.0;
    struct lq_tally want = {0};
    for (int pass = LQ_LINEAR_FORWARD; pass <= LQ_LINEAR_WEIGHT; pass++) {
        f.op.pass = (enum lq_linear_pass)pass;
        f.op.accumulate = pass == LQ_LINEAR_INPUT;
        OK(subject()->linear(device, &f.op, &err));
        want = (struct lq_tally){.flop = want.flop + flop,
                                 .weight_bytes = want.weight_bytes + weight_bytes,
                                 .calls = want.calls + 1.0};
        if (pass != LQ_LINEAR_FORWARD) { /* once of one operation, once of two */
            assert_tally(device, want);
            want = (struct lq_tally){0};
        }
    }
    assert_tally(device, want);
}
END_TEST

START_TEST(the_tally_of_adapters_counts_their_activations)
{
    struct lq_device *device = open_device(1 + _i);
    static const double TRAFFIC[3][2] = {[LQ_LINEAR_FORWARD] = {129.0 + 17.0, 129.0 + 2.0 * 17.0},
                                         [LQ_LINEAR_INPUT] = {129.0 + 17.0, 2.0 * 129.0 + 17.0},
                                         [LQ_LINEAR_WEIGHT] = {129.0 + 17.0, 129.0 + 17.0}};
    struct fixture f = fixture_of(device, &SHAPES[1], LQ_LINEAR_FORWARD);
    const double bytes = 3.0 * (double)element_bytes(device);
    f.op.adapter = true;
    for (int pass = LQ_LINEAR_FORWARD; pass <= LQ_LINEAR_WEIGHT; pass++) {
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            f.op.pass = (enum lq_linear_pass)pass;
            f.op.accumulate = accumulate == 1;
            OK(subject()->linear(device, &f.op, &err));
            assert_tally(device,
                         (struct lq_tally){.flop = 2.0 * 3.0 * 17.0 * 129.0,
                                           .traffic_bytes = bytes * TRAFFIC[pass][accumulate],
                                           .calls = 1.0});
        }
    }
}
END_TEST

START_TEST(adapters_of_groups_count_no_weights)
{
    struct lq_device *device = open_device(1 + _i);
    struct fixture f = fixture_of(device, &SHAPES[7], LQ_LINEAR_FORWARD);
    f.op.adapter = true;
    OK(subject()->linear(device, &f.op, &err));
    const double bytes = 300.0 * (33.0 + 65.0) * (double)element_bytes(device);
    assert_tally(
        device,
        (struct lq_tally){.flop = 2.0 * 300.0 * 33.0 * 65.0, .traffic_bytes = bytes, .calls = 1.0});
}
END_TEST

START_TEST(arithmetic_that_is_not_offered_is_refused)
{
    struct lq_device *device = open_device(1 + _i);
    struct fixture f = fixture_of(device, &SHAPES[0], LQ_LINEAR_FORWARD);
    struct lq_device_info info;
    size_t count = 0;
    OK(subject()->list(&info, 1, &count, &err));
    ck_assert_uint_ne(info.arithmetics & LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_NATIVE), 0);
    for (unsigned one = LQ_ARITHMETIC_TF32; one <= LQ_ARITHMETIC_FP8; one++) {
        struct lq_error refused = {0};
        f.op.arithmetic = (enum lq_arithmetic)one;
        if ((info.arithmetics & LQ_ARITHMETIC_BIT(one)) == 0) {
            ck_assert_int_eq(subject()->linear(device, &f.op, &refused), LQ_EDEVICE);
            ck_assert_str_ne(refused.detail, "");
        }
    }
    assert_tally(device, (struct lq_tally){0});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("linear");
    TCase *tests = tcase_create("linear");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, products_and_gradients_meet_the_triple_loop, 0,
                        SHAPE_COUNT * VARIANTS);
    tcase_add_loop_test(tests, weights_of_empty_groups_have_no_gradient, 0, VARIANTS);
    tcase_add_loop_test(tests, gradients_are_those_of_the_product, 0, VARIANTS);
    tcase_add_loop_test(tests, the_same_bytes_come_out_every_time, 0, 3 * VARIANTS);
    tcase_add_loop_test(tests, the_tally_counts_flops_and_the_weights_of_groups_with_rows, 0,
                        VARIANTS);
    tcase_add_loop_test(tests, the_tally_of_adapters_counts_their_activations, 0, VARIANTS);
    tcase_add_loop_test(tests, adapters_of_groups_count_no_weights, 0, VARIANTS);
    tcase_add_loop_test(tests, arithmetic_that_is_not_offered_is_refused, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
