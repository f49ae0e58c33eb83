/* Comparison of a computed number with a printed one, for the planner's figures. */
#pragma once

#include <check.h>
#include <math.h>

/* |got - want| <= atol + rtol |want|; a failure prints both and the share of the tolerance used. */
static inline void expect_near(const char *what, double got, double want, double atol, double rtol)
{
    const double tolerance = atol + rtol * fabs(want);
    ck_assert_msg(fabs(got - want) <= tolerance, "%s: got %.9g, want %.9g (%.2f of the tolerance)",
                  what, got, want, fabs(got - want) / tolerance);
}
