/* Matmuls of the CUDA backend in tf32 and e4m3 against double precision, and what of them is
 * refused. Those of the elements themselves are in test_linear.c. */
#include "kernels/cuda/shim/control.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

/* Kinds of devices by element, as subject_cuda.c has them. */
enum { F32 = 1, BF16, F16 };

/* Relative norms: two factors rounded to 2^-11; to 2^-4, in the mean of a normal's numbers. */
static const double TF32_TOLERANCE = 1e-3;
static const double FP8_TOLERANCE = 5e-2;

enum { TOKENS = 48, OUTPUTS = 32, INPUTS = 80 };
enum { X_COUNT = TOKENS * INPUTS, W_COUNT = OUTPUTS * INPUTS, Y_COUNT = TOKENS * OUTPUTS };

/* y = scale x w^T of host's numbers, and the same on the device. */
struct product {
    struct lq_device *device;
    struct lq_op_linear op;
    float *x;
    float *w;
    double want[Y_COUNT];
};

static void set_up(void)
{
    lq_shim_capability(9, 0);
}

/* A real GPU may have less than what the shim pretends. */
static bool is_offered(enum lq_arithmetic arithmetic)
{
    struct lq_device_info info;
    size_t count = 0;
    OK(subject()->list(&info, 1, &count, &err));
    return (info.arithmetics & LQ_ARITHMETIC_BIT(arithmetic)) != 0;
}

/* Takes x and w over: `want` and the device's copies are those of the numbers they hold now. */
static void send(struct product *p)
{
    memset(p->want, 0, sizeof p->want);
    for (int t = 0; t < TOKENS; t++) {
        for (int o = 0; o < OUTPUTS; o++) {
            double sum = 0.0;
            for (int i = 0; i < INPUTS; i++) {
                sum += (double)p->x[t * INPUTS + i] * (double)p->w[o * INPUTS + i];
            }
            p->want[t * OUTPUTS + o] = p->op.scale * sum;
        }
    }
    p->op.x = upload(p->device, p->x, X_COUNT);
    p->op.w = upload(p->device, p->w, W_COUNT);
    p->op.y = poisoned(p->device, Y_COUNT);
}

static struct product product_on(int variant, enum lq_arithmetic arithmetic)
{
    struct product p = {.device = open_device(variant),
                        .op = {.tokens = TOKENS,
                               .outputs = OUTPUTS,
                               .inputs = INPUTS,
                               .groups = 1,
                               .scale = 1.0,
                               .arithmetic = arithmetic}};
    p.x = random_inputs(p.device, X_COUNT, 1, 3.0);
    p.w = random_inputs(p.device, W_COUNT, 2, 0.02);
    send(&p);
    return p;
}

static float *multiplied(struct product *p)
{
    OK(subject()->linear(p->device, &p->op, &err));
    return download(p->device, p->op.y, Y_COUNT);
}

START_TEST(tf32_is_near_and_not_fp32)
{
    struct product p = product_on(F32, LQ_ARITHMETIC_TF32);
    if (!is_offered(LQ_ARITHMETIC_TF32)) {
        return;
    }
    const float *rough = multiplied(&p);
    assert_near("tf32", rough, p.want, Y_COUNT, TF32_TOLERANCE);
    p.op.arithmetic = LQ_ARITHMETIC_NATIVE;
    const float *fine = multiplied(&p);
    assert_near("fp32", fine, p.want, Y_COUNT, 1e-5);
    ck_assert_int_ne(memcmp(rough, fine, Y_COUNT * sizeof *fine), 0);
}
END_TEST

