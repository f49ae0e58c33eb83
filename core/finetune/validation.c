/* Error measures. Which predictions are compared with what is decided by the caller. */
#include "core/finetune/validation.h"

#include <math.h>

/* Puts the k-th smallest of n values at index k (Hoare's selection), others around it. */
static double select_kth(double *values, size_t n, size_t k)
{
    size_t low = 0;
    size_t high = n - 1;
    while (low < high) {
        const double pivot = values[k];
        size_t i = low;
        size_t j = high;
        while (i <= j) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i > j) {
                break;
            }
            const double swap = values[i];
            values[i] = values[j];
            values[j] = swap;
            i++;
            if (j == 0) {
                break;
            }
            j--;
        }
        if (j < k) {
            low = i;
        }
        if (k < i) {
            high = j;
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
