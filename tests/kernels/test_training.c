/* What a training step needs around its layers: AdamW and the cross-entropy of a backend, against
 * their definitions in double precision. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

static const struct lq_op_adamw ADAMW = {
    .rate = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .decay = 0.1};

/* Parameters and both moments, as the device holds them and in double precision. */
struct trained {
    struct lq_op_adamw op;
    double *parameter;
    double *first;
    double *second;
};

/* Algorithm 2 of arXiv 1711.05101 with a schedule of 1. */
static void step_adamw(const struct trained *made, const float *gradient)
{
    const struct lq_op_adamw *op = &made->op;
    for (int64_t i = 0; i < op->n; i++) {
        const double g = (double)gradient[i];
        made->first[i] = op->beta1 * made->first[i] + (1.0 - op->beta1) * g;
        made->second[i] = op->beta2 * made->second[i] + (1.0 - op->beta2) * g * g;
        const double m = made->first[i] / (1.0 - pow(op->beta1, (double)op->step));
        const double v = made->second[i] / (1.0 - pow(op->beta2, (double)op->step));
        made->parameter[i] -=
            op->rate * (m / (sqrt(v) + op->epsilon) + op->decay * made->parameter[i]);
    }
}

/* What fp32 keeps over steps; of the other elements every step is judged by itself. */
static void check_trained(struct lq_device *device, struct trained *made)
{
    const size_t n = (size_t)made->op.n;
    const double tolerance = within(device, FORWARD_TOLERANCE);
    const float *parameter = download(device, made->op.parameter, n);
    const float *first = download(device, made->op.first, n);
    const float *second = download(device, made->op.second, n);
    assert_near("parameter", parameter, made->parameter, n, tolerance);
    assert_near("first moment", first, made->first, n, tolerance);
    assert_near("second moment", second, made->second, n, tolerance);
    if (element_of(device) != LQ_ELEMENT_F32) {
        made->parameter = widen(parameter, n);
        made->first = widen(first, n);
        made->second = widen(second, n);
    }
}

START_TEST(adamw_follows_its_recurrence)
{
    static const size_t COUNTS[] = {1, 17, 50003};
    const size_t n = COUNTS[_i / VARIANTS];
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    /* squares of gradients, and a thousandth of them, within what fp16 holds */
    const double spread = element_of(device) == LQ_ELEMENT_F32 ? 1e-3 : 1.0;
    const float *parameter = random_inputs(device, n, 1, 0.02);
    struct trained made = {.op = ADAMW,
                           .parameter = widen(parameter, n),
                           .first = zero_doubles(n),
                           .second = zero_doubles(n)};
    made.op.n = (int64_t)n;
    made.op.parameter = upload(device, parameter, n);
    made.op.first = upload(device, zero_floats(n), n);
    made.op.second = upload(device, zero_floats(n), n);
    for (made.op.step = 1; made.op.step <= 10; made.op.step++) {
        const float *gradient = random_inputs(device, n, 10 + (uint64_t)made.op.step, spread);
        made.op.gradient = upload(device, gradient, n);
        OK(subject()->adamw(device, &made.op, &err));
        step_adamw(&made, gradient);
        check_trained(device, &made);
    }
    const double bytes = 7.0 * (double)(n * element_bytes(device));
    assert_tally(device, (struct lq_tally){.stream_bytes = 10.0 * bytes, .calls = 10.0});
}
END_TEST

START_TEST(adamw_without_gradients_only_decays)
{
    struct lq_device *device = open_device(1 + _i);
    const float before[] = {1.0F, -2.0F, 0.0F};
    struct lq_op_adamw op = ADAMW;
    op.n = 3;
    op.step = 1;
    op.parameter = upload(device, before, 3);
    op.gradient = upload(device, zero_floats(3), 3);
    op.first = upload(device, zero_floats(3), 3);
    op.second = upload(device, zero_floats(3), 3);
    OK(subject()->adamw(device, &op, &err));
    const float *parameter = download(device, op.parameter, 3);
    ck_assert_double_eq_tol((double)parameter[0], 0.999, within(device, 1e-7));
    ck_assert_double_eq_tol((double)parameter[1], -1.998, within(device, 2e-7));
    ck_assert(parameter[2] == 0.0F);
}
END_TEST

/* Logits of tokens with targets, every third ignored. */
struct classified {
    struct lq_op_loss op; /* of the device's memory */
    size_t n;
    float *logits;
    int32_t *targets;
    double *wide;
    double *losses;
    double *gradient;
};

static struct classified make_classified(const struct lq_device *device, int64_t tokens,
                                         int64_t vocabulary)
{
    const size_t n = (size_t)(tokens * vocabulary);
    struct classified made = {.n = n,
                              .logits = random_inputs(device, n, 1, 3.0),
                              .targets = poisoned_indices((size_t)tokens),
                              .losses = zero_doubles((size_t)tokens),
                              .gradient = zero_doubles(n)};
    for (int64_t t = 0; t < tokens; t++) {
        made.targets[t] = t % 3 == 1 ? -100 : (int32_t)((t * 7919 + 3) % vocabulary);
    }
    made.wide = widen(made.logits, n);
    made.op = (struct lq_op_loss){.tokens = tokens, .vocabulary = vocabulary, .scale = 0.125};
    return made;
}

