/* Log-normal intervals. Where a spread comes from is decided by evidence.c. */
#include "core/finetune/interval.h"

#include <math.h>

double lq_interval_z(double level)
{
    const double tail = 0.5 * (1.0 - level);
    const double sqrt_two_pi = 2.5066282746310002;
    double z = 1.0;
    for (int i = 0; i < 60; i++) {
        const double excess = 0.5 * erfc(z / 1.4142135623730951) - tail;
        const double density = exp(-0.5 * z * z) / sqrt_two_pi;
        double step = excess / density;
        /* far from the root the density vanishes: a bounded step keeps Newton from leaving */
        step = fmin(fmax(step, -1.0), 1.0);
        z += step;
        if (fabs(step) < 1e-13) {
            break;
        }
    }
    return z;
}

void lq_interval_around(double value, double log_sd, double z, double bounds[2])
{
    bounds[0] = value / exp(z * log_sd);
    bounds[1] = value * exp(z * log_sd);
}
