/* The selective scan of a backend against its recurrence in double precision. */
#include "tests/kernels/tensor.h"
#include "tests/unit/check_main.h"

#include <math.h>

struct shape {
    int64_t rows;
    int64_t tokens;
    int64_t channels;
    int64_t states;
};

/* Blocks have 16 channels and backward's chunks here 1 .. 12 tokens on the CPU; on CUDA as many
 * channels as are 256 over the states, in up to eight groups of states, and chunks up to 16. Rows
 * that fill the device walk through their blocks one after the other: 130 do. */
static const struct shape SCANS[] = {{1, 1, 1, 1},   {2, 3, 2, 16},   {1, 17, 16, 1},
                                     {2, 17, 33, 4}, {1, 129, 3, 16}, {3, 129, 20, 2},
                                     {1, 5, 2, 256}, {2, 18, 9, 37},  {130, 2, 9, 20}};
enum { SCANS_COUNT = sizeof SCANS / sizeof *SCANS };

struct scan {
    struct lq_device *device;
    struct shape shape;
    const float *d_out;
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

static struct scan make_scan(struct lq_device *device, const struct shape *s, double step_spread)
{
    const int64_t tokens = s->rows * s->tokens;
    struct scan scan = {.device = device,
                        .shape = *s,
                        .x = make_tensor(device, tokens * s->channels, 1, 1.0, false),
                        .step = make_tensor(device, tokens * s->channels, 2, step_spread, false),
                        .bias = make_tensor(device, s->channels, 3, 1.0, true),
                        .a_log = make_tensor(device, s->channels * s->states, 4, 1.0, true),
                        .b = make_tensor(device, tokens * s->states, 5, 1.0, false),
                        .c = make_tensor(device, tokens * s->states, 6, 1.0, false),
                        .skip = make_tensor(device, s->channels, 7, 1.0, true)};
    scan.d_out = random_inputs(device, scan.x.n, 8, 1.0);
    scan.op = (struct lq_op_scan){.rows = s->rows,
                                  .tokens = s->tokens,
                                  .channels = s->channels,
                                  .states = s->states,
                                  .x = scan.x.at,
                                  .step = scan.step.at,
                                  .bias = scan.bias.at,
                                  .a_log = scan.a_log.at,
                                  .b = scan.b.at,
                                  .c = scan.c.at,
                                  .skip = scan.skip.at,
                                  .out = poisoned(device, scan.x.n),
                                  .d_out = upload(device, scan.d_out, scan.x.n),
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
    return dot(scan->out, scan->d_out, scan->x.n);
}

static void check_scan(const struct scan *scan)
{
    struct lq_device *device = scan->device;
    scan_loss(scan);
    assert_near("out", download(device, scan->op.out, scan->x.n), scan->out, scan->x.n,
                within(device, FORWARD_TOLERANCE));
    check_tensor(device, "d_x", &scan->x, scan_loss, scan);
    check_tensor(device, "d_step", &scan->step, scan_loss, scan);
    check_tensor(device, "d_bias", &scan->bias, scan_loss, scan);
    check_tensor(device, "d_a_log", &scan->a_log, scan_loss, scan);
    check_tensor(device, "d_b", &scan->b, scan_loss, scan);
    check_tensor(device, "d_c", &scan->c, scan_loss, scan);
    check_tensor(device, "d_skip", &scan->skip, scan_loss, scan);
}

static void run_scan(const struct scan *scan)
{
    OK(subject()->scan(scan->device, &scan->op, LQ_PASS_FORWARD, &err));
    OK(subject()->scan(scan->device, &scan->op, LQ_PASS_BACKWARD, &err));
}

START_TEST(scan_is_the_recurrence_and_its_gradient)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const struct scan scan = make_scan(device, &SCANS[_i / VARIANTS], 1.0);
    run_scan(&scan);
    check_scan(&scan);
}
END_TEST

/* Steps of some -100 .. 100: the softplus is 0, or the step itself and the state forgotten. */
START_TEST(scan_stands_extreme_steps)
{
    const struct shape shape = {1, 17, 5, 3};
    struct lq_device *device = open_device(1 + _i);
    const struct scan scan = make_scan(device, &shape, 40.0);
    run_scan(&scan);
    check_scan(&scan);
}
END_TEST

static void assert_same_scans(const struct scan *a, const struct scan *b)
{
    const struct {
        const char *what;
        const void *a;
        const void *b;
        size_t n;
    } OUTPUTS[] = {{"out", a->op.out, b->op.out, a->x.n},
                   {"d_x", a->op.d_x, b->op.d_x, a->x.n},
                   {"d_step", a->op.d_step, b->op.d_step, a->x.n},
                   {"d_b", a->op.d_b, b->op.d_b, a->b.n},
                   {"d_c", a->op.d_c, b->op.d_c, a->c.n}};
    for (size_t i = 0; i < sizeof OUTPUTS / sizeof OUTPUTS[0]; i++) {
        assert_same(OUTPUTS[i].what, download(a->device, OUTPUTS[i].a, OUTPUTS[i].n),
                    download(b->device, OUTPUTS[i].b, OUTPUTS[i].n), OUTPUTS[i].n);
    }
}

START_TEST(scan_is_the_same_in_every_order)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const struct shape *shape = &SCANS[_i / VARIANTS == 0 ? 3 : 7];
    struct scan first = {0};
    for (uint64_t seed = 0; seed < 4; seed++) {
        subject_order(seed);
        const struct scan more = make_scan(device, shape, 1.0);
        run_scan(&more);
        first = seed == 0 ? more : first;
        assert_same_scans(&more, &first);
        const float *got = download(device, more.op.d_a_log, more.a_log.n);
        assert_same("d_a_log", got, download(device, first.op.d_a_log, first.a_log.n),
                    first.a_log.n);
    }
}
END_TEST

START_TEST(scan_leaves_out_gradients_of_frozen_weights)
{
    struct lq_device *device = open_device(1 + _i);
    const struct scan all = make_scan(device, &SCANS[3], 1.0);
    struct scan frozen = make_scan(device, &SCANS[3], 1.0);
    frozen.op.d_a_log = frozen.op.d_skip = frozen.op.d_bias = NULL;
    run_scan(&all);
    run_scan(&frozen);
    assert_same_scans(&frozen, &all);
}
END_TEST

START_TEST(scan_tally_follows_its_rule)
{
    struct lq_device *device = open_device(1 + _i);
    const struct scan scan = make_scan(device, &SCANS[3], 1.0);
    const double bytes = (double)element_bytes(device);
    const double channels = 2.0 * 17.0 * 33.0;
    const double states = 2.0 * 17.0 * 4.0;
    OK(subject()->scan(device, &scan.op, LQ_PASS_FORWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 9.0 * 4.0 * channels,
                                           .traffic_bytes = bytes * (3.0 * channels + 2.0 * states),
                                           .calls = 1.0});
    OK(subject()->scan(device, &scan.op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 18.0 * 4.0 * channels,
                                           .traffic_bytes = bytes * (5.0 * channels + 4.0 * states),
                                           .calls = 1.0});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan");
    TCase *tests = tcase_create("scan");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, scan_is_the_recurrence_and_its_gradient, 0, SCANS_COUNT * VARIANTS);
    tcase_add_loop_test(tests, scan_stands_extreme_steps, 0, VARIANTS);
    tcase_add_loop_test(tests, scan_is_the_same_in_every_order, 0, 2 * VARIANTS);
    tcase_add_loop_test(tests, scan_leaves_out_gradients_of_frozen_weights, 0, VARIANTS);
    tcase_add_loop_test(tests, scan_tally_follows_its_rule, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
