/* Attention of a backend against scores written out in double precision. Its speed is no test's
 * matter. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

struct shape {
    int64_t rows;
    int64_t tokens;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_size;
    int64_t value_size;
    int64_t window;
};

/* The first few have all that is particular; on the others alone a device need not be tried twice.
 * Tiles have up to 128 queries and 256 keys; on CUDA up to 64, fewer with large heads. */
static const struct shape SHAPES[] = {
    {1, 1, 1, 1, 1, 1, 0},      {2, 3, 2, 2, 4, 4, 0},      {1, 17, 4, 2, 5, 5, 0},
    {3, 17, 4, 1, 8, 8, 1},     {2, 17, 6, 2, 6, 3, 5},     {1, 129, 3, 3, 2, 7, 0},
    {2, 129, 4, 2, 16, 16, 5},  {1, 300, 1, 1, 3, 2, 0},    {1, 300, 2, 1, 4, 4, 260},
    {1, 300, 2, 2, 4, 4, 1000}, {1, 140, 2, 1, 64, 32, 130}};
enum { TOKENS_MAX = 300, SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES, FEW = 6 };

/* Inputs as a device holds them, and what the reference makes of them. */
struct sample {
    struct shape shape;
    double scale;
    size_t queries; /* elements of q, k, v, out, log_sum */
    size_t keys;
    size_t values;
    size_t outs;
    size_t sums;
    const float *inputs[3]; /* q, k, v */
    const float *d_out;
    double *q;
    double *k;
    double *v;
    double *out;
    double *log_sum;
};

/* What an operation has written. */
struct result {
    const float *out;
    const float *log_sum;
    const float *d_q;
    const float *d_k;
    const float *d_v;
};

/* Numbers are rounded for `device`. */
static struct sample make_sample(const struct lq_device *device, const struct shape *s,
                                 double spread)
{
    const size_t tokens = (size_t)(s->rows * s->tokens);
    struct sample sample = {.shape = *s,
                            .scale = 1.0 / sqrt((double)s->head_size),
                            .queries = tokens * (size_t)(s->heads * s->head_size),
                            .keys = tokens * (size_t)(s->kv_heads * s->head_size),
                            .values = tokens * (size_t)(s->kv_heads * s->value_size),
                            .outs = tokens * (size_t)(s->heads * s->value_size),
                            .sums = tokens * (size_t)s->heads};
    sample.inputs[0] = random_inputs(device, sample.queries, 1, spread);
    sample.inputs[1] = random_inputs(device, sample.keys, 2, 1.0);
    sample.inputs[2] = random_inputs(device, sample.values, 3, 1.0);
    sample.d_out = random_inputs(device, sample.outs, 4, 1.0);
    sample.q = widen(sample.inputs[0], sample.queries);
    sample.k = widen(sample.inputs[1], sample.keys);
    sample.v = widen(sample.inputs[2], sample.values);
    sample.out = zero_doubles(sample.outs);
    sample.log_sum = zero_doubles(sample.sums);
    return sample;
}

static struct lq_op_attention put(struct lq_device *device, const struct sample *sample)
{
    const struct shape *s = &sample->shape;
    const size_t bytes = sample->sums * sizeof(float);
    return (struct lq_op_attention){.rows = s->rows,
                                    .tokens = s->tokens,
                                    .heads = s->heads,
                                    .kv_heads = s->kv_heads,
                                    .head_size = s->head_size,
                                    .value_size = s->value_size,
                                    .window = s->window,
                                    .scale = sample->scale,
                                    .q = upload(device, sample->inputs[0], sample->queries),
                                    .k = upload(device, sample->inputs[1], sample->keys),
                                    .v = upload(device, sample->inputs[2], sample->values),
                                    .out = poisoned(device, sample->outs),
                                    .log_sum =
                                        upload_bytes(device, poisoned_floats(sample->sums), bytes),
                                    .d_out = upload(device, sample->d_out, sample->outs),
                                    .d_q = poisoned(device, sample->queries),
                                    .d_k = poisoned(device, sample->keys),
                                    .d_v = poisoned(device, sample->values)};
}

static int64_t first_seen(const struct shape *s, int64_t t)
{
    return s->window > 0 && t + 1 > s->window ? t + 1 - s->window : 0;
}

