/* Choosing experts by a backend, and its gradient, against plain loops in double precision. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

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
    const int32_t *index;
    const float *d_weights;
};

static double loss_of_router(const void *context)
{
    const struct router_loss *l = context;
    double loss = 0.0;
    for (int64_t t = 0; t < l->op->tokens; t++) {
        double weights[EXPERTS_MAX];
        weigh(l->logits + t * l->op->experts, l->op, l->index + t * l->op->active, weights);
        loss += dot(weights, l->d_weights + t * l->op->active, (size_t)l->op->active);
    }
    return loss;
}

/* A router on a device, and its logits as that holds them. */
struct routing {
    struct lq_device *device;
    struct lq_op_router op;
    size_t n;
    size_t chosen;
    const float *logits;
    const float *d_weights;
};

static struct routing routing_of(struct lq_device *device, const struct choice *c, bool normalized)
{
    struct routing r = {.device = device,
                        .op = {.tokens = c->tokens,
                               .experts = c->experts,
                               .active = c->active,
                               .normalized = normalized},
                        .n = (size_t)(c->tokens * c->experts),
                        .chosen = (size_t)(c->tokens * c->active)};
    float *logits = random_inputs(device, r.n, 7, 2.0);
    for (size_t i = 0; i < r.n; i += 3) {
        logits[i] = roundf(logits[i]); /* ties */
    }
    r.logits = logits;
    r.d_weights = random_floats(r.chosen, 8, 1.0);
    r.op.logits = upload(device, logits, r.n);
    r.op.weights = upload_bytes(device, poisoned_floats(r.chosen), r.chosen * sizeof(float));
    r.op.index = upload_bytes(device, poisoned_indices(r.chosen), r.chosen * sizeof(int32_t));
    r.op.d_weights = upload_bytes(device, r.d_weights, r.chosen * sizeof(float));
    r.op.d_logits = poisoned(device, r.n);
    return r;
}

static void check_index(const struct routing *r, const int32_t *index)
{
    for (size_t i = 0; i < r->chosen; i++) {
        const int64_t t = (int64_t)i / r->op.active;
        ck_assert_int_ge(index[i], 0);
        ck_assert_int_lt(index[i], r->op.experts);
        ck_assert_int_eq(rank_of(r->logits + t * r->op.experts, r->op.experts, index[i]),
                         (int64_t)i % r->op.active);
    }
}

static void check_router(struct lq_device *device, const struct choice *c, bool normalized)
{
    const struct routing r = routing_of(device, c, normalized);
    OK(subject()->router(device, &r.op, LQ_PASS_FORWARD, &err));
    const double bytes = (double)(r.n * element_bytes(device));
    assert_tally(device, (struct lq_tally){.traffic_bytes = bytes, .calls = 1.0});
    double *wide = widen(r.logits, r.n);
    double *want = zero_doubles(r.chosen);
    const int32_t *index = download_bytes(device, r.op.index, r.chosen * sizeof *index);
    check_index(&r, index);
    for (int64_t t = 0; t < c->tokens; t++) {
        weigh(wide + t * c->experts, &r.op, index + t * c->active, want + t * c->active);
    }
    assert_near("weights", download_bytes(device, r.op.weights, r.chosen * sizeof(float)), want,
                r.chosen, FORWARD_TOLERANCE);
    OK(subject()->router(device, &r.op, LQ_PASS_BACKWARD, &err));
    assert_tally(device, (struct lq_tally){.traffic_bytes = 2.0 * bytes, .calls = 1.0});
    if (r.n < 4000) { /* differences take the square of that */
        const struct router_loss l = {&r.op, wide, index, r.d_weights};
        assert_near("d_logits", download(device, r.op.d_logits, r.n),
                    gradient_of(loss_of_router, &l, wide, r.n), r.n,
                    within(device, BACKWARD_TOLERANCE));
    }
}

START_TEST(the_largest_logits_choose_and_weigh_their_experts)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    check_router(device, &CHOICES[_i / VARIANTS], true);
    check_router(device, &CHOICES[_i / VARIANTS], false);
}
END_TEST

START_TEST(ties_go_to_the_lower_index)
{
    static const float LOGITS[6] = {1.0F, 2.0F, 2.0F, 0.0F, 2.0F, 1.0F};
    static const int32_t WANT[5] = {1, 2, 4, 0, 5};
    struct lq_device *device = open_device(1 + _i);
    const struct lq_op_router op = {
        .tokens = 1,
        .experts = 6,
        .active = 5,
        .normalized = true,
        .logits = upload(device, LOGITS, 6),
        .index = upload_bytes(device, poisoned_indices(5), 5 * sizeof(int32_t)),
        .weights = upload_bytes(device, poisoned_floats(5), 5 * sizeof(float))};
    OK(subject()->router(device, &op, LQ_PASS_FORWARD, &err));
    ck_assert_mem_eq(download_bytes(device, op.index, sizeof WANT), WANT, sizeof WANT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("router");
    TCase *tests = tcase_create("router");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, the_largest_logits_choose_and_weigh_their_experts, 0,
                        CHOICE_COUNT * VARIANTS);
    tcase_add_loop_test(tests, ties_go_to_the_lower_index, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
