/* The depthwise convolution of a backend against its sum in double precision. */
#include "tests/kernels/tensor.h"
#include "tests/unit/check_main.h"

#include <math.h>

struct shape {
    int64_t rows;
    int64_t tokens;
    int64_t channels;
    int64_t width;
};

/* Blocks have 64 channels on the CPU, 32 of 64 tokens on CUDA. */
static const struct shape SHAPES[] = {{1, 1, 1, 1},   {2, 3, 2, 4},   {1, 17, 64, 1},
                                      {3, 17, 65, 4}, {2, 129, 5, 4}, {1, 9, 130, 16}};
enum { SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES };

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

struct convolution {
    struct lq_device *device;
    struct shape shape;
    struct lq_op_convolution op;
    const float *d_out;
    struct tensor x;
    struct tensor weight;
    struct tensor bias;
    double *out;
};

static struct convolution make_convolution(struct lq_device *device, const struct shape *s,
                                           double spread)
{
    const int64_t elements = s->rows * s->tokens * s->channels;
    struct convolution made = {.device = device,
                               .shape = *s,
                               .x = make_tensor(device, elements, 1, spread, false),
                               .weight = make_tensor(device, s->channels * s->width, 2, 1.0, true),
                               .bias = make_tensor(device, s->channels, 3, 1.0, true)};
    made.d_out = random_inputs(device, made.x.n, 4, 1.0);
    made.op = (struct lq_op_convolution){.rows = s->rows,
                                         .tokens = s->tokens,
                                         .channels = s->channels,
                                         .width = s->width,
                                         .x = made.x.at,
                                         .weight = made.weight.at,
                                         .bias = made.bias.at,
                                         .out = poisoned(device, made.x.n),
                                         .d_out = upload(device, made.d_out, made.x.n),
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
        for (int64_t j = 0; j < s->width; j++) {
            const int64_t back = s->width - 1 - j;
            if (back <= t) {
                z += made->weight.wide[channel * s->width + j] *
                     made->x.wide[i - back * s->channels];
            }
        }
        made->out[i] = z * sigmoid(z);
    }
    return dot(made->out, made->d_out, made->x.n);
}

static void run_convolution(const struct convolution *made)
{
    struct lq_device *device = made->device;
    const double elements = (double)made->x.n;
    const double bytes = elements * (double)element_bytes(device);
    const double width = (double)made->shape.width;
    OK(subject()->convolution(device, &made->op, LQ_PASS_FORWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 2.0 * width * elements,
                                           .traffic_bytes = 2.0 * bytes,
                                           .calls = 1.0});
    OK(subject()->convolution(device, &made->op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.flop = 4.0 * width * elements,
                                           .traffic_bytes = 3.0 * bytes,
                                           .calls = 1.0});
    convolution_loss(made);
    assert_near("out", download(device, made->op.out, made->x.n), made->out, made->x.n,
                within(device, FORWARD_TOLERANCE));
    check_tensor(device, "d_x", &made->x, convolution_loss, made);
}

START_TEST(convolution_is_the_sum_over_earlier_tokens_and_its_gradient)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const struct convolution made = make_convolution(device, &SHAPES[_i / VARIANTS], 1.0);
    run_convolution(&made);
    check_tensor(device, "d_weight", &made.weight, convolution_loss, &made);
    check_tensor(device, "d_bias", &made.bias, convolution_loss, &made);
}
END_TEST

START_TEST(convolution_stands_large_inputs_and_frozen_weights)
{
    struct lq_device *device = open_device(1 + _i);
    struct convolution made = make_convolution(device, &SHAPES[3], 1000.0);
    made.op.d_weight = NULL;
    made.op.d_bias = NULL;
    run_convolution(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("convolution");
    TCase *tests = tcase_create("convolution");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, convolution_is_the_sum_over_earlier_tokens_and_its_gradient, 0,
                        SHAPES_COUNT * VARIANTS);
    tcase_add_loop_test(tests, convolution_stands_large_inputs_and_frozen_weights, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
