/* Routing and permutation of the CPU backend against plain loops in double precision. */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

enum { THREADS = 3 };

struct choice {
    int64_t tokens;
    int64_t experts;
    int64_t active;
};
static const struct choice CHOICES[] = {{1, 1, 1},   {17, 8, 2},  {129, 8, 8},  {300, 60, 4},
                                        {257, 3, 3}, {40, 17, 1}, {5, 1024, 7}, {0, 8, 2}};
enum { CHOICE_COUNT = sizeof CHOICES / sizeof CHOICES[0], EXPERTS_MAX = 1024 };

/* How many experts are before `e`: larger, or as large with a lower index. */
static int64_t rank_of(const float *logits, int64_t experts, int64_t e)
{
    int64_t rank = 0;
    for (int64_t other = 0; other < experts; other++) {
        rank += logits[other] > logits[e] || (logits[other] == logits[e] && other < e) ? 1 : 0;
    }
    return rank;
}

/* The weights of experts `index` by their definition. */
static void weigh(const double *logits, const struct lq_op_router *op, const int32_t *index,
                  double *weights)
{
    double sum = 0.0;
    for (int64_t e = 0; e < op->experts && !op->normalized; e++) {
        sum += exp(logits[e]);
    }
    for (int64_t k = 0; k < op->active && op->normalized; k++) {
        sum += exp(logits[index[k]]);
    }
    for (int64_t k = 0; k < op->active; k++) {
        weights[k] = exp(logits[index[k]]) / sum;
    }
}

struct router_loss {
    const struct lq_op_router *op;
    const double *logits;
};

static double loss_of_router(const void *context)
{
    const struct router_loss *l = context;
    double loss = 0.0;
    for (int64_t t = 0; t < l->op->tokens; t++) {
        double weights[EXPERTS_MAX];
        weigh(l->logits + t * l->op->experts, l->op, l->op->index + t * l->op->active, weights);
        loss += dot(weights, l->op->d_weights + t * l->op->active, (size_t)l->op->active);
    }
    return loss;
}

static struct lq_op_router router_of(const struct choice *c, bool normalized)
{
    const size_t n = (size_t)(c->tokens * c->experts);
    const size_t chosen = (size_t)(c->tokens * c->active);
    float *logits = random_floats(n, 7, 2.0);
    for (size_t i = 0; i < n; i += 3) {
        logits[i] = roundf(logits[i]); /* ties */
    }
    return (struct lq_op_router){.tokens = c->tokens,
                                 .experts = c->experts,
                                 .active = c->active,
                                 .normalized = normalized,
                                 .logits = logits,
                                 .weights = poisoned_floats(chosen),
                                 .index = poisoned_indices(chosen),
                                 .d_weights = random_floats(chosen, 8, 1.0),
                                 .d_logits = poisoned_floats(n)};
}

static void check_router(struct lq_device *device, const struct choice *c, bool normalized)
{
    struct lq_op_router op = router_of(c, normalized);
    const size_t n = (size_t)(c->tokens * c->experts);
    const size_t chosen = (size_t)(c->tokens * c->active);
    OK(lq_cpu_router(device, &op, LQ_PASS_FORWARD, &err));
    const double bytes = 4.0 * (double)n;
    assert_tally(device, (struct lq_tally){.traffic_bytes = bytes, .calls = 1.0});
    double *wide = widen(op.logits, n);
    double *want = zero_doubles(chosen);
    for (int64_t t = 0; t < c->tokens; t++) {
        const int32_t *index = op.index + t * c->active;
        for (int64_t k = 0; k < c->active; k++) {
            ck_assert_int_ge(index[k], 0);
            ck_assert_int_lt(index[k], c->experts);
            const float *logits = (const float *)op.logits + t * c->experts;
            ck_assert_int_eq(rank_of(logits, c->experts, index[k]), k);
        }
        weigh(wide + t * c->experts, &op, index, want + t * c->active);
    }
    assert_near("weights", op.weights, want, chosen, FORWARD_TOLERANCE);
    OK(lq_cpu_router(device, &op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 2.0 * bytes, .calls = 1.0});
    if (n < 4000) { /* differences take the square of that */
        const struct router_loss l = {&op, wide};
        assert_near("d_logits", op.d_logits, gradient_of(loss_of_router, &l, wide, n), n,
                    BACKWARD_TOLERANCE);
    }
}

