/* What a training step needs around its layers, on the CPU backend: dequantisation, AdamW and the
 * cross-entropy, against their definitions in double precision. */
#include "core/base/normal.h"
#include "kernels/cpu/cpu.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { BLOCK = 64, SCALES_BLOCK = 256 };

/* QLoRA, appendix E: 8 quantiles above and 7 below, evenly spaced from 1/2 to the mean of 1 - 1/32
 * and 1 - 1/30, and 0. */
START_TEST(nf4_is_quantiles_of_a_normal_distribution)
{
    const double most = 1.0 - (1.0 / 32.0 + 1.0 / 30.0) / 2.0;
    const double unit = lq_normal_quantile(most);
    for (int i = 0; i < 8; i++) {
        const double above = lq_normal_quantile(0.5 + (most - 0.5) * (i + 1) / 8.0) / unit;
        ck_assert_double_eq_tol((double)LQ_NF4[8 + i], above, 1e-6);
    }
    for (int i = 0; i < 8; i++) {
        const double below =
            i == 7 ? 0.0 : lq_normal_quantile(most - (most - 0.5) * i / 7.0) / unit;
        ck_assert_double_eq_tol((double)LQ_NF4[i], -below, 1e-6);
    }
}
END_TEST

/* The values of bitsandbytes' create_dynamic_map() that can be read off its definition. */
START_TEST(code8_is_the_signed_dynamic_map)
{
    float code8[256];
    lq_code8(code8);
    for (int i = 1; i < 256; i++) {
        ck_assert(code8[i] > code8[i - 1]);
    }
    for (int i = 0; i < 127; i++) {
        ck_assert(code8[i] == -code8[254 - i]);
    }
    ck_assert(code8[127] == 0.0F);
    ck_assert(code8[255] == 1.0F);
    ck_assert_double_eq_tol((double)code8[254], 0.99296875, 1e-7);
    ck_assert_double_eq_tol((double)code8[128], 0.55e-6, 1e-13);
    ck_assert_double_eq_tol((double)code8[129], 0.325e-5, 1e-12);
    ck_assert_double_eq_tol((double)code8[130], 0.775e-5, 1e-12);
}
END_TEST

static const int64_t SIZES[] = {1, 2, 63, 64, 65, 129, 16384, 16385, 40003};
enum { SIZES_COUNT = sizeof SIZES / sizeof *SIZES };

/* Packed weights and their scales: quantised again with `absmax`, or as they are. */
struct packed {
    struct lq_op_dequantization op;
    float code8[256];
};

static uint8_t *random_bytes(size_t n, uint64_t seed)
{
    const float *x = random_floats(n, seed, 100.0);
    uint8_t *bytes = (uint8_t *)zero_floats(n / sizeof(float) + 1);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)((int)x[i] & 0xff);
    }
    return bytes;
}

static struct packed make_packed(int64_t n, bool twice)
{
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    const size_t scales = (size_t)((blocks + SCALES_BLOCK - 1) / SCALES_BLOCK);
    struct packed made = {.op = {.n = n,
                                 .packed = random_bytes((size_t)(n + 1) / 2, 1),
                                 .absmax = twice ? random_bytes((size_t)blocks, 2) : NULL,
                                 .absmax_scale = twice ? random_floats(scales, 3, 0.1) : NULL,
                                 .scales = twice ? NULL : random_floats((size_t)blocks, 4, 0.1),
                                 .offset = 0.25F,
                                 .out = poisoned_floats((size_t)n + 1)}};
    lq_code8(made.code8);
    return made;
}

static float weight_of(const struct packed *packed, int64_t i)
{
    const struct lq_op_dequantization *op = &packed->op;
    const int64_t block = i / BLOCK;
    const float scale = op->absmax == NULL ? op->scales[block]
                                           : packed->code8[op->absmax[block]] *
                                                     op->absmax_scale[block / SCALES_BLOCK] +
                                                 op->offset;
    const int byte = op->packed[i / 2];
    return LQ_NF4[i % 2 == 0 ? byte >> 4 : byte & 15] * scale;
}

