/* Sums, blocks, activations and lookups of a backend against plain loops in double precision. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

static const int64_t LENGTHS[] = {0, 1, 3, 17, 129, 50001};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof LENGTHS[0] };

START_TEST(sums_may_replace_a_summand)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const size_t n = (size_t)LENGTHS[_i / VARIANTS];
    const float *a = random_inputs(device, n, 1, 1.0);
    const float *b = random_inputs(device, n, 2, 1.0);
    float *want = zero_floats(n);
    for (size_t i = 0; i < n; i++) {
        want[i] = a[i] + b[i];
    }
    want = rounded(device, want, n);
    struct lq_op_add op = {.n = (int64_t)n,
                           .a = upload(device, a, n),
                           .b = upload(device, b, n),
                           .out = poisoned(device, n)};
    OK(subject()->add(device, &op, &err));
    assert_same("apart", download(device, op.out, n), want, n);
    op.a = op.out = upload(device, a, n);
    OK(subject()->add(device, &op, &err));
    assert_same("over a", download(device, op.out, n), want, n);
    op.a = upload(device, a, n);
    op.b = op.out = upload(device, b, n);
    OK(subject()->add(device, &op, &err));
    assert_same("over b", download(device, op.out, n), want, n);
    const double bytes = (double)(n * element_bytes(device));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 9.0 * bytes, .calls = 3.0});
}
END_TEST

/* One operand after the other begins an element later than memory does. */
START_TEST(operands_may_begin_anywhere)
{
    enum { N = 1001 };
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const size_t element = element_bytes(device);
    const float *a = random_inputs(device, N + 1, 1, 1.0);
    const float *b = random_inputs(device, N + 1, 2, 1.0);
    const size_t shift[3] = {_i / VARIANTS == 0, _i / VARIANTS == 1, _i / VARIANTS == 2};
    char *out = poisoned(device, N + 2);
    float *want = zero_floats(N);
    for (size_t i = 0; i < N; i++) {
        want[i] = a[i + shift[0]] + b[i + shift[1]];
    }
    const struct lq_op_add op = {.n = N,
                                 .a = (const char *)upload(device, a, N + 1) + shift[0] * element,
                                 .b = (const char *)upload(device, b, N + 1) + shift[1] * element,
                                 .out = out + shift[2] * element};
    OK(subject()->add(device, &op, &err));
    const float *got = download(device, out, N + 2);
    assert_same("sum", got + shift[2], rounded(device, want, N), N);
    ck_assert(isnan(got[N + shift[2]]));
    ck_assert(shift[2] == 0 || isnan(got[0]));
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
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    struct lq_op_blocks op = BLOCKS[_i / VARIANTS];
    const size_t sources = (size_t)(op.tokens * op.source_stride);
    const size_t targets = (size_t)(op.tokens * op.target_stride);
    const float *source = random_inputs(device, sources, 1, 1.0);
    const float *before = random_inputs(device, targets, 2, 1.0);
    double *want = widen(before, targets);
    op.source = upload(device, source, sources);
    op.target = upload(device, before, targets);
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
    OK(subject()->blocks(device, &op, &err));
    assert_near("blocks", download(device, op.target, targets), want, targets,
                within(device, FORWARD_TOLERANCE));
    const double accesses = op.accumulate ? 3.0 : 2.0;
    const double bytes = (double)(op.tokens * op.heads * op.width) * (double)element_bytes(device);
    assert_tally(device, (struct lq_tally){.traffic_bytes = accesses * bytes, .calls = 1.0});
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
    float *gate = random_inputs(device, n, 1, 4.0);
    const float *up = random_inputs(device, n, 2, 1.0);
    const float *d_out = random_inputs(device, n, 3, 1.0);
    const bool two = kind == LQ_ACTIVATION_SWIGLU;
    for (size_t i = 0; i + 10 < n; i += 1000) { /* where exponentials end */
        gate[i] = -200.0F;
        gate[i + 1] = 200.0F;
    }
    const struct lq_op_activation op = {.kind = kind,
                                        .n = (int64_t)n,
                                        .gate = upload(device, gate, n),
                                        .up = two ? upload(device, up, n) : NULL,
                                        .out = poisoned(device, n),
                                        .d_out = upload(device, d_out, n),
                                        .d_gate = poisoned(device, n),
                                        .d_up = two ? poisoned(device, n) : NULL};
    double *out = zero_doubles(n);
    double *d_gate = zero_doubles(n);
    double *d_up = zero_doubles(n);
    for (size_t i = 0; i < n; i++) {
        out[i] = gated(kind, (double)gate[i], (double)up[i]);
        d_gate[i] = (double)d_out[i] * slope(kind, (double)gate[i], (double)up[i]);
        d_up[i] = (double)d_out[i] * gated(kind, (double)gate[i], 1.0);
    }
    OK(subject()->activation(device, &op, LQ_PASS_FORWARD, &err));
    assert_near("out", download(device, op.out, n), out, n, within(device, FORWARD_TOLERANCE));
    const double bytes = (double)(n * element_bytes(device));
    assert_tally(device,
                 (struct lq_tally){.traffic_bytes = (two ? 3.0 : 2.0) * bytes, .calls = 1.0});
    OK(subject()->activation(device, &op, LQ_PASS_BACKWARD, &err));
    const double tolerance = within(device, BACKWARD_TOLERANCE);
    assert_near("d_gate", download(device, op.d_gate, n), d_gate, n, tolerance);
    if (two) {
        assert_near("d_up", download(device, op.d_up, n), d_up, n, tolerance);
    }
    assert_tally(device,
                 (struct lq_tally){.traffic_bytes = (two ? 5.0 : 3.0) * bytes, .calls = 1.0});
}