START_TEST(tf32_has_gradients_of_groups_too)
{
    static const int32_t OFFSETS[] = {0, 13, 13, TOKENS};
    struct product p = product_on(F32, LQ_ARITHMETIC_NATIVE);
    if (!is_offered(LQ_ARITHMETIC_TF32)) {
        return;
    }
    const size_t written = _i == LQ_LINEAR_INPUT ? X_COUNT : 3 * (size_t)W_COUNT;
    p.op.pass = (enum lq_linear_pass)_i;
    p.op.groups = 3;
    p.op.offsets = upload_bytes(p.device, OFFSETS, sizeof OFFSETS);
    p.op.w = upload(p.device, random_floats(3 * (size_t)W_COUNT, 3, 1.0), 3 * (size_t)W_COUNT);
    p.op.y = upload(p.device, random_floats(Y_COUNT, 4, 1.0), Y_COUNT);
    void **out = _i == LQ_LINEAR_INPUT ? &p.op.x : &p.op.w;
    *out = _i == LQ_LINEAR_INPUT ? poisoned(p.device, written) : p.op.w;
    OK(subject()->linear(p.device, &p.op, &err));
    const double *want = widen(download(p.device, *out, written), written);
    p.op.arithmetic = LQ_ARITHMETIC_TF32;
    OK(subject()->linear(p.device, &p.op, &err));
    assert_near("tf32", download(p.device, *out, written), want, written, TF32_TOLERANCE);
}
END_TEST

START_TEST(fp8_is_near)
{
    struct product p = product_on(BF16 + _i, LQ_ARITHMETIC_FP8);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    assert_near("fp8", multiplied(&p), p.want, Y_COUNT, FP8_TOLERANCE);
    p.op.arithmetic = LQ_ARITHMETIC_NATIVE;
    assert_near("native", multiplied(&p), p.want, Y_COUNT, 1e-2);
}
END_TEST

/* Whole numbers up to 16 have e4m3's four digits, and 448 makes the scale 1 or a power of two. */
START_TEST(fp8_of_what_e4m3_holds_is_exact)
{
    struct product p = product_on(BF16 + _i, LQ_ARITHMETIC_FP8);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    for (int i = 0; i < X_COUNT; i++) {
        p.x[i] = (float)(i % 3 - 1);
    }
    for (int i = 0; i < W_COUNT; i++) {
        p.w[i] = (float)(i * 7 % 33 - 16) * 0x1p-6F;
    }
    p.x[X_COUNT - 1] = -448.0F;
    p.w[5] = 7.0F;
    p.op.scale = 0.5;
    send(&p);
    p.op.accumulate = true;
    const float *before = random_inputs(p.device, Y_COUNT, 3, 4.0);
    p.op.y = upload(p.device, before, Y_COUNT);
    for (int i = 0; i < Y_COUNT; i++) {
        p.want[i] += (double)before[i];
    }
    float *want = zero_floats(Y_COUNT);
    for (int i = 0; i < Y_COUNT; i++) {
        want[i] = (float)p.want[i];
    }
    assert_same("exact", multiplied(&p), rounded(p.device, want, Y_COUNT), Y_COUNT);
}
END_TEST

START_TEST(fp8_of_zeros_is_zero)
{
    struct product p = product_on(BF16 + _i % 2, LQ_ARITHMETIC_FP8);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    memset(p.x, 0, _i < 4 ? X_COUNT * sizeof *p.x : 0);
    memset(p.w, 0, _i > 1 ? W_COUNT * sizeof *p.w : 0);
    send(&p);
    assert_same("zeros", multiplied(&p), zero_floats(Y_COUNT), Y_COUNT);
}
END_TEST

/* The largest numbers of the element, and some that no scale of fp32 brings to 448. */
START_TEST(fp8_survives_extreme_tensors)
{
    static const float LARGEST[] = {0x1.fep127F, 65504.0F};
    static const float LEAST[] = {0x1p-133F, 0x1p-24F};
    struct product p = product_on(BF16 + _i, LQ_ARITHMETIC_FP8);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    memset(p.w, 0, W_COUNT * sizeof *p.w);
    for (int o = 0; o < OUTPUTS; o++) {
        p.w[o * INPUTS + o] = 1.0F;
    }
    for (int i = 0; i < X_COUNT; i++) {
        p.x[i] = i % 2 == 0 ? LARGEST[_i] : -LARGEST[_i];
    }
    send(&p);
    assert_near("largest", multiplied(&p), p.want, Y_COUNT, 1e-2);
    for (int i = 0; i < X_COUNT; i++) {
        p.x[i] = LEAST[_i];
    }
    send(&p);
    const float *small = multiplied(&p);
    for (int i = 0; i < Y_COUNT; i++) {
        ck_assert(small[i] >= 0.0F && small[i] <= 2.0F * LEAST[_i]);
    }
}
END_TEST

