/* Tokens moved to experts and back by a backend against plain loops in double precision. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

struct choice {
    int64_t tokens;
    int64_t experts;
    int64_t active;
};

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

/* An operation on a device, and its inputs as that holds them. */
struct permutation {
    struct lq_device *device;
    struct lq_op_permutation op;
    size_t small;  /* elements of a row per token */
    size_t large;  /* of a row per choice */
    size_t chosen; /* choices */
    const int32_t *index;
    const float *x;
    const float *sorted; /* inputs of combine */
    const float *weights;
    const float *d_y;
    const float *d_sorted; /* input of gather's backward */
};

static void *indices_on(struct lq_device *device, const int32_t *index, size_t n)
{
    return upload_bytes(device, index, n * sizeof *index);
}

static struct permutation permutation_of(struct lq_device *device, enum load load,
                                         const struct choice *c, int64_t hidden)
{
    struct permutation p = {
        .device = device,
        .op = {.tokens = c->tokens, .hidden = hidden, .experts = c->experts, .active = c->active},
        .small = (size_t)(c->tokens * hidden),
        .large = (size_t)(c->tokens * c->active * hidden),
        .chosen = (size_t)(c->tokens * c->active)};
    const size_t experts = (size_t)c->experts;
    p.index = load_of(load, c->tokens, c->experts, c->active);
    p.x = random_inputs(device, p.small, 1, 1.0);
    p.weights = random_floats(p.chosen, 2, 1.0);
    p.d_y = random_inputs(device, p.small, 3, 1.0);
    p.d_sorted = random_inputs(device, p.large, 4, 1.0);
    p.sorted = random_inputs(device, p.large, 5, 1.0);
    p.op.index = indices_on(device, p.index, p.chosen);
    p.op.offsets = indices_on(device, poisoned_indices(experts + 1), experts + 1);
    p.op.slots = indices_on(device, poisoned_indices(p.chosen), p.chosen);
    p.op.x = upload(device, p.x, p.small);
    p.op.sorted = poisoned(device, p.large);
    p.op.weights = upload_bytes(device, p.weights, p.chosen * sizeof(float));
    p.op.y = poisoned(device, p.small);
    p.op.d_y = upload(device, p.d_y, p.small);
    p.op.d_sorted = upload(device, p.d_sorted, p.large);
    p.op.d_weights = upload_bytes(device, poisoned_floats(p.chosen), p.chosen * sizeof(float));
    p.op.d_x = poisoned(device, p.small);
    return p;
}

static const struct choice SIZES[] = {{1, 1, 1}, {17, 8, 2}, {129, 5, 3}, {300, 64, 4}, {19, 4, 4}};
static const int64_t HIDDEN[] = {1, 129, 33, 17, 32};
enum { PERMUTATION_COUNT = 5 * LOAD_COUNT * VARIANTS };

static struct permutation permutation_at(int i)
{
    struct lq_device *device = open_device(1 + i % VARIANTS);
    const int at = i / VARIANTS / LOAD_COUNT;
    return permutation_of(device, (enum load)(i / VARIANTS % LOAD_COUNT), &SIZES[at], HIDDEN[at]);
}

static const int32_t *slots_of(const struct permutation *p)
{
    return download_bytes(p->device, p->op.slots, p->chosen * sizeof(int32_t));
}

static void check_slots(const struct permutation *p)
{
    const int32_t *slots = slots_of(p);
    const int32_t *offsets =
        download_bytes(p->device, p->op.offsets, (size_t)(p->op.experts + 1) * sizeof *offsets);
    int32_t slot = 0;
    for (int32_t e = 0; e < p->op.experts; e++) {
        ck_assert_int_eq(offsets[e], slot);
        for (size_t i = 0; i < p->chosen; i++) {
            if (p->index[i] == e) {
                ck_assert_int_eq(slots[i], slot);
                slot++;
            }
        }
    }
    ck_assert_int_eq(offsets[p->op.experts], (int64_t)p->chosen);
}

START_TEST(slots_are_a_stable_sort_by_expert)
{
    const struct permutation p = permutation_at(_i);
    OK(subject()->sort(p.device, &p.op, &err));
    assert_tally(p.device, (struct lq_tally){.calls = 1.0});
    check_slots(&p);
}
END_TEST

/* More choices than chunks of the least size. */
START_TEST(slots_of_many_tokens_are_a_stable_sort)
{
    static const struct choice MANY = {1500, 37, 50};
    struct lq_device *device = open_device(1 + _i);
    struct permutation p = permutation_of(device, LOAD_RANDOM, &MANY, 1);
    OK(subject()->sort(device, &p.op, &err));
    check_slots(&p);
}
END_TEST

START_TEST(no_tokens_have_no_slots)
{
    static const struct choice NONE = {0, 5, 2};
    struct lq_device *device = open_device(1 + _i);
    struct permutation p = permutation_of(device, LOAD_GAPS, &NONE, 3);
    OK(subject()->sort(device, &p.op, &err));
    OK(subject()->gather(device, &p.op, LQ_PASS_FORWARD, &err));
    OK(subject()->combine(device, &p.op, LQ_PASS_BACKWARD, &err));
    check_slots(&p);
}
END_TEST

