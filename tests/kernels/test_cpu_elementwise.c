/* Sums, blocks, activations, lookups and the exponential of the CPU backend against plain loops in
 * double precision. */
#include "kernels/cpu/vector.h"
#include "tests/kernels/reference.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { THREADS = 3 };

static const int64_t LENGTHS[] = {0, 1, 3, 17, 129, 50001};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof LENGTHS[0] };

START_TEST(exponentials_keep_to_their_error)
{
    double worst = 0.0;
    for (int i = -86999; i <= 86999; i++) {
        const float x = (float)i * 1e-3F;
        worst = fmax(worst, fabs((double)lq_exp(x) / exp((double)x) - 1.0));
    }
    ck_assert_double_le(worst, 1e-7);
    ck_assert(lq_exp(0.0F) == 1.0F);
    ck_assert(isnan(lq_exp((float)NAN)));
    ck_assert(lq_exp(-HUGE_VALF) > 0.0F && lq_exp(-HUGE_VALF) < 1e-37F);
    ck_assert(lq_exp(HUGE_VALF) > 1e37F && isfinite(lq_exp(HUGE_VALF)));
}
END_TEST

START_TEST(sums_of_rows_keep_to_double)
{
    const size_t n = (size_t)LENGTHS[_i];
    const float *a = random_floats(n, 1, 1.0);
    const float *b = random_floats(n, 2, 1.0);
    double sum = 0.0;
    double size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
        size += fabs((double)a[i] * (double)b[i]);
    }
    ck_assert_double_le(fabs(lq_dot(a, b, (int64_t)n) - sum), 1e-6 * size);
}
END_TEST

START_TEST(sums_may_replace_a_summand)
{
    struct lq_device *device = open_device(1 + _i % THREADS);
    const size_t n = (size_t)LENGTHS[_i / THREADS];
    const float *a = random_floats(n, 1, 1.0);
    const float *b = random_floats(n, 2, 1.0);
    float *want = zero_floats(n);
    for (size_t i = 0; i < n; i++) {
        want[i] = a[i] + b[i];
    }
    struct lq_op_add op = {.n = (int64_t)n, .a = a, .b = b, .out = poisoned_floats(n)};
    OK(lq_cpu_add(device, &op, &err));
    assert_same("apart", op.out, want, n);
    op.a = op.out = copy_floats(a, n);
    OK(lq_cpu_add(device, &op, &err));
    assert_same("over a", op.out, want, n);
    op.a = a;
    op.b = op.out = copy_floats(b, n);
    OK(lq_cpu_add(device, &op, &err));
    assert_same("over b", op.out, want, n);
    assert_tally(device, (struct lq_tally){.traffic_bytes = 3.0 * 12.0 * (double)n, .calls = 3.0});
}
END_TEST

static const struct lq_op_blocks BLOCKS[] = {
    /* part of every head of [tokens, heads, 7] into heads of their own */
    {.tokens = 17,
     .heads = 3,
     .width = 5,
     .source_stride = 21,
     .source_head_stride = 7,
     .target_stride = 15,
     .target_head_stride = 5},
    /* one head to all */
    {.tokens = 129,
     .heads = 4,
     .width = 3,
     .source_stride = 3,
     .source_head_stride = 0,
     .target_stride = 24,
     .target_head_stride = 6},
    /* the sum of all heads into one */
    {.tokens = 129,
     .heads = 4,
     .width = 3,
     .source_stride = 24,
     .source_head_stride = 6,
     .target_stride = 3,
     .target_head_stride = 0,
     .accumulate = true},
    /* added where they lie */
    {.tokens = 300,
     .heads = 2,
     .width = 65,
     .source_stride = 200,
     .source_head_stride = 65,
     .target_stride = 130,
     .target_head_stride = 65,
     .accumulate = true},
    {.tokens = 1, .heads = 1, .width = 1, .source_stride = 1, .target_stride = 1},
};
enum { BLOCKS_COUNT = sizeof BLOCKS / sizeof BLOCKS[0] };

START_TEST(blocks_are_copied_repeated_and_summed)
{
    struct lq_device *device = open_device(1 + _i % THREADS);
    struct lq_op_blocks op = BLOCKS[_i / THREADS];
    const size_t sources = (size_t)(op.tokens * op.source_stride);
    const size_t targets = (size_t)(op.tokens * op.target_stride);
    const float *source = random_floats(sources, 1, 1.0);
    const float *before = random_floats(targets, 2, 1.0);
    double *want = widen(before, targets);
    op.source = source;
    op.target = copy_floats(before, targets);
    for (int64_t t = 0; t < op.tokens; t++) {
        for (int64_t h = 0; h < op.heads; h++) {
            for (int64_t i = 0; i < op.width; i++) {
                double *to = want + t * op.target_stride + h * op.target_head_stride + i;
                const double x =
                    (double)source[t * op.source_stride + h * op.source_head_stride + i];
                *to = op.accumulate ? *to + x : x;
            }
        }
    }
    OK(lq_cpu_blocks(device, &op, &err));
    assert_near("blocks", op.target, want, targets, FORWARD_TOLERANCE);
    const double accesses = op.accumulate ? 3.0 : 2.0;
    assert_tally(
        device, (struct lq_tally){.traffic_bytes = 4.0 * accesses * (double)(op.tokens * op.heads) *
                                                   (double)op.width,
                                  .calls = 1.0});
}
END_TEST

