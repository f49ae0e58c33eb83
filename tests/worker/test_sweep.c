/* The order of a sweep, its doubles and limits, and what is skipped once something did not fit. */
#include "kernels/worker/sweep.h"
#include "tests/unit/check_main.h"

#include <string.h>

static struct lq_sweep_item items[LQ_SWEEP_MAX];
static size_t count;
static struct lq_error err;

static void make(const struct lq_sweep_axes *axes)
{
    err = (struct lq_error){0};
    ck_assert_msg(lq_sweep_make(axes, items, &count, &err) == LQ_OK, "%s", err.detail);
}

static struct lq_sweep_axes axes_of_all(void)
{
    return (struct lq_sweep_axes){.methods = {{LQ_METHOD_LORA, LQ_METHOD_FULL}, 2},
                                  .active_experts = {{2, 1}, 2},
                                  .tokens = {{512, 128}, 2},
                                  .batch_sizes = {{4, 1, 2}, 3}};
}

START_TEST(every_combination_comes_once)
{
    const struct lq_sweep_axes axes = axes_of_all();
    make(&axes);
    ck_assert_uint_eq(count, 24);
    for (size_t i = 0; i < count; i++) {
        ck_assert(!items[i].skipped);
        for (size_t j = 0; j < i; j++) {
            ck_assert(items[i].method != items[j].method ||
                      items[i].active_experts != items[j].active_experts ||
                      items[i].tokens != items[j].tokens ||
                      items[i].batch_size != items[j].batch_size);
        }
    }
}
END_TEST

START_TEST(within_a_method_and_its_experts_work_rises)
{
    const struct lq_sweep_axes axes = axes_of_all();
    make(&axes);
    ck_assert_int_eq(items[0].method, LQ_METHOD_FULL);
    ck_assert_int_eq(items[count - 1].method, LQ_METHOD_LORA);
    for (size_t i = 1; i < count; i++) {
        const struct lq_sweep_item *a = &items[i - 1];
        const struct lq_sweep_item *b = &items[i];
        ck_assert_int_le(a->method, b->method);
        if (a->method != b->method) {
            continue;
        }
        ck_assert_int_le(a->active_experts, b->active_experts);
        if (a->active_experts == b->active_experts) {
            ck_assert_int_le(a->batch_size * a->tokens, b->batch_size * b->tokens);
            ck_assert_double_le(lq_sweep_work(a), lq_sweep_work(b));
        }
    }
}
END_TEST

START_TEST(doubles_come_once)
{
    const struct lq_sweep_axes axes = {.methods = {{LQ_METHOD_FULL, LQ_METHOD_FULL}, 2},
                                       .active_experts = {{0}, 1},
                                       .tokens = {{64, 64}, 2},
                                       .batch_sizes = {{1, 2, 1}, 3}};
    make(&axes);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(items[0].batch_size, 1);
    ck_assert_int_eq(items[1].batch_size, 2);
}
END_TEST

START_TEST(equal_work_of_another_shape_is_no_double)
{
    const struct lq_sweep_axes axes = {.methods = {{LQ_METHOD_FULL}, 1},
                                       .active_experts = {{0}, 1},
                                       .tokens = {{64, 128}, 2},
                                       .batch_sizes = {{1, 2}, 2}};
    make(&axes);
    ck_assert_uint_eq(count, 4);
    ck_assert_int_eq(items[1].batch_size, 1);
    ck_assert_int_eq(items[1].tokens, 128);
    ck_assert_int_eq(items[2].batch_size, 2);
    ck_assert_int_eq(items[2].tokens, 64);
}
END_TEST

START_TEST(too_many_points_are_refused)
{
    struct lq_sweep_axes axes = {.methods = {{LQ_METHOD_FULL}, 1},
                                 .active_experts = {{0}, 1},
                                 .tokens = {.count = LQ_LIST_MAX},
                                 .batch_sizes = {.count = LQ_LIST_MAX}};
    for (int i = 0; i < LQ_LIST_MAX; i++) {
        axes.tokens.value[i] = 1 + i;
        axes.batch_sizes.value[i] = 1000 + i;
    }
    make(&axes); /* 32 * 32: as many as there may be */
    ck_assert_uint_eq(count, LQ_SWEEP_MAX);
    axes.methods = (struct lq_counts){{LQ_METHOD_FULL, LQ_METHOD_LORA}, 2};
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_sweep_make(&axes, items, &count, &err), LQ_EFIELD);
    ck_assert_ptr_nonnull(strstr(err.detail, "2048"));
}
END_TEST

START_TEST(what_is_no_smaller_in_any_way_is_skipped_after_a_failure)
{
    const struct lq_sweep_axes axes = axes_of_all();
    make(&axes);
    size_t failed = 0;
    while (items[failed].method != LQ_METHOD_FULL || items[failed].active_experts != 1 ||
           items[failed].tokens != 512 || items[failed].batch_size != 2) {
        failed++;
    }
    /* batch 4 with one expert; 2 and 4 with two */
    ck_assert_uint_eq(lq_sweep_skip(items, count, failed), 3);
    size_t skipped = 0;
    for (size_t i = 0; i < count; i++) {
        skipped += items[i].skipped ? 1 : 0;
        ck_assert(!items[i].skipped || (items[i].method == LQ_METHOD_FULL &&
                                        items[i].tokens == 512 && items[i].batch_size >= 2));
    }
    ck_assert_uint_eq(skipped, 3);
    ck_assert_uint_eq(lq_sweep_skip(items, count, failed), 0); /* they are marked already */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_sweep");
    TCase *tc = tcase_create("sweep");
    tcase_add_test(tc, every_combination_comes_once);
    tcase_add_test(tc, within_a_method_and_its_experts_work_rises);
    tcase_add_test(tc, doubles_come_once);
    tcase_add_test(tc, equal_work_of_another_shape_is_no_double);
    tcase_add_test(tc, too_many_points_are_refused);
    tcase_add_test(tc, what_is_no_smaller_in_any_way_is_skipped_after_a_failure);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