static void check_dequantization(int64_t n, bool twice, int threads)
{
    const struct packed packed = make_packed(n, twice);
    struct lq_device *device = open_device(threads);
    OK(lq_cpu_dequantize(device, &packed.op, &err));
    const float *out = packed.op.out;
    for (int64_t i = 0; i < n; i++) {
        ck_assert_msg(out[i] == weight_of(&packed, i), "[%lld] of %lld", (long long)i,
                      (long long)n);
    }
    ck_assert(isnan(out[n]));
    const double scales =
        twice ? (double)n / 64.0 + 4.0 * (double)n / 16384.0 : 4.0 * (double)n / 64.0;
    assert_tally(device,
                 (struct lq_tally){.stream_bytes = (double)n / 2.0 + scales + 4.0 * (double)n,
                                   .calls = 1.0});
}

START_TEST(dequantized_weights_are_those_of_the_tables)
{
    for (int threads = 1; threads <= 3; threads++) {
        check_dequantization(SIZES[_i], false, threads);
        check_dequantization(SIZES[_i], true, threads);
    }
}
END_TEST

static int nearest(const float *table, int n, double x)
{
    int best = 0;
    for (int i = 1; i < n; i++) {
        if (fabs((double)table[i] - x) < fabs((double)table[best] - x)) {
            best = i;
        }
    }
    return best;
}

static double largest(const float *x, int64_t n)
{
    double most = 0.0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i]));
    }
    return most;
}

/* Blocks' largest weights, and their mean. */
static double find_absmax(const float *weights, int64_t blocks, float *absmax)
{
    double sum = 0.0;
    for (int64_t block = 0; block < blocks; block++) {
        absmax[block] = (float)largest(weights + block * BLOCK, BLOCK);
        sum += (double)absmax[block];
    }
    return sum / (double)blocks;
}

/* Nearest codes of absmax - offset, for blocks of `scales`. */
static uint8_t *quantize_scales(const struct packed *packed, const float *absmax, int64_t blocks,
                                float *scales)
{
    uint8_t *codes = random_bytes((size_t)blocks, 3);
    float *centred = zero_floats((size_t)blocks);
    for (int64_t block = 0; block < blocks; block++) {
        centred[block] = absmax[block] - packed->op.offset;
    }
    for (int64_t first = 0; first < blocks; first += SCALES_BLOCK) {
        const int64_t end = first + SCALES_BLOCK < blocks ? first + SCALES_BLOCK : blocks;
        const double scale = largest(centred + first, end - first);
        scales[first / SCALES_BLOCK] = (float)scale;
        for (int64_t block = first; block < end; block++) {
            codes[block] = (uint8_t)nearest(packed->code8, 256, (double)centred[block] / scale);
        }
    }
    return codes;
}

static uint8_t *quantize_weights(const float *weights, const float *absmax, int64_t n)
{
    uint8_t *codes = random_bytes((size_t)n / 2, 2);
    for (int64_t i = 0; i < n; i += 2) {
        const double scale = (double)absmax[i / BLOCK];
        codes[i / 2] = (uint8_t)(nearest(LQ_NF4, 16, (double)weights[i] / scale) << 4 |
                                 nearest(LQ_NF4, 16, (double)weights[i + 1] / scale));
    }
    return codes;
}

START_TEST(weights_survive_quantization)
{
    enum { BLOCKS = 300, N = BLOCKS * BLOCK };
    const float *weights = random_floats(N, 1, 0.02);
    float *absmax = zero_floats(BLOCKS);
    float scales[2];
    struct packed packed = make_packed(N, true);
    packed.op.offset = (float)find_absmax(weights, BLOCKS, absmax);
    packed.op.packed = quantize_weights(weights, absmax, N);
    packed.op.absmax = quantize_scales(&packed, absmax, BLOCKS, scales);
    packed.op.absmax_scale = scales;
    OK(lq_cpu_dequantize(open_device(2), &packed.op, &err));
    const float *out = packed.op.out;
    for (int64_t i = 0; i < N; i++) {
        /* largest gaps: of nf4 between -1 and its neighbour, of code8 0.9 / 64; 1e-6 for fp32 */
        const double code = (1.0 + (double)LQ_NF4[1]) / 2.0 * (double)absmax[i / BLOCK];
        const double scale = 0.9 / 64.0 / 2.0 * (double)scales[i / BLOCK / SCALES_BLOCK];
        const double error = fabs((double)out[i] - (double)weights[i]);
        ck_assert_msg(error <= (code + scale) * (1.0 + 1e-6), "[%lld] is off by %g", (long long)i,
                      error);
    }
}
END_TEST