START_TEST(fp8_of_no_number_is_none)
{
    struct product p = product_on(BF16 + _i, LQ_ARITHMETIC_FP8);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    p.x[3 * INPUTS + 2] = NAN;
    p.op.x = upload(p.device, p.x, X_COUNT);
    const float *got = multiplied(&p);
    for (int i = 0; i < Y_COUNT; i++) {
        ck_assert_int_eq(isnan(got[i]) != 0, i / OUTPUTS == 3);
    }
}
END_TEST

/* So many numbers that several blocks have some, in any order of blocks and threads. */
START_TEST(fp8_is_the_same_in_any_order)
{
    enum { ROWS = 2048, COUNT = ROWS * 16 };
    struct lq_device *device = open_device(BF16 + _i);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    float *x = random_floats(COUNT, 1, 1.0);
    float *unit = zero_floats(16 * 16);
    for (int i = 0; i < 16; i++) {
        unit[i * 16 + i] = 1.0F;
    }
    x[COUNT - 1 - _i] = 50.0F; /* the last block's */
    struct lq_op_linear op = {.tokens = ROWS,
                              .outputs = 16,
                              .inputs = 16,
                              .groups = 1,
                              .scale = 1.0,
                              .x = upload(device, x, COUNT),
                              .w = upload(device, unit, 16 * 16),
                              .arithmetic = LQ_ARITHMETIC_FP8};
    const float *first = NULL;
    for (uint64_t seed = 0; seed < 4; seed++) {
        subject_order(seed);
        op.y = poisoned(device, COUNT);
        OK(subject()->linear(device, &op, &err));
        const float *got = download(device, op.y, COUNT);
        first = seed == 0 ? got : first;
        assert_same("again", got, first, COUNT);
        assert_near("cast", got, widen(x, COUNT), COUNT, FP8_TOLERANCE);
    }
}
END_TEST

static const struct {
    int major;
    int minor;
    int variant;
    struct lq_op_linear op;
    const char *why;
} REFUSALS[] = {
    {8, 0, BF16, {.arithmetic = LQ_ARITHMETIC_FP8}, "compute capability 8.0 has no fp8 matmuls"},
    {7, 5, F32, {.arithmetic = LQ_ARITHMETIC_TF32}, "compute capability 7.5 has no tf32 matmuls"},
    {9, 0, BF16, {.arithmetic = LQ_ARITHMETIC_TF32}, "tf32 matmuls take fp32"},
    {9, 0, F32, {.arithmetic = LQ_ARITHMETIC_FP8}, "fp8 matmuls take bf16 or fp16"},
    {8, 9, F16, {.arithmetic = LQ_ARITHMETIC_FP8, .pass = LQ_LINEAR_INPUT}, "are for forward"},
    {9, 0, BF16, {.arithmetic = LQ_ARITHMETIC_FP8, .pass = LQ_LINEAR_WEIGHT}, "are for forward"},
    {9, 0, BF16, {.arithmetic = LQ_ARITHMETIC_FP8, .groups = 2}, "of one group"},
    {9, 0, BF16, {.arithmetic = LQ_ARITHMETIC_FP8, .tokens = 17}, "got 17 x 32 x 80"},
    {9, 0, BF16, {.arithmetic = LQ_ARITHMETIC_FP8, .outputs = 33}, "got 48 x 33 x 80"},
    {9, 0, F16, {.arithmetic = LQ_ARITHMETIC_FP8, .inputs = 8}, "got 48 x 32 x 8"},
};
enum { REFUSAL_COUNT = sizeof REFUSALS / sizeof *REFUSALS };

START_TEST(what_cannot_be_multiplied_is_refused_with_its_reason)
{
    lq_shim_capability(REFUSALS[_i].major, REFUSALS[_i].minor);
    const struct lq_op_linear *differs = &REFUSALS[_i].op;
    struct product p = product_on(REFUSALS[_i].variant, differs->arithmetic);
    struct lq_error refused = {0};
    struct lq_op_linear op = p.op;
    op.pass = differs->pass;
    op.groups = differs->groups > 0 ? differs->groups : op.groups;
    op.tokens = differs->tokens > 0 ? differs->tokens : op.tokens;
    op.outputs = differs->outputs > 0 ? differs->outputs : op.outputs;
    op.inputs = differs->inputs > 0 ? differs->inputs : op.inputs;
    op.offsets = op.groups > 1 ? (const int32_t *)op.x : NULL;
    ck_assert_int_eq(subject()->linear(p.device, &op, &refused), LQ_EDEVICE);
    ck_assert_msg(strstr(refused.detail, REFUSALS[_i].why) != NULL, "%s", refused.detail);
    assert_tally(p.device, (struct lq_tally){0});
    p.op.arithmetic = LQ_ARITHMETIC_NATIVE;
    assert_near("usable", multiplied(&p), p.want, Y_COUNT, within(p.device, 1e-5));
}
END_TEST