static double gated(enum lq_activation kind, double gate, double up)
{
    if (kind == LQ_ACTIVATION_SWIGLU) {
        return gate / (1.0 + exp(-gate)) * up;
    }
    return 0.5 * gate * (1.0 + tanh(sqrt(2.0 / M_PI) * (gate + 0.044715 * gate * gate * gate)));
}

static double slope(enum lq_activation kind, double gate, double up)
{
    const double step = 6e-6;
    return (gated(kind, gate + step, up) - gated(kind, gate - step, up)) / (2.0 * step);
}

static void check_activation(struct lq_device *device, enum lq_activation kind, size_t n)
{
    float *gate = random_floats(n, 1, 4.0);
    const float *up = random_floats(n, 2, 1.0);
    const float *d_out = random_floats(n, 3, 1.0);
    const bool two = kind == LQ_ACTIVATION_SWIGLU;
    for (size_t i = 0; i + 10 < n; i += 1000) { /* where exponentials end */
        gate[i] = -200.0F;
        gate[i + 1] = 200.0F;
    }
    const struct lq_op_activation op = {.kind = kind,
                                        .n = (int64_t)n,
                                        .gate = gate,
                                        .up = two ? up : NULL,
                                        .out = poisoned_floats(n),
                                        .d_out = d_out,
                                        .d_gate = poisoned_floats(n),
                                        .d_up = two ? poisoned_floats(n) : NULL};
    double *out = zero_doubles(n);
    double *d_gate = zero_doubles(n);
    double *d_up = zero_doubles(n);
    for (size_t i = 0; i < n; i++) {
        out[i] = gated(kind, (double)gate[i], (double)up[i]);
        d_gate[i] = (double)d_out[i] * slope(kind, (double)gate[i], (double)up[i]);
        d_up[i] = (double)d_out[i] * gated(kind, (double)gate[i], 1.0);
    }
    OK(lq_cpu_activation(device, &op, LQ_PASS_FORWARD, &err));
    assert_near("out", op.out, out, n, FORWARD_TOLERANCE);
    const double bytes = 4.0 * (double)n;
    assert_tally(device,
                 (struct lq_tally){.traffic_bytes = (two ? 3.0 : 2.0) * bytes, .calls = 1.0});
    OK(lq_cpu_activation(device, &op, LQ_PASS_BACKWARD, &err));
    assert_near("d_gate", op.d_gate, d_gate, n, BACKWARD_TOLERANCE);
    if (two) {
        assert_near("d_up", op.d_up, d_up, n, BACKWARD_TOLERANCE);
    }
    assert_tally(device,
                 (struct lq_tally){.traffic_bytes = (two ? 5.0 : 3.0) * bytes, .calls = 1.0});
}

START_TEST(activations_and_their_slopes)
{
    struct lq_device *device = open_device(1 + _i % THREADS);
    const size_t n = (size_t)LENGTHS[_i / THREADS];
    check_activation(device, LQ_ACTIVATION_SWIGLU, n);
    check_activation(device, LQ_ACTIVATION_GELU, n);
}
END_TEST

START_TEST(rows_are_looked_up_and_their_gradients_added)
{
    static const int64_t SIZES[][3] = {{1, 1, 1}, {17, 3, 129}, {400, 50, 257}, {0, 2, 3}};
    const int64_t *size = SIZES[_i / THREADS];
    struct lq_device *device = open_device(1 + _i % THREADS);
    const size_t n = (size_t)(size[0] * size[2]);
    const size_t entries = (size_t)(size[1] * size[2]);
    int32_t *ids = poisoned_indices((size_t)size[0]);
    const float *table = random_floats(entries, 1, 1.0);
    const float *d_out = random_floats(n, 2, 1.0);
    float *d_table = random_floats(entries, 3, 1.0);
    double *want = widen(d_table, entries);
    const struct lq_op_lookup op = {.tokens = size[0],
                                    .vocabulary = size[1],
                                    .hidden = size[2],
                                    .ids = ids,
                                    .table = table,
                                    .out = poisoned_floats(n),
                                    .d_out = d_out,
                                    .d_table = d_table};
    for (int64_t t = 0; t < op.tokens; t++) {
        ids[t] = (int32_t)(t * t % op.vocabulary);
        for (int64_t i = 0; i < op.hidden; i++) {
            want[ids[t] * op.hidden + i] += (double)d_out[t * op.hidden + i];
        }
    }
    OK(lq_cpu_lookup(device, &op, LQ_PASS_FORWARD, &err));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 2.0 * 4.0 * (double)n, .calls = 1.0});
    for (int64_t t = 0; t < op.tokens; t++) {
        assert_same("out", (const float *)op.out + t * op.hidden, table + ids[t] * op.hidden,
                    (size_t)op.hidden);
    }
    OK(lq_cpu_lookup(device, &op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 3.0 * 4.0 * (double)n, .calls = 1.0});
    assert_near("d_table", d_table, want, entries, FORWARD_TOLERANCE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_elementwise");
    TCase *tests = tcase_create("cpu_elementwise");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_test(tests, exponentials_keep_to_their_error);
    tcase_add_loop_test(tests, sums_of_rows_keep_to_double, 0, LENGTH_COUNT);
    tcase_add_loop_test(tests, sums_may_replace_a_summand, 0, LENGTH_COUNT * THREADS);
    tcase_add_loop_test(tests, blocks_are_copied_repeated_and_summed, 0, BLOCKS_COUNT * THREADS);
    tcase_add_loop_test(tests, activations_and_their_slopes, 0, LENGTH_COUNT * THREADS);
    tcase_add_loop_test(tests, rows_are_looked_up_and_their_gradients_added, 0, 4 * THREADS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
