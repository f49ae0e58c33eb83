/* The effective expert count, which three forms share. What they make of it is theirs. */
#include "core/planning/law_experts.h"

#include <math.h>

double lq_effective_experts_log(double experts, double start, double max)
{
    const double q = experts - 1.0 + start * max / (max - start);
    return log(q * max / (q + max));
}

struct lq_effective_experts lq_effective_experts(double experts, double start, double max)
{
    const double k = start * max / (max - start);
    const double q = experts - 1.0 + k;
    const double effective = q * max / (q + max);
    const double k_by_start = (k / start) * (k / start);
    const double k_by_max = -(k / max) * (k / max);
    return (struct lq_effective_experts){
        .log = log(effective),
        .by_start = effective * k_by_start / (q * q),
        .by_max = effective * (k_by_max / (q * q) + 1.0 / (max * max)),
    };
}