START_TEST(fp8_wants_aligned_addresses)
{
    struct product p = product_on(BF16, LQ_ARITHMETIC_FP8);
    struct lq_error refused = {0};
    void **const operands[] = {&p.op.x, &p.op.w, &p.op.y};
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    *operands[_i] = (char *)*operands[_i] + 2;
    ck_assert_int_eq(subject()->linear(p.device, &p.op, &refused), LQ_EDEVICE);
    ck_assert_msg(strstr(refused.detail, "aligned to 16 bytes") != NULL, "%s", refused.detail);
}
END_TEST

START_TEST(the_cast_to_fp8_is_counted)
{
    struct product p = product_on(BF16, LQ_ARITHMETIC_FP8);
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    struct lq_tally want = {.flop = 2.0 * TOKENS * OUTPUTS * INPUTS,
                            .weight_bytes = 2.0 * W_COUNT,
                            .stream_bytes = 5.0 * (X_COUNT + W_COUNT),
                            .calls = 1.0};
    OK(subject()->linear(p.device, &p.op, &err));
    assert_tally(p.device, want);
    want.traffic_bytes = 2.0 * (X_COUNT + Y_COUNT);
    want.weight_bytes = 0.0;
    p.op.adapter = true;
    OK(subject()->linear(p.device, &p.op, &err));
    assert_tally(p.device, want);
}
END_TEST

START_TEST(a_call_that_fails_leaves_the_device_usable)
{
    struct product p = product_on(BF16, LQ_ARITHMETIC_FP8);
    uint64_t failed = 0;
    if (!is_offered(LQ_ARITHMETIC_FP8)) {
        return;
    }
    for (enum lq_code code = LQ_EDEVICE; code != LQ_OK;) {
        struct lq_error why = {0};
        lq_shim_fail(++failed);
        code = subject()->linear(p.device, &p.op, &why);
        lq_shim_fail(0);
        ck_assert(code == LQ_OK || code == LQ_EDEVICE || code == LQ_ENOFIT);
        ck_assert_uint_lt(failed, 100);
    }
    ck_assert_uint_gt(failed, 6); /* memory, four kernels, the product */
    assert_near("after", multiplied(&p), p.want, Y_COUNT, FP8_TOLERANCE);
    close_devices();
    ck_assert_uint_eq(lq_shim_left(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_arithmetic");
    TCase *tests = tcase_create("cuda_arithmetic");
    tcase_add_checked_fixture(tests, set_up, release_all);
    tcase_add_test(tests, tf32_is_near_and_not_fp32);
    tcase_add_loop_test(tests, tf32_has_gradients_of_groups_too, LQ_LINEAR_INPUT,
                        LQ_LINEAR_WEIGHT + 1);
    tcase_add_loop_test(tests, fp8_is_near, 0, 2);
    tcase_add_loop_test(tests, fp8_of_what_e4m3_holds_is_exact, 0, 2);
    tcase_add_loop_test(tests, fp8_of_zeros_is_zero, 0, 6);
    tcase_add_loop_test(tests, fp8_survives_extreme_tensors, 0, 2);
    tcase_add_loop_test(tests, fp8_of_no_number_is_none, 0, 2);
    tcase_add_loop_test(tests, fp8_is_the_same_in_any_order, 0, 2);
    tcase_add_loop_test(tests, what_cannot_be_multiplied_is_refused_with_its_reason, 0,
                        REFUSAL_COUNT);
    tcase_add_loop_test(tests, fp8_wants_aligned_addresses, 0, 3);
    tcase_add_test(tests, the_cast_to_fp8_is_counted);
    tcase_add_test(tests, a_call_that_fails_leaves_the_device_usable);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
