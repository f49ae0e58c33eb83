/* Error measures. Which predictions are compared with what is decided by the caller. */
#include "core/finetune/validation.h"

#include "core/finetune/interval.h"

#include <math.h>

static void swap(double *a, double *b)
{
    const double kept = *a;
    *a = *b;
    *b = kept;
}

/* The k-th smallest of n values, which are put in another order: quickselect, each round around the
 * middle value. */
static double select_kth(double *values, size_t n, size_t k)
{
    size_t low = 0;
    size_t high = n; /* k lies in [low, high) */
    while (high - low > 1) {
        swap(&values[low + (high - low) / 2], &values[high - 1]);
        const double pivot = values[high - 1];
        size_t smaller = low;
        for (size_t i = low; i + 1 < high; i++) {
            if (values[i] < pivot) {
                swap(&values[i], &values[smaller++]);
            }
        }
        swap(&values[smaller], &values[high - 1]);
        if (k == smaller) {
            break;
        }
        if (k < smaller) {
            high = smaller;
        } else {
            low = smaller + 1;
        }
    }
    return values[k];
}

struct lq_errors lq_errors_of(const double *predicted, const double *measured, size_t n,
                              double *scratch)
{
    struct lq_errors e = {.n = n};
    for (size_t i = 0; i < n; i++) {
        const double off = predicted[i] - measured[i];
        const double relative = predicted[i] / measured[i] - 1.0;
        e.rmse += off * off;
        e.mape += fabs(relative);
        e.bias += relative;
        scratch[i] = fabs(relative);
    }
    e.rmse = sqrt(e.rmse / (double)n);
    e.mape /= (double)n;
    e.bias /= (double)n;
    const size_t rank = (size_t)ceil(0.9 * (double)n) - 1;
    e.p90 = select_kth(scratch, n, rank);
    const double upper = select_kth(scratch, n, n / 2);
    e.median = n % 2 == 1 ? upper : 0.5 * (upper + select_kth(scratch, n, n / 2 - 1));
    return e;
}

struct lq_coverage lq_coverage_of(const double *miss, const double *log_sd, size_t n, double level)
{
    const double z = lq_interval_z(level);
    size_t within = 0;
    double log_sds = 0.0;
    for (size_t i = 0; i < n; i++) {
        within += fabs(miss[i]) <= z * log_sd[i] ? 1 : 0;
        log_sds += log_sd[i];
    }
    return (struct lq_coverage){.level = level,
                                .share = (double)within / (double)n,
                                .width = exp(2.0 * z * log_sds / (double)n)};
}
