/* The effective expert count of Clark et al. (arXiv 2202.01169, Eq. 10): E saturated at both ends.
 */
#pragma once

/* ln of Eh, 1/Eh = 1/(E - 1 + 1/(1/start - 1/max)) + 1/max, and its derivatives; Eh(1) = start. */
struct lq_effective_experts {
    double log;
    double by_start; /* d ln Eh / d start */
    double by_max;   /* d ln Eh / d max */
};

double lq_effective_experts_log(double experts, double start, double max);
struct lq_effective_experts lq_effective_experts(double experts, double start, double max);