static const struct lq_op_adamw ADAMW = {
    .rate = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .decay = 0.1};

/* Algorithm 2 of arXiv 1711.05101 with a schedule of 1. */
static void step_adamw(const struct lq_op_adamw *op, double *parameter, double *first,
                       double *second)
{
    const float *gradient = op->gradient;
    for (int64_t i = 0; i < op->n; i++) {
        const double g = (double)gradient[i];
        first[i] = op->beta1 * first[i] + (1.0 - op->beta1) * g;
        second[i] = op->beta2 * second[i] + (1.0 - op->beta2) * g * g;
        const double m = first[i] / (1.0 - pow(op->beta1, (double)op->step));
        const double v = second[i] / (1.0 - pow(op->beta2, (double)op->step));
        parameter[i] -= op->rate * (m / (sqrt(v) + op->epsilon) + op->decay * parameter[i]);
    }
}

START_TEST(adamw_follows_its_recurrence)
{
    const size_t sizes[] = {1, 17, 50003};
    const size_t n = sizes[_i];
    float *parameter = random_floats(n, 1, 0.02);
    float *first = zero_floats(n);
    float *second = zero_floats(n);
    double *wide_parameter = widen(parameter, n);
    double *wide_first = zero_doubles(n);
    double *wide_second = zero_doubles(n);
    struct lq_op_adamw op = ADAMW;
    op.n = (int64_t)n;
    op.parameter = parameter;
    op.first = first;
    op.second = second;
    struct lq_device *device = open_device(1 + _i);
    for (op.step = 1; op.step <= 10; op.step++) {
        op.gradient = random_floats(n, 10 + (uint64_t)op.step, 1e-3);
        OK(lq_cpu_adamw(device, &op, &err));
        step_adamw(&op, wide_parameter, wide_first, wide_second);
    }
    assert_near("parameter", parameter, wide_parameter, n, FORWARD_TOLERANCE);
    assert_near("first moment", first, wide_first, n, FORWARD_TOLERANCE);
    assert_near("second moment", second, wide_second, n, FORWARD_TOLERANCE);
    assert_tally(device, (struct lq_tally){.stream_bytes = 10.0 * 28.0 * (double)n, .calls = 10.0});
}
END_TEST

START_TEST(adamw_without_gradients_only_decays)
{
    float parameter[] = {1.0F, -2.0F, 0.0F};
    float zeros[9] = {0.0F};
    struct lq_op_adamw op = ADAMW;
    op.n = 3;
    op.step = 1;
    op.parameter = parameter;
    op.gradient = zeros;
    op.first = zeros + 3;
    op.second = zeros + 6;
    OK(lq_cpu_adamw(open_device(1), &op, &err));
    ck_assert_double_eq_tol((double)parameter[0], 0.999, 1e-7);
    ck_assert_double_eq_tol((double)parameter[1], -1.998, 2e-7);
    ck_assert(parameter[2] == 0.0F);
}
END_TEST

/* Logits of tokens with targets, every third ignored. */
struct classified {
    struct lq_op_loss op;
    size_t n;
    float *logits;
    double *wide;
    double *losses;
    double *gradient;
};

