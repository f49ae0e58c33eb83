/* The parts of a Mamba layer that the CPU backend does itself, the selective scan and the
 * convolution, against recurrences in double precision. */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stddef.h>

struct shape {
    int64_t rows;
    int64_t tokens;
    int64_t channels;
    int64_t states; /* or the convolution's width */
};

/* Blocks have 16 channels in the scan and 64 in the convolution; backward's chunks here 1 .. 12
 * tokens. */
static const struct shape SCANS[] = {{1, 1, 1, 1},   {2, 3, 2, 16},   {1, 17, 16, 1},
                                     {2, 17, 33, 4}, {1, 129, 3, 16}, {3, 129, 20, 2},
                                     {1, 5, 2, 256}};
static const struct shape CONVOLUTIONS[] = {{1, 1, 1, 1},   {2, 3, 2, 4},   {1, 17, 64, 1},
                                            {3, 17, 65, 4}, {2, 129, 5, 4}, {1, 9, 130, 16}};
enum {
    SCANS_COUNT = sizeof SCANS / sizeof *SCANS,
    CONVOLUTIONS_COUNT = sizeof CONVOLUTIONS / sizeof *CONVOLUTIONS
};

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* An input or weight: as the operation reads it, in double precision, and its gradient. */
struct tensor {
    size_t n;
    const float *x;
    double *wide;
    float *gradient;
};

/* Gradients that are added to begin as 1, the others as NaN. */
static struct tensor make_tensor(int64_t n, uint64_t seed, double spread, bool added)
{
    const float *x = random_floats((size_t)n, seed, spread);
    float *gradient = poisoned_floats((size_t)n);
    for (int64_t i = 0; added && i < n; i++) {
        gradient[i] = 1.0F;
    }
    return (struct tensor){
        .n = (size_t)n, .x = x, .wide = widen(x, (size_t)n), .gradient = gradient};
}

static void check_tensor(const char *what, const struct tensor *tensor, bool added, loss_fn *loss,
                         const void *context)
{
    float *got = copy_floats(tensor->gradient, tensor->n);
    for (size_t i = 0; added && i < tensor->n; i++) {
        got[i] -= 1.0F;
    }
    for (size_t i = 0; i < tensor->n; i++) {
        ck_assert_msg(isfinite(got[i]), "%s[%zu]", what, i);
    }
    assert_gradient(what, got, loss, context, tensor->wide, tensor->n);
}

struct scan {
    struct shape shape;
    struct lq_op_scan op;
    struct tensor x;
    struct tensor step;
    struct tensor bias;
    struct tensor a_log;
    struct tensor b;
    struct tensor c;
    struct tensor skip;
    double *out;
    double *state; /* [states] */
};

static struct scan make_scan(const struct shape *s, double step_spread)
{
    const int64_t tokens = s->rows * s->tokens;
    struct scan scan = {.shape = *s,
                        .x = make_tensor(tokens * s->channels, 1, 1.0, false),
                        .step = make_tensor(tokens * s->channels, 2, step_spread, false),
                        .bias = make_tensor(s->channels, 3, 1.0, true),
                        .a_log = make_tensor(s->channels * s->states, 4, 1.0, true),
                        .b = make_tensor(tokens * s->states, 5, 1.0, false),
                        .c = make_tensor(tokens * s->states, 6, 1.0, false),
                        .skip = make_tensor(s->channels, 7, 1.0, true)};
    scan.op = (struct lq_op_scan){.rows = s->rows,
                                  .tokens = s->tokens,
                                  .channels = s->channels,
                                  .states = s->states,
                                  .x = scan.x.x,
                                  .step = scan.step.x,
                                  .bias = scan.bias.x,
                                  .a_log = scan.a_log.x,
                                  .b = scan.b.x,
                                  .c = scan.c.x,
                                  .skip = scan.skip.x,
                                  .out = poisoned_floats(scan.x.n),
                                  .d_out = random_floats(scan.x.n, 8, 1.0),
                                  .d_x = scan.x.gradient,
                                  .d_step = scan.step.gradient,
                                  .d_b = scan.b.gradient,
                                  .d_c = scan.c.gradient,
                                  .d_a_log = scan.a_log.gradient,
                                  .d_skip = scan.skip.gradient,
                                  .d_bias = scan.bias.gradient};
    scan.out = zero_doubles(scan.x.n);
    scan.state = zero_doubles((size_t)s->states);
    return scan;
}

