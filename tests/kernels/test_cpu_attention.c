/* Attention of the CPU backend against scores written out in double precision. Its speed is no
 * test's matter. */
#include "kernels/cpu/cpu.h"
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

/* Tiles have up to 128 queries and 256 keys. */
static const struct shape SHAPES[] = {
    {1, 1, 1, 1, 1, 1, 0},      {2, 3, 2, 2, 4, 4, 0},      {1, 17, 4, 2, 5, 5, 0},
    {3, 17, 4, 1, 8, 8, 1},     {2, 17, 6, 2, 6, 3, 5},     {1, 129, 3, 3, 2, 7, 0},
    {2, 129, 4, 2, 16, 16, 5},  {1, 300, 1, 1, 3, 2, 0},    {1, 300, 2, 1, 4, 4, 260},
    {1, 300, 2, 2, 4, 4, 1000}, {1, 140, 2, 1, 64, 32, 130}};
enum { TOKENS_MAX = 300, SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES };

/* An operation and what its reference needs. */
struct sample {
    struct shape shape;
    struct lq_op_attention op;
    size_t queries; /* elements of q, k, v, out, log_sum */
    size_t keys;
    size_t values;
    size_t outs;
    size_t sums;
    double *q;
    double *k;
    double *v;
    double *out;
    double *log_sum;
};

static struct sample make_sample(const struct shape *s, double spread)
{
    const size_t tokens = (size_t)(s->rows * s->tokens);
    struct sample sample = {.shape = *s,
                            .queries = tokens * (size_t)(s->heads * s->head_size),
                            .keys = tokens * (size_t)(s->kv_heads * s->head_size),
                            .values = tokens * (size_t)(s->kv_heads * s->value_size),
                            .outs = tokens * (size_t)(s->heads * s->value_size),
                            .sums = tokens * (size_t)s->heads};
    const float *q = random_floats(sample.queries, 1, spread);
    const float *k = random_floats(sample.keys, 2, 1.0);
    const float *v = random_floats(sample.values, 3, 1.0);
    sample.op = (struct lq_op_attention){.rows = s->rows,
                                         .tokens = s->tokens,
                                         .heads = s->heads,
                                         .kv_heads = s->kv_heads,
                                         .head_size = s->head_size,
                                         .value_size = s->value_size,
                                         .window = s->window,
                                         .scale = 1.0 / sqrt((double)s->head_size),
                                         .q = q,
                                         .k = k,
                                         .v = v,
                                         .out = poisoned_floats(sample.outs),
                                         .log_sum = poisoned_floats(sample.sums),
                                         .d_out = random_floats(sample.outs, 4, 1.0),
                                         .d_q = poisoned_floats(sample.queries),
                                         .d_k = poisoned_floats(sample.keys),
                                         .d_v = poisoned_floats(sample.values)};
    sample.q = widen(q, sample.queries);
    sample.k = widen(k, sample.keys);
    sample.v = widen(v, sample.values);
    sample.out = zero_doubles(sample.outs);
    sample.log_sum = zero_doubles(sample.sums);
    return sample;
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
    return sum * sample->op.scale;
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
    return dot(sample->out, sample->op.d_out, sample->outs);
}

static void run(const struct sample *sample, int threads)
{
    struct lq_device *device = open_device(threads);
    OK(lq_cpu_attention(device, &sample->op, LQ_PASS_FORWARD, &err));
    OK(lq_cpu_attention(device, &sample->op, LQ_PASS_BACKWARD, &err));
}

START_TEST(forward_is_the_softmax_of_visible_scores)
{
    const struct sample sample = make_sample(&SHAPES[_i], 1.0);
    struct lq_device *device = open_device(2);
    OK(lq_cpu_attention(device, &sample.op, LQ_PASS_FORWARD, &err));
    loss(&sample);
    assert_near("out", sample.op.out, sample.out, sample.outs, FORWARD_TOLERANCE);
    assert_near("log_sum", sample.op.log_sum, sample.log_sum, sample.sums, FORWARD_TOLERANCE);
}
END_TEST

START_TEST(backward_is_the_gradient_of_forward)
{
    const struct sample sample = make_sample(&SHAPES[_i], 1.0);
    run(&sample, 2);
    assert_gradient("d_q", sample.op.d_q, loss, &sample, sample.q, sample.queries);
    assert_gradient("d_k", sample.op.d_k, loss, &sample, sample.k, sample.keys);
    assert_gradient("d_v", sample.op.d_v, loss, &sample, sample.v, sample.values);
}
END_TEST

START_TEST(large_scores_do_not_overflow)
{
    const struct shape shape = {1, 300, 2, 1, 8, 8, 0};
    const struct sample sample = make_sample(&shape, 1000.0);
    run(&sample, 1);
    loss(&sample);
    /* scores of 1e3 are rounded by 1e-4 before the exponential */
    assert_near("out", sample.op.out, sample.out, sample.outs, 1e-3);
    assert_near("log_sum", sample.op.log_sum, sample.log_sum, sample.sums, FORWARD_TOLERANCE);
    for (size_t i = 0; i < sample.keys; i++) {
        ck_assert(isfinite(((const float *)sample.op.d_k)[i]));
    }
}
END_TEST

START_TEST(the_number_of_threads_changes_no_byte)
{
    const struct sample one = make_sample(&SHAPES[_i], 1.0);
    run(&one, 1);
    for (int threads = 2; threads <= 3; threads++) {
        const struct sample more = make_sample(&SHAPES[_i], 1.0);
        run(&more, threads);
        assert_same("out", more.op.out, one.op.out, one.outs);
        assert_same("log_sum", more.op.log_sum, one.op.log_sum, one.sums);
        assert_same("d_q", more.op.d_q, one.op.d_q, one.queries);
        assert_same("d_k", more.op.d_k, one.op.d_k, one.keys);
        assert_same("d_v", more.op.d_v, one.op.d_v, one.values);
    }
}
END_TEST

START_TEST(tally_counts_visible_pairs)
{
    const struct sample sample = make_sample(&SHAPES[_i], 1.0);
    const struct shape *s = &sample.shape;
    double pairs = 0.0;
    for (int64_t t = 0; t < s->tokens; t++) {
        pairs += (double)(t + 1 - first_seen(s, t));
    }
    pairs *= (double)(s->rows * s->heads);
    const double once = 4.0 * (double)(sample.queries + sample.keys + sample.values + sample.outs);
    struct lq_device *device = open_device(2);
    OK(lq_cpu_attention(device, &sample.op, LQ_PASS_FORWARD, &err));
    assert_tally(device,
                 (struct lq_tally){.flop = 2.0 * (double)(s->head_size + s->value_size) * pairs,
                                   .traffic_bytes = once,
                                   .calls = 1.0});
    OK(lq_cpu_attention(device, &sample.op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){
                             .flop = 2.0 * (double)(3 * s->head_size + 2 * s->value_size) * pairs,
                             .traffic_bytes = 2.0 * once,
                             .calls = 1.0});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_attention");
    TCase *tcase = tcase_create("attention");
    tcase_add_checked_fixture(tcase, NULL, release_all);
    tcase_add_loop_test(tcase, forward_is_the_softmax_of_visible_scores, 0, SHAPES_COUNT);
    tcase_add_loop_test(tcase, backward_is_the_gradient_of_forward, 0, SHAPES_COUNT);
    tcase_add_test(tcase, large_scores_do_not_overflow);
    tcase_add_loop_test(tcase, the_number_of_threads_changes_no_byte, 0, SHAPES_COUNT);
    tcase_add_loop_test(tcase, tally_counts_visible_pairs, 0, SHAPES_COUNT);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