static struct classified make_classified(int64_t tokens, int64_t vocabulary, double spread)
{
    const size_t n = (size_t)(tokens * vocabulary);
    int32_t *targets = poisoned_indices((size_t)tokens);
    for (int64_t t = 0; t < tokens; t++) {
        targets[t] = t % 3 == 1 ? -100 : (int32_t)((t * 7919 + 3) % vocabulary);
    }
    struct classified made = {.n = n,
                              .logits = random_floats(n, 1, spread),
                              .losses = zero_doubles((size_t)tokens),
                              .gradient = zero_doubles(n)};
    made.wide = widen(made.logits, n);
    made.op = (struct lq_op_loss){.tokens = tokens,
                                  .vocabulary = vocabulary,
                                  .scale = 0.125,
                                  .logits = made.logits,
                                  .targets = targets,
                                  .losses = poisoned_floats((size_t)tokens),
                                  .d_logits = poisoned_floats(n)};
    return made;
}

/* Losses and, by the derivative of a softmax, their gradients. */
static double classify(const void *context)
{
    const struct classified *made = context;
    const int64_t vocabulary = made->op.vocabulary;
    double total = 0.0;
    for (int64_t t = 0; t < made->op.tokens; t++) {
        const double *logits = made->wide + t * vocabulary;
        const int32_t target = made->op.targets[t];
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

static void check_loss(struct classified *made, int threads)
{
    struct lq_device *device = open_device(threads);
    OK(lq_cpu_loss(device, &made->op, LQ_PASS_FORWARD, &err));
    OK(lq_cpu_loss(device, &made->op, LQ_PASS_BACKWARD, &err));
    classify(made);
    assert_near("losses", made->op.losses, made->losses, (size_t)made->op.tokens,
                FORWARD_TOLERANCE);
    assert_near("d_logits", made->op.d_logits, made->gradient, made->n, FORWARD_TOLERANCE);
    const float *d_logits = made->op.d_logits;
    for (int64_t i = 0; i < made->op.vocabulary && made->op.tokens > 1; i++) {
        ck_assert(d_logits[made->op.vocabulary + i] == 0.0F); /* the second token is ignored */
    }
    made->op.d_logits = made->logits;
    OK(lq_cpu_loss(device, &made->op, LQ_PASS_BACKWARD, &err));
    assert_near("d_logits in place", made->logits, made->gradient, made->n, FORWARD_TOLERANCE);
    assert_tally(device, (struct lq_tally){.traffic_bytes = 20.0 * (double)made->n, .calls = 3.0});
}

START_TEST(loss_is_the_cross_entropy_and_its_gradient)
{
    const int64_t vocabularies[] = {1, 17, 50304};
    for (int threads = 1; threads <= 3; threads++) {
        struct classified made = make_classified(3, vocabularies[_i], 3.0);
        check_loss(&made, threads);
    }
}
END_TEST

START_TEST(loss_gradient_is_that_of_differences)
{
    struct classified made = make_classified(3, 17, 3.0);
    OK(lq_cpu_loss(open_device(1), &made.op, LQ_PASS_BACKWARD, &err));
    assert_gradient("d_logits", made.op.d_logits, classify, &made, made.wide, made.n);
}
END_TEST

START_TEST(loss_stands_a_huge_logit)
{
    const float huge[] = {1e4F, 3e38F, -3e38F};
    struct classified made = make_classified(3, 17, 3.0);
    made.logits[5] = huge[_i];
    made.logits[2 * 17 + 9] = huge[_i];
    made.wide = widen(made.logits, made.n);
    check_loss(&made, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_training");
    TCase *tcase = tcase_create("training");
    tcase_add_checked_fixture(tcase, NULL, release_all);
    tcase_add_test(tcase, nf4_is_quantiles_of_a_normal_distribution);
    tcase_add_test(tcase, code8_is_the_signed_dynamic_map);
    tcase_add_loop_test(tcase, dequantized_weights_are_those_of_the_tables, 0, SIZES_COUNT);
    tcase_add_test(tcase, weights_survive_quantization);
    tcase_add_loop_test(tcase, adamw_follows_its_recurrence, 0, 3);
    tcase_add_test(tcase, adamw_without_gradients_only_decays);
    tcase_add_loop_test(tcase, loss_is_the_cross_entropy_and_its_gradient, 0, 3);
    tcase_add_test(tcase, loss_gradient_is_that_of_differences);
    tcase_add_loop_test(tcase, loss_stands_a_huge_logit, 0, 3);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
