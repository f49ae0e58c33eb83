/* The normal distribution function from libm's erfc, and its inverse. */
#include "core/base/normal.h"

#include <math.h>

static const double SQRT_2 = 1.4142135623730951;
static const double SQRT_2_PI = 2.5066282746310002;

double lq_normal_below(double z)
{
    return 0.5 * erfc(-z / SQRT_2);
}

double lq_normal_quantile(double p)
{
    /* by symmetry in the lower half, where erfc loses no digits */
    const double sign = p > 0.5 ? -1.0 : 1.0;
    const double tail = p > 0.5 ? 1.0 - p : p;
    /* Below the quantile, since the share below -x is under exp(-x^2 / 2): from there steps on the
     * logarithm of the share, which is concave, rise to it and never leave the tail. */
    double z = -sqrt(-2.0 * log(tail));
    for (int i = 0; i < 100; i++) {
        const double density = exp(-0.5 * z * z) / SQRT_2_PI;
        const double share = lq_normal_below(z);
        const double step = log(tail / share) * share / density;
        z += step;
        if (fabs(step) < 1e-13 * (1.0 + fabs(z))) {
            break;
        }
    }
    return sign * z;
}