static void run_channel(const struct scan *scan, int64_t row, int64_t channel)
{
    const struct shape *s = &scan->shape;
    for (int64_t n = 0; n < s->states; n++) {
        scan->state[n] = 0.0;
    }
    for (int64_t t = row * s->tokens; t < (row + 1) * s->tokens; t++) {
        const double x = scan->x.wide[t * s->channels + channel];
        const double step = scan->step.wide[t * s->channels + channel] + scan->bias.wide[channel];
        const double dt = step > 700.0 ? step : log1p(exp(step));
        double y = scan->skip.wide[channel] * x;
        for (int64_t n = 0; n < s->states; n++) {
            const double a = -exp(scan->a_log.wide[channel * s->states + n]);
            scan->state[n] =
                exp(dt * a) * scan->state[n] + dt * scan->b.wide[t * s->states + n] * x;
            y += scan->c.wide[t * s->states + n] * scan->state[n];
        }
        scan->out[t * s->channels + channel] = y;
    }
}

static double scan_loss(const void *context)
{
    const struct scan *scan = context;
    for (int64_t row = 0; row < scan->shape.rows; row++) {
        for (int64_t channel = 0; channel < scan->shape.channels; channel++) {
            run_channel(scan, row, channel);
        }
    }
    return dot(scan->out, scan->op.d_out, scan->x.n);
}

static void check_scan(const struct scan *scan)
{
    scan_loss(scan);
    assert_near("out", scan->op.out, scan->out, scan->x.n, FORWARD_TOLERANCE);
    check_tensor("d_x", &scan->x, false, scan_loss, scan);
    check_tensor("d_step", &scan->step, false, scan_loss, scan);
    check_tensor("d_bias", &scan->bias, true, scan_loss, scan);
    check_tensor("d_a_log", &scan->a_log, true, scan_loss, scan);
    check_tensor("d_b", &scan->b, false, scan_loss, scan);
    check_tensor("d_c", &scan->c, false, scan_loss, scan);
    check_tensor("d_skip", &scan->skip, true, scan_loss, scan);
}

static void run_scan(const struct scan *scan, int threads)
{
    struct lq_device *device = open_device(threads);
    OK(lq_cpu_scan(device, &scan->op, LQ_PASS_FORWARD, &err));
    OK(lq_cpu_scan(device, &scan->op, LQ_PASS_BACKWARD, &err));
}

START_TEST(scan_is_the_recurrence_and_its_gradient)
{
    for (int threads = 1; threads <= 3; threads++) {
        const struct scan scan = make_scan(&SCANS[_i], 1.0);
        run_scan(&scan, threads);
        check_scan(&scan);
    }
}
END_TEST

/* Steps of some -100 .. 100: the softplus is 0, or the step itself and the state forgotten. */
START_TEST(scan_stands_extreme_steps)
{
    const struct shape shape = {1, 17, 5, 3};
    const struct scan scan = make_scan(&shape, 40.0);
    run_scan(&scan, 2);
    check_scan(&scan);
}
END_TEST

START_TEST(scan_is_the_same_in_every_run)
{
    const struct scan first = make_scan(&SCANS[3], 1.0);
    const struct scan second = make_scan(&SCANS[3], 1.0);
    run_scan(&first, 3);
    run_scan(&second, 3);
    assert_same("d_b", second.op.d_b, first.op.d_b, first.b.n);
    assert_same("d_c", second.op.d_c, first.op.d_c, first.c.n);
    assert_same("d_a_log", second.op.d_a_log, first.op.d_a_log, first.a_log.n);
    assert_same("d_x", second.op.d_x, first.op.d_x, first.x.n);
}
END_TEST

START_TEST(scan_leaves_out_gradients_of_frozen_weights)
{
    const struct scan all = make_scan(&SCANS[3], 1.0);
    struct scan frozen = make_scan(&SCANS[3], 1.0);
    frozen.op.d_a_log = frozen.op.d_skip = frozen.op.d_bias = NULL;
    run_scan(&all, 2);
    run_scan(&frozen, 2);
    assert_same("d_x", frozen.op.d_x, all.op.d_x, all.x.n);
    assert_same("d_b", frozen.op.d_b, all.op.d_b, all.b.n);
}
END_TEST

START_TEST(scan_tally_follows_its_rule)
{
    const struct scan scan = make_scan(&SCANS[3], 1.0);
    const double channels = 2.0 * 17.0 * 33.0;
    const double states = 2.0 * 17.0 * 4.0;
    struct lq_device *device = open_device(2);
    OK(lq_cpu_scan(device, &scan.op, LQ_PASS_FORWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 9.0 * 4.0 * channels,
                                           .traffic_bytes = 4.0 * (3.0 * channels + 2.0 * states),
                                           .calls = 1.0});
    OK(lq_cpu_scan(device, &scan.op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 18.0 * 4.0 * channels,
                                           .traffic_bytes = 4.0 * (5.0 * channels + 4.0 * states),
                                           .calls = 1.0});
}
END_TEST