static double score(const struct sample *sample, int64_t row, int64_t h, int64_t t, int64_t u)
{
    const struct shape *s = &sample->shape;
    const int64_t group = h * s->kv_heads / s->heads;
    const double *q = sample->q + ((row * s->tokens + t) * s->heads + h) * s->head_size;
    const double *k = sample->k + ((row * s->tokens + u) * s->kv_heads + group) * s->head_size;
    double sum = 0.0;
    for (int64_t d = 0; d < s->head_size; d++) {
        sum += q[d] * k[d];
    }
    return sum * sample->scale;
}

static void attend(const struct sample *sample, int64_t row, int64_t h, int64_t t)
{
    const struct shape *s = &sample->shape;
    const int64_t group = h * s->kv_heads / s->heads;
    double *out = sample->out + ((row * s->tokens + t) * s->heads + h) * s->value_size;
    double scores[TOKENS_MAX];
    double most = -HUGE_VAL;
    for (int64_t u = first_seen(s, t); u <= t; u++) {
        scores[u] = score(sample, row, h, t, u);
        most = fmax(most, scores[u]);
    }
    double sum = 0.0;
    for (int64_t d = 0; d < s->value_size; d++) {
        out[d] = 0.0;
    }
    for (int64_t u = first_seen(s, t); u <= t; u++) {
        const double *v = sample->v + ((row * s->tokens + u) * s->kv_heads + group) * s->value_size;
        const double p = exp(scores[u] - most);
        sum += p;
        for (int64_t d = 0; d < s->value_size; d++) {
            out[d] += p * v[d];
        }
    }
    for (int64_t d = 0; d < s->value_size; d++) {
        out[d] /= sum;
    }
    sample->log_sum[(row * s->heads + h) * s->tokens + t] = most + log(sum);
}

static double loss(const void *context)
{
    const struct sample *sample = context;
    const struct shape *s = &sample->shape;
    for (int64_t row = 0; row < s->rows; row++) {
        for (int64_t h = 0; h < s->heads; h++) {
            for (int64_t t = 0; t < s->tokens; t++) {
                attend(sample, row, h, t);
            }
        }
    }
    return dot(sample->out, sample->d_out, sample->outs);
}

static struct result run(struct lq_device *device, const struct sample *sample)
{
    const struct lq_op_attention op = put(device, sample);
    OK(subject()->attention(device, &op, LQ_PASS_FORWARD, &err));
    OK(subject()->attention(device, &op, LQ_PASS_BACKWARD, &err));
    return (struct result){.out = download(device, op.out, sample->outs),
                           .log_sum =
                               download_bytes(device, op.log_sum, sample->sums * sizeof(float)),
                           .d_q = download(device, op.d_q, sample->queries),
                           .d_k = download(device, op.d_k, sample->keys),
                           .d_v = download(device, op.d_v, sample->values)};
}

static void assert_forward(const struct lq_device *device, const struct sample *sample,
                           const struct result *got, double tolerance)
{
    loss(sample);
    assert_near("out", got->out, sample->out, sample->outs, within(device, tolerance));
    assert_near("log_sum", got->log_sum, sample->log_sum, sample->sums, FORWARD_TOLERANCE);
}

START_TEST(outputs_and_gradients_are_those_of_the_softmax_of_visible_scores)
{
    struct lq_device *device = open_device(1);
    const struct sample sample = make_sample(device, &SHAPES[_i], 1.0);
    const struct result got = run(device, &sample);
    assert_forward(device, &sample, &got, FORWARD_TOLERANCE);
    assert_gradient("d_q", got.d_q, loss, &sample, sample.q, sample.queries);
    assert_gradient("d_k", got.d_k, loss, &sample, sample.k, sample.keys);
    assert_gradient("d_v", got.d_v, loss, &sample, sample.v, sample.values);
}
END_TEST

/* Near to what fp32 has computed; where that is rounding alone, rounding alone. */
static void assert_alike(const struct lq_device *device, const char *what, const float *got,
                         const float *want, size_t n)
{
    const double *wide = widen(want, n);
    if (sqrt(dot(wide, want, n) / (double)n) > 1e-5) {
        assert_near(what, got, wide, n, within(device, 0.0));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(fabsf(got[i]) < 1e-3F, "%s: [%zu] is %g", what, i, (double)got[i]);
    }
}

static void assert_results(const struct lq_device *device, const struct sample *sample,
                           const struct result *got, const struct result *want)
{
    assert_alike(device, "out", got->out, want->out, sample->outs);
    assert_alike(device, "d_q", got->d_q, want->d_q, sample->queries);
    assert_alike(device, "d_k", got->d_k, want->d_k, sample->keys);
    assert_alike(device, "d_v", got->d_v, want->d_v, sample->values);
}