START_TEST(activations_and_their_slopes)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const size_t n = (size_t)LENGTHS[_i / VARIANTS];
    check_activation(device, LQ_ACTIVATION_SWIGLU, n);
    check_activation(device, LQ_ACTIVATION_GELU, n);
}
END_TEST

START_TEST(rows_are_looked_up_and_their_gradients_added)
{
    static const int64_t SIZES[][3] = {{1, 1, 1}, {17, 3, 129}, {400, 50, 257}, {0, 2, 3}};
    const int64_t *size = SIZES[_i / VARIANTS];
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const size_t n = (size_t)(size[0] * size[2]);
    const size_t entries = (size_t)(size[1] * size[2]);
    int32_t *ids = poisoned_indices((size_t)size[0]);
    const float *table = random_inputs(device, entries, 1, 1.0);
    const float *d_out = random_inputs(device, n, 2, 1.0);
    const float *before = random_inputs(device, entries, 3, 1.0);
    double *want = widen(before, entries);
    for (int64_t t = 0; t < size[0]; t++) {
        ids[t] = (int32_t)(t * t % size[1]);
        for (int64_t i = 0; i < size[2]; i++) {
            want[ids[t] * size[2] + i] += (double)d_out[t * size[2] + i];
        }
    }
    const struct lq_op_lookup op = {.tokens = size[0],
                                    .vocabulary = size[1],
                                    .hidden = size[2],
                                    .ids = upload_bytes(device, ids, (size_t)size[0] * sizeof *ids),
                                    .table = upload(device, table, entries),
                                    .out = poisoned(device, n),
                                    .d_out = upload(device, d_out, n),
                                    .d_table = upload(device, before, entries)};
    const double bytes = (double)(n * element_bytes(device));
    OK(subject()->lookup(device, &op, LQ_PASS_FORWARD, &err));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 2.0 * bytes, .calls = 1.0});
    const float *out = download(device, op.out, n);
    for (int64_t t = 0; t < op.tokens; t++) {
        assert_same("out", out + t * op.hidden, table + ids[t] * op.hidden, (size_t)op.hidden);
    }
    OK(subject()->lookup(device, &op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 3.0 * bytes, .calls = 1.0});
    assert_near("d_table", download(device, op.d_table, entries), want, entries,
                within(device, FORWARD_TOLERANCE));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("elementwise");
    TCase *tests = tcase_create("elementwise");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, sums_may_replace_a_summand, 0, LENGTH_COUNT * VARIANTS);
    tcase_add_loop_test(tests, operands_may_begin_anywhere, 0, 3 * VARIANTS);
    tcase_add_loop_test(tests, blocks_are_copied_repeated_and_summed, 0, BLOCKS_COUNT * VARIANTS);
    tcase_add_loop_test(tests, activations_and_their_slopes, 0, LENGTH_COUNT * VARIANTS);
    tcase_add_loop_test(tests, rows_are_looked_up_and_their_gradients_added, 0, 4 * VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