START_TEST(the_largest_logits_choose_and_weigh_their_experts)
{
    struct lq_device *device = open_device(1 + _i % THREADS);
    check_router(device, &CHOICES[_i / THREADS], true);
    check_router(device, &CHOICES[_i / THREADS], false);
}
END_TEST

START_TEST(ties_go_to_the_lower_index)
{
    const float logits[6] = {1.0F, 2.0F, 2.0F, 0.0F, 2.0F, 1.0F};
    int32_t index[5];
    float weights[5];
    const struct lq_op_router op = {.tokens = 1,
                                    .experts = 6,
                                    .active = 5,
                                    .normalized = true,
                                    .logits = logits,
                                    .index = index,
                                    .weights = weights};
    OK(lq_cpu_router(open_device(1), &op, LQ_PASS_FORWARD, &err));
    static const int32_t WANT[5] = {1, 2, 4, 0, 5};
    ck_assert_mem_eq(index, WANT, sizeof WANT);
}
END_TEST

/* Who gets the tokens: by turns with a gap, all to one, or at random. */
enum load { LOAD_GAPS, LOAD_ONE, LOAD_RANDOM, LOAD_COUNT };

static int32_t *load_of(enum load load, int64_t tokens, int64_t experts, int64_t active)
{
    int32_t *index = poisoned_indices((size_t)(tokens * active));
    const float *noise = random_floats((size_t)tokens, 11, 100.0);
    for (int64_t t = 0; t < tokens; t++) {
        int64_t first = experts - 1;
        if (load == LOAD_GAPS) {
            first = t % (1 + experts / 2);
        } else if (load == LOAD_RANDOM) {
            first = (int64_t)fabsf(noise[t]) % experts;
        }
        for (int64_t k = 0; k < active; k++) {
            index[t * active + k] = (int32_t)((first + k) % experts);
        }
    }
    return index;
}

static struct lq_op_permutation permutation_of(enum load load, int64_t tokens, int64_t hidden,
                                               int64_t experts, int64_t active)
{
    const size_t small = (size_t)(tokens * hidden);
    const size_t large = small * (size_t)active;
    const size_t chosen = (size_t)(tokens * active);
    return (struct lq_op_permutation){.tokens = tokens,
                                      .hidden = hidden,
                                      .experts = experts,
                                      .active = active,
                                      .index = load_of(load, tokens, experts, active),
                                      .offsets = poisoned_indices((size_t)experts + 1),
                                      .slots = poisoned_indices(chosen),
                                      .x = random_floats(small, 1, 1.0),
                                      .sorted = poisoned_floats(large),
                                      .weights = random_floats(chosen, 2, 1.0),
                                      .y = poisoned_floats(small),
                                      .d_y = random_floats(small, 3, 1.0),
                                      .d_sorted = random_floats(large, 4, 1.0),
                                      .d_weights = poisoned_floats(chosen),
                                      .d_x = poisoned_floats(small)};
}

static struct lq_op_permutation permutation_at(int i)
{
    static const struct choice SIZES[] = {{1, 1, 1}, {17, 8, 2}, {129, 5, 3}, {300, 64, 4}};
    static const int64_t HIDDEN[] = {1, 129, 33, 17};
    const struct choice *c = &SIZES[i / LOAD_COUNT];
    return permutation_of((enum load)(i % LOAD_COUNT), c->tokens, HIDDEN[i / LOAD_COUNT],
                          c->experts, c->active);
}
enum { PERMUTATION_COUNT = 4 * LOAD_COUNT };

START_TEST(slots_are_a_stable_sort_by_expert)
{
    struct lq_device *device = open_device(2);
    const struct lq_op_permutation op = permutation_at(_i);
    OK(lq_cpu_sort(device, &op, &err));
    assert_tally(device, (struct lq_tally){.calls = 1.0});
    const int64_t n = op.tokens * op.active;
    int32_t slot = 0;
    for (int32_t e = 0; e < op.experts; e++) {
        ck_assert_int_eq(op.offsets[e], slot);
        for (int64_t i = 0; i < n; i++) {
            if (op.index[i] == e) {
                ck_assert_int_eq(op.slots[i], slot);
                slot++;
            }
        }
    }
    ck_assert_int_eq(op.offsets[op.experts], n);
}
END_TEST