START_TEST(gathered_rows_are_their_tokens)
{
    const struct permutation p = permutation_at(_i);
    OK(subject()->sort(p.device, &p.op, &err));
    OK(subject()->gather(p.device, &p.op, LQ_PASS_FORWARD, &err));
    OK(subject()->gather(p.device, &p.op, LQ_PASS_BACKWARD, &err));
    const int32_t *slots = slots_of(&p);
    const float *sorted = download(p.device, p.op.sorted, p.large);
    double *want = zero_doubles(p.small);
    for (int64_t i = 0; i < (int64_t)p.chosen; i++) {
        const int64_t to = i / p.op.active * p.op.hidden;
        const int64_t at = slots[i] * p.op.hidden;
        assert_same("sorted", sorted + at, p.x + to, (size_t)p.op.hidden);
        for (int64_t h = 0; h < p.op.hidden; h++) {
            want[to + h] += (double)p.d_sorted[at + h];
        }
    }
    assert_near("d_x", download(p.device, p.op.d_x, p.small), want, p.small,
                within(p.device, FORWARD_TOLERANCE));
    const double bytes = (double)(p.small * element_bytes(p.device));
    const double active = (double)p.op.active;
    assert_tally(p.device,
                 (struct lq_tally){.traffic_bytes = (3.0 * active + 1.0) * bytes, .calls = 3.0});
}
END_TEST

/* What combine and its backward pass must write. */
struct combined {
    double *y;
    double *d_sorted;
    double *d_weights;
};

static struct combined combine_plainly(const struct permutation *p)
{
    const struct combined c = {zero_doubles(p->small), zero_doubles(p->large),
                               zero_doubles(p->chosen)};
    const int32_t *slots = slots_of(p);
    const size_t hidden = (size_t)p->op.hidden;
    for (size_t i = 0; i < p->chosen; i++) {
        const size_t token = i / (size_t)p->op.active * hidden;
        const size_t slot = (size_t)slots[i] * hidden;
        for (size_t h = 0; h < hidden; h++) {
            const double row = (double)p->sorted[slot + h];
            const double d_y = (double)p->d_y[token + h];
            c.y[token + h] += (double)p->weights[i] * row;
            c.d_sorted[slot + h] = (double)p->weights[i] * d_y;
            c.d_weights[i] += row * d_y;
        }
    }
    return c;
}

START_TEST(combined_rows_are_weighted_sums)
{
    struct permutation p = permutation_at(_i);
    p.op.sorted = upload(p.device, p.sorted, p.large);
    p.op.d_sorted = poisoned(p.device, p.large);
    OK(subject()->sort(p.device, &p.op, &err));
    OK(subject()->combine(p.device, &p.op, LQ_PASS_FORWARD, &err));
    OK(subject()->combine(p.device, &p.op, LQ_PASS_BACKWARD, &err));
    const struct combined want = combine_plainly(&p);
    const double tolerance = within(p.device, FORWARD_TOLERANCE);
    assert_near("y", download(p.device, p.op.y, p.small), want.y, p.small, tolerance);
    assert_near("d_sorted", download(p.device, p.op.d_sorted, p.large), want.d_sorted, p.large,
                tolerance);
    assert_near("d_weights", download_bytes(p.device, p.op.d_weights, p.chosen * sizeof(float)),
                want.d_weights, p.chosen, FORWARD_TOLERANCE);
    const double bytes = (double)(p.small * element_bytes(p.device));
    const double active = (double)p.op.active;
    assert_tally(p.device,
                 (struct lq_tally){.traffic_bytes = (4.0 * active + 1.0) * bytes, .calls = 3.0});
}
END_TEST

START_TEST(the_same_bytes_come_out_in_every_order)
{
    struct permutation p = permutation_of(open_device(1 + _i), LOAD_RANDOM, &SIZES[3], 17);
    const void *first[3] = {NULL};
    for (uint64_t seed = 0; seed < 4; seed++) {
        subject_order(seed);
        OK(subject()->sort(p.device, &p.op, &err));
        OK(subject()->gather(p.device, &p.op, LQ_PASS_FORWARD, &err));
        OK(subject()->combine(p.device, &p.op, LQ_PASS_FORWARD, &err));
        const void *got[3] = {slots_of(&p), download(p.device, p.op.sorted, p.large),
                              download(p.device, p.op.y, p.small)};
        const size_t counts[3] = {p.chosen, p.large, p.small};
        for (int i = 0; i < 3; i++) {
            first[i] = seed == 0 ? got[i] : first[i];
            ck_assert(same_bytes(got[i], first[i], counts[i] * sizeof(float)));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("permutation");
    TCase *tests = tcase_create("permutation");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, slots_are_a_stable_sort_by_expert, 0, PERMUTATION_COUNT);
    tcase_add_loop_test(tests, slots_of_many_tokens_are_a_stable_sort, 0, VARIANTS);
    tcase_add_loop_test(tests, no_tokens_have_no_slots, 0, VARIANTS);
    tcase_add_loop_test(tests, gathered_rows_are_their_tokens, 0, PERMUTATION_COUNT);
    tcase_add_loop_test(tests, combined_rows_are_weighted_sums, 0, PERMUTATION_COUNT);
    tcase_add_loop_test(tests, the_same_bytes_come_out_in_every_order, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
