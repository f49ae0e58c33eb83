/* What a duration costs, and how far a quantity may be off. */
#include "core/finetune/cost.h"
#include "core/finetune/interval.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

START_TEST(whole_instances_are_paid)
{
    const struct lq_offer eight = {8, 16.0};
    const struct lq_cost ten = lq_cost_of(&eight, 10, 1800.0);
    ck_assert_int_eq(ten.instances, 2);
    ck_assert_int_eq(ten.idle_gpus, 6);
    ck_assert_double_eq(ten.usd_per_gpu_h, 2.0);
    ck_assert_double_eq(ten.cost_usd, 16.0); /* two for half an hour */
    const struct lq_offer one = {1, 0.79};
    const struct lq_cost single = lq_cost_of(&one, 1, 3600.0);
    ck_assert_int_eq(single.instances, 1);
    ck_assert_int_eq(single.idle_gpus, 0);
    assert_close("cost", single.cost_usd, 0.79, 1e-12);
}
END_TEST

START_TEST(intervals_are_symmetric_in_logarithms)
{
    ck_assert_double_eq_tol(lq_interval_z(0.9), 1.6448536269514722, 1e-10);
    ck_assert_double_eq_tol(lq_interval_z(0.95), 1.9599639845400545, 1e-10);
    double bounds[2];
    lq_interval_around(10.0, log(2.0), 1.0, bounds);
    assert_close("low", bounds[0], 5.0, 1e-12);
    assert_close("high", bounds[1], 20.0, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *tests = tcase_create("cost");
    tcase_add_test(tests, whole_instances_are_paid);
    tcase_add_test(tests, intervals_are_symmetric_in_logarithms);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