static void place_classified(struct lq_device *device, struct classified *made)
{
    const size_t tokens = (size_t)made->op.tokens;
    made->op.logits = upload(device, made->logits, made->n);
    made->op.targets = upload_bytes(device, made->targets, tokens * sizeof *made->targets);
    made->op.losses = upload_bytes(device, poisoned_floats(tokens), tokens * sizeof(float));
    made->op.d_logits = poisoned(device, made->n);
}

/* Losses and, by the derivative of a softmax, their gradients. */
static double classify(const void *context)
{
    const struct classified *made = context;
    const int64_t vocabulary = made->op.vocabulary;
    double total = 0.0;
    for (int64_t t = 0; t < made->op.tokens; t++) {
        const double *logits = made->wide + t * vocabulary;
        const int32_t target = made->targets[t];
        double most = -HUGE_VAL;
        double sum = 0.0;
        for (int64_t i = 0; i < vocabulary; i++) {
            most = fmax(most, logits[i]);
        }
        for (int64_t i = 0; i < vocabulary; i++) {
            sum += exp(logits[i] - most);
        }
        made->losses[t] = target < 0 ? 0.0 : most + log(sum) - logits[target];
        for (int64_t i = 0; i < vocabulary; i++) {
            const double p = exp(logits[i] - most) / sum - (i == target ? 1.0 : 0.0);
            made->gradient[t * vocabulary + i] = target < 0 ? 0.0 : made->op.scale * p;
        }
        total += made->op.scale * made->losses[t];
    }
    return total;
}

static void check_loss(struct lq_device *device, struct classified *made)
{
    const size_t tokens = (size_t)made->op.tokens;
    const double tolerance = within(device, FORWARD_TOLERANCE);
    place_classified(device, made);
    OK(subject()->loss(device, &made->op, LQ_PASS_FORWARD, &err));
    OK(subject()->loss(device, &made->op, LQ_PASS_BACKWARD, &err));
    classify(made);
    const float *losses = download_bytes(device, made->op.losses, tokens * sizeof(float));
    assert_near("losses", losses, made->losses, tokens, FORWARD_TOLERANCE);
    const float *d_logits = download(device, made->op.d_logits, made->n);
    assert_near("d_logits", d_logits, made->gradient, made->n, tolerance);
    for (int64_t i = 0; i < made->op.vocabulary && made->op.tokens > 1; i++) {
        ck_assert(d_logits[made->op.vocabulary + i] == 0.0F); /* the second token is ignored */
    }
    void *in_place = upload(device, made->logits, made->n);
    made->op.logits = made->op.d_logits = in_place;
    OK(subject()->loss(device, &made->op, LQ_PASS_BACKWARD, &err));
    assert_same("d_logits in place", download(device, in_place, made->n), d_logits, made->n);
    const double bytes = (double)(made->n * element_bytes(device));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 5.0 * bytes, .calls = 3.0});
}

START_TEST(loss_is_the_cross_entropy_and_its_gradient)
{
    static const int64_t VOCABULARIES[] = {1, 17, 50304, 20001};
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    struct classified made = make_classified(device, 3, VOCABULARIES[_i / VARIANTS]);
    check_loss(device, &made);
}
END_TEST

START_TEST(loss_gradient_is_that_of_differences)
{
    struct lq_device *device = open_device(1);
    struct classified made = make_classified(device, 3, 17);
    place_classified(device, &made);
    OK(subject()->loss(device, &made.op, LQ_PASS_BACKWARD, &err));
    assert_gradient("d_logits", download(device, made.op.d_logits, made.n), classify, &made,
                    made.wide, made.n);
}
END_TEST

START_TEST(loss_stands_a_huge_logit)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const bool small = element_of(device) == LQ_ELEMENT_F16; /* up to 65504 */
    const float huge[] = {1e4F, small ? 6e4F : 3e38F, small ? -6e4F : -3e38F};
    struct classified made = make_classified(device, 3, 17);
    made.logits[5] = huge[_i / VARIANTS];
    made.logits[2 * 17 + 9] = huge[_i / VARIANTS];
    made.logits = rounded(device, made.logits, made.n);
    made.wide = widen(made.logits, made.n);
    check_loss(device, &made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("training");
    TCase *tcase = tcase_create("training");
    tcase_add_checked_fixture(tcase, NULL, release_all);
    tcase_add_loop_test(tcase, adamw_follows_its_recurrence, 0, 3 * VARIANTS);
    tcase_add_loop_test(tcase, adamw_without_gradients_only_decays, 0, VARIANTS);
    tcase_add_loop_test(tcase, loss_is_the_cross_entropy_and_its_gradient, 0, 4 * VARIANTS);
    tcase_add_test(tcase, loss_gradient_is_that_of_differences);
    tcase_add_loop_test(tcase, loss_stands_a_huge_logit, 0, 3 * VARIANTS);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