START_TEST(every_device_computes_the_same)
{
    struct lq_device *device = open_device(2 + _i % (VARIANTS - 1));
    const struct sample sample = make_sample(device, &SHAPES[_i], 1.0);
    const struct result got = run(device, &sample);
    assert_forward(device, &sample, &got, FORWARD_TOLERANCE);
    const struct result want = run(open_device(1), &sample);
    assert_results(device, &sample, &got, &want);
}
END_TEST

/* Tiles shrink as heads grow. */
START_TEST(large_heads_are_cut_into_smaller_tiles)
{
    static const struct shape LARGE[] = {
        {1, 70, 1, 1, 128, 128, 0}, {1, 40, 2, 1, 192, 128, 33}, {1, 37, 1, 1, 256, 256, 0}};
    struct lq_device *device = open_device(2 + _i % (VARIANTS - 1));
    const struct sample sample = make_sample(device, &LARGE[_i], 1.0);
    const struct result got = run(device, &sample);
    assert_forward(device, &sample, &got, FORWARD_TOLERANCE);
    struct lq_device *other = open_device(1);
    const struct result want = run(other, &sample);
    assert_forward(other, &sample, &want, FORWARD_TOLERANCE);
    assert_results(device, &sample, &got, &want);
}
END_TEST

START_TEST(large_scores_do_not_overflow)
{
    const struct shape shape = {1, 150, 2, 1, 8, 8, 0};
    struct lq_device *device = open_device(1 + _i);
    const struct sample sample = make_sample(device, &shape, 1000.0);
    const struct result got = run(device, &sample);
    /* scores of 1e3 are rounded by 1e-4 before the exponential */
    assert_forward(device, &sample, &got, 1e-3);
    for (size_t i = 0; i < sample.keys; i++) {
        ck_assert(isfinite(got.d_k[i]));
    }
}
END_TEST

START_TEST(the_same_bytes_come_out_in_every_order)
{
    const struct shape shape = {1, 70, 2, 1, 8, 20, 50};
    struct lq_device *device = open_device(1 + _i);
    const struct sample sample = make_sample(device, &shape, 1.0);
    struct result first = {0};
    for (uint64_t seed = 0; seed < 3; seed++) {
        subject_order(seed);
        const struct result more = run(device, &sample);
        first = seed == 0 ? more : first;
        assert_same("out", more.out, first.out, sample.outs);
        assert_same("log_sum", more.log_sum, first.log_sum, sample.sums);
        assert_same("d_q", more.d_q, first.d_q, sample.queries);
        assert_same("d_k", more.d_k, first.d_k, sample.keys);
        assert_same("d_v", more.d_v, first.d_v, sample.values);
    }
}
END_TEST

START_TEST(tally_counts_visible_pairs)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    const struct sample sample = make_sample(device, &SHAPES[_i], 1.0);
    const struct shape *s = &sample.shape;
    const struct lq_op_attention op = put(device, &sample);
    double pairs = 0.0;
    for (int64_t t = 0; t < s->tokens; t++) {
        pairs += (double)(t + 1 - first_seen(s, t));
    }
    pairs *= (double)(s->rows * s->heads);
    const double once = (double)element_bytes(device) *
                        (double)(sample.queries + sample.keys + sample.values + sample.outs);
    OK(subject()->attention(device, &op, LQ_PASS_FORWARD, &err));
    assert_tally(device,
                 (struct lq_tally){.flop = 2.0 * (double)(s->head_size + s->value_size) * pairs,
                                   .traffic_bytes = once,
                                   .calls = 1.0});
    OK(subject()->attention(device, &op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){
                             .flop = 2.0 * (double)(3 * s->head_size + 2 * s->value_size) * pairs,
                             .traffic_bytes = 2.0 * once,
                             .calls = 1.0});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    TCase *tcase = tcase_create("attention");
    tcase_add_checked_fixture(tcase, NULL, release_all);
    tcase_add_loop_test(tcase, outputs_and_gradients_are_those_of_the_softmax_of_visible_scores, 0,
                        SHAPES_COUNT);
    tcase_add_loop_test(tcase, every_device_computes_the_same, 0, FEW);
    tcase_add_loop_test(tcase, large_heads_are_cut_into_smaller_tiles, 0, 3);
    tcase_add_loop_test(tcase, large_scores_do_not_overflow, 0, VARIANTS);
    tcase_add_loop_test(tcase, the_same_bytes_come_out_in_every_order, 0, VARIANTS);
    tcase_add_loop_test(tcase, tally_counts_visible_pairs, 0, FEW);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
