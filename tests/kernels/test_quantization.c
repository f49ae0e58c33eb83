/* nf4 weights read back by a backend, against the definition of the format. */
#include "core/base/normal.h"
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

/* Packed weights and their scales in the host's memory: quantised again with `absmax`, or as they
 * are. */
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
                                 .offset = 0.25F}};
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

/* What the device makes of it: n weights, and what follows them. */
static float *dequantize(struct lq_device *device, const struct packed *packed)
{
    struct lq_op_dequantization op = packed->op;
    const size_t n = (size_t)op.n;
    const size_t blocks = (n + BLOCK - 1) / BLOCK;
    const size_t scales = (blocks + SCALES_BLOCK - 1) / SCALES_BLOCK;
    op.packed = upload_bytes(device, op.packed, (n + 1) / 2);
    if (op.absmax != NULL) {
        op.absmax = upload_bytes(device, op.absmax, blocks);
        op.absmax_scale = upload_bytes(device, op.absmax_scale, scales * sizeof(float));
    } else {
        op.scales = upload_bytes(device, op.scales, blocks * sizeof(float));
    }
    op.out = poisoned(device, n + 1);
    OK(subject()->dequantize(device, &op, &err));
    return download(device, op.out, n + 1);
}

static void check_dequantization(struct lq_device *device, int64_t n, bool twice)
{
    const struct packed packed = make_packed(n, twice);
    const float *out = dequantize(device, &packed);
    const double tolerance = within(device, 1e-6); /* of each: a product and a sum in fp32 */
    for (int64_t i = 0; i < n; i++) {
        const double want = (double)weight_of(&packed, i);
        ck_assert_msg(fabs((double)out[i] - want) <= tolerance * (0.01 + fabs(want)),
                      "[%lld] of %lld", (long long)i, (long long)n);
    }
    ck_assert(isnan(out[n]));
    const double scales =
        twice ? (double)n / 64.0 + 4.0 * (double)n / 16384.0 : 4.0 * (double)n / 64.0;
    const double bytes = (double)n / 2.0 + scales + (double)element_bytes(device) * (double)n;
    assert_tally(device, (struct lq_tally){.stream_bytes = bytes, .calls = 1.0});
}

START_TEST(dequantized_weights_are_those_of_the_tables)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    check_dequantization(device, SIZES[_i / VARIANTS], false);
    check_dequantization(device, SIZES[_i / VARIANTS], true);
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
    const float *out = dequantize(open_device(1), &packed);
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

int main(void)
{
    Suite *suite = suite_create("quantization");
    TCase *tcase = tcase_create("quantization");
    tcase_add_checked_fixture(tcase, NULL, release_all);
    tcase_add_test(tcase, nf4_is_quantiles_of_a_normal_distribution);
    tcase_add_test(tcase, code8_is_the_signed_dynamic_map);
    tcase_add_loop_test(tcase, dequantized_weights_are_those_of_the_tables, 0,
                        SIZES_COUNT * VARIANTS);
    tcase_add_test(tcase, weights_survive_quantization);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
