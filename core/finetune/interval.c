/* Log-normal intervals. Where a spread comes from is decided by evidence.c. */
#include "core/finetune/interval.h"

#include "core/base/normal.h"

#include <math.h>

double lq_interval_z(double level)
{
    return lq_normal_quantile(0.5 + 0.5 * level);
}

void lq_interval_around(double value, double log_sd, double z, double bounds[2])
{
    const double factor = exp(z * log_sd);
    bounds[0] = value / factor;
    bounds[1] = value * factor;
}