struct convolution {
    struct shape shape;
    struct lq_op_convolution op;
    struct tensor x;
    struct tensor weight;
    struct tensor bias;
    double *out;
};

static struct convolution make_convolution(const struct shape *s, double spread)
{
    const int64_t elements = s->rows * s->tokens * s->channels;
    struct convolution made = {.shape = *s,
                               .x = make_tensor(elements, 1, spread, false),
                               .weight = make_tensor(s->channels * s->states, 2, 1.0, true),
                               .bias = make_tensor(s->channels, 3, 1.0, true)};
    made.op = (struct lq_op_convolution){.rows = s->rows,
                                         .tokens = s->tokens,
                                         .channels = s->channels,
                                         .width = s->states,
                                         .x = made.x.x,
                                         .weight = made.weight.x,
                                         .bias = made.bias.x,
                                         .out = poisoned_floats(made.x.n),
                                         .d_out = random_floats(made.x.n, 4, 1.0),
                                         .d_x = made.x.gradient,
                                         .d_weight = made.weight.gradient,
                                         .d_bias = made.bias.gradient};
    made.out = zero_doubles(made.x.n);
    return made;
}

static double convolution_loss(const void *context)
{
    const struct convolution *made = context;
    const struct shape *s = &made->shape;
    for (int64_t i = 0; i < (int64_t)made->x.n; i++) {
        const int64_t channel = i % s->channels;
        const int64_t t = i / s->channels % s->tokens;
        double z = made->bias.wide[channel];
        for (int64_t j = 0; j < s->states; j++) {
            const int64_t back = s->states - 1 - j;
            if (back <= t) {
                z += made->weight.wide[channel * s->states + j] *
                     made->x.wide[i - back * s->channels];
            }
        }
        made->out[i] = z * sigmoid(z);
    }
    return dot(made->out, made->op.d_out, made->x.n);
}

static void run_convolution(const struct convolution *made, int threads)
{
    struct lq_device *device = open_device(threads);
    const double elements = (double)made->x.n;
    const double width = (double)made->shape.states;
    OK(lq_cpu_convolution(device, &made->op, LQ_PASS_FORWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 2.0 * width * elements,
                                           .traffic_bytes = 8.0 * elements,
                                           .calls = 1.0});
    OK(lq_cpu_convolution(device, &made->op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 4.0 * width * elements,
                                           .traffic_bytes = 12.0 * elements,
                                           .calls = 1.0});
}

START_TEST(convolution_is_the_sum_over_earlier_tokens_and_its_gradient)
{
    for (int threads = 1; threads <= 3; threads++) {
        const struct convolution made = make_convolution(&CONVOLUTIONS[_i], 1.0);
        run_convolution(&made, threads);
        convolution_loss(&made);
        assert_near("out", made.op.out, made.out, made.x.n, FORWARD_TOLERANCE);
        check_tensor("d_x", &made.x, false, convolution_loss, &made);
        check_tensor("d_weight", &made.weight, true, convolution_loss, &made);
        check_tensor("d_bias", &made.bias, true, convolution_loss, &made);
    }
}
END_TEST

START_TEST(convolution_stands_large_inputs)
{
    struct convolution made = make_convolution(&CONVOLUTIONS[3], 1000.0);
    made.op.d_weight = NULL;
    made.op.d_bias = NULL;
    run_convolution(&made, 2);
    convolution_loss(&made);
    assert_near("out", made.op.out, made.out, made.x.n, FORWARD_TOLERANCE);
    check_tensor("d_x", &made.x, false, convolution_loss, &made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_mamba");
    TCase *scan = tcase_create("scan");
    tcase_add_checked_fixture(scan, NULL, release_all);
    tcase_add_loop_test(scan, scan_is_the_recurrence_and_its_gradient, 0, SCANS_COUNT);
    tcase_add_test(scan, scan_stands_extreme_steps);
    tcase_add_test(scan, scan_is_the_same_in_every_run);
    tcase_add_test(scan, scan_leaves_out_gradients_of_frozen_weights);
    tcase_add_test(scan, scan_tally_follows_its_rule);
    suite_add_tcase(suite, scan);
    TCase *convolution = tcase_create("convolution");
    tcase_add_checked_fixture(convolution, NULL, release_all);
    tcase_add_loop_test(convolution, convolution_is_the_sum_over_earlier_tokens_and_its_gradient, 0,
                        CONVOLUTIONS_COUNT);
    tcase_add_test(convolution, convolution_stands_large_inputs);
    suite_add_tcase(suite, convolution);
    return run_suite(suite);
}