START_TEST(gathered_rows_are_their_tokens)
{
    struct lq_device *device = open_device(1 + _i % THREADS);
    const struct lq_op_permutation op = permutation_at(_i);
    OK(lq_cpu_sort(device, &op, &err));
    OK(lq_cpu_gather(device, &op, LQ_PASS_FORWARD, &err));
    OK(lq_cpu_gather(device, &op, LQ_PASS_BACKWARD, &err));
    double *want = zero_doubles((size_t)(op.tokens * op.hidden));
    for (int64_t i = 0; i < op.tokens * op.active; i++) {
        const int64_t t = i / op.active;
        const int64_t at = op.slots[i] * op.hidden;
        assert_same("sorted", (const float *)op.sorted + at, (const float *)op.x + t * op.hidden,
                    (size_t)op.hidden);
        for (int64_t h = 0; h < op.hidden; h++) {
            want[t * op.hidden + h] += (double)((const float *)op.d_sorted)[at + h];
        }
    }
    assert_near("d_x", op.d_x, want, (size_t)(op.tokens * op.hidden), FORWARD_TOLERANCE);
    const double bytes = 4.0 * (double)(op.tokens * op.hidden);
    const double active = (double)op.active;
    assert_tally(device,
                 (struct lq_tally){.traffic_bytes = (3.0 * active + 1.0) * bytes, .calls = 3.0});
}
END_TEST

START_TEST(combined_rows_are_weighted_sums)
{
    struct lq_device *device = open_device(1 + _i % THREADS);
    struct lq_op_permutation op = permutation_at(_i);
    const size_t small = (size_t)(op.tokens * op.hidden);
    const size_t chosen = (size_t)(op.tokens * op.active);
    const size_t large = small * (size_t)op.active;
    op.sorted = random_floats(large, 5, 1.0);
    op.d_sorted = poisoned_floats(large);
    OK(lq_cpu_sort(device, &op, &err));
    OK(lq_cpu_combine(device, &op, LQ_PASS_FORWARD, &err));
    OK(lq_cpu_combine(device, &op, LQ_PASS_BACKWARD, &err));
    double *y = zero_doubles(small);
    double *d_sorted = zero_doubles(large);
    double *d_weights = zero_doubles(chosen);
    for (size_t i = 0; i < chosen; i++) {
        const size_t token = i / (size_t)op.active * (size_t)op.hidden;
        const size_t slot = (size_t)op.slots[i] * (size_t)op.hidden;
        for (size_t h = 0; h < (size_t)op.hidden; h++) {
            const double row = (double)((const float *)op.sorted)[slot + h];
            const double d_y = (double)((const float *)op.d_y)[token + h];
            y[token + h] += (double)op.weights[i] * row;
            d_sorted[slot + h] = (double)op.weights[i] * d_y;
            d_weights[i] += row * d_y;
        }
    }
    assert_near("y", op.y, y, small, FORWARD_TOLERANCE);
    assert_near("d_sorted", op.d_sorted, d_sorted, large, FORWARD_TOLERANCE);
    assert_near("d_weights", op.d_weights, d_weights, chosen, FORWARD_TOLERANCE);
    const double active = (double)op.active;
    assert_tally(device,
                 (struct lq_tally){.traffic_bytes = 4.0 * (4.0 * active + 1.0) * (double)small,
                                   .calls = 3.0});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_moe");
    TCase *tests = tcase_create("cpu_moe");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, the_largest_logits_choose_and_weigh_their_experts, 0,
                        CHOICE_COUNT * THREADS);
    tcase_add_test(tests, ties_go_to_the_lower_index);
    tcase_add_loop_test(tests, slots_are_a_stable_sort_by_expert, 0, PERMUTATION_COUNT);
    tcase_add_loop_test(tests, gathered_rows_are_their_tokens, 0, PERMUTATION_COUNT);
    tcase_add_loop_test(tests, combined_rows_are_weighted_sums, 0, PERMUTATION_COUNT);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
