/* Searched numbers: the grid of starts, the way to coefficients and back, bootstrap samples. */
#include "core/planning/law_fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* An amplitude of zero has no logarithm; this is as good as none. */
static const double LOG_NOTHING = -40.0;

size_t lq_law_fit_start_count(const struct lq_law_form *form)
{
    size_t count = 1;
    for (int j = 0; j < form->coefficients; j++) {
        count *= (size_t)form->coefficient[j].starts;
    }
    return count;
}

void lq_law_fit_start(const struct lq_law_form *form, size_t index, double *searched)
{
    for (int j = 0; j < form->coefficients; j++) {
        const struct lq_law_coefficient *c = &form->coefficient[j];
        searched[j] = c->first + c->step * (double)(index % (size_t)c->starts);
        index /= (size_t)c->starts;
    }
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b != 0) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Steps of the golden section around the grid visit every start once and none near the last. */
size_t lq_law_fit_start_shuffled(const struct lq_law_form *form, size_t i)
{
    const size_t count = lq_law_fit_start_count(form);
    size_t step = (size_t)(0.6180339887498949 * (double)count);
    step = step > 0 ? step : 1;
    while (common_divisor(step, count) != 1) {
        step++;
    }
    return (size_t)(((uint64_t)i % count) * step % count);
}

static double log_or_nothing(double x)
{
    return x > 0.0 ? fmax(log(x), LOG_NOTHING) : LOG_NOTHING;
}

void lq_law_fit_start_at(const struct lq_law_form *form, const double *coefficient,
                         double *searched)
{
    for (int j = 0; j < form->coefficients; j++) {
        switch (form->coefficient[j].scale) {
        case LQ_SCALE_LINEAR:
            searched[j] = coefficient[j];
            break;
        case LQ_SCALE_LOG:
            searched[j] = log_or_nothing(coefficient[j]);
            break;
        case LQ_SCALE_ABOVE:
            searched[j] = log_or_nothing(coefficient[j] - coefficient[j - 1]);
            break;
        }
    }
}

void lq_law_fit_coefficients(const struct lq_law_form *form, const double *searched,
                             double *coefficient)
{
    for (int j = 0; j < form->coefficients; j++) {
        switch (form->coefficient[j].scale) {
        case LQ_SCALE_LINEAR:
            coefficient[j] = searched[j];
            break;
        case LQ_SCALE_LOG:
            coefficient[j] = exp(searched[j]);
            break;
        case LQ_SCALE_ABOVE:
            coefficient[j] = coefficient[j - 1] + exp(searched[j]);
            break;
        }
    }
}

/* splitmix64 (Steele, Lea and Flood 2014): one well mixed number per counter. */
static uint64_t mixed(uint64_t counter)
{
    uint64_t z = counter * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

void lq_law_fit_resample(const struct lq_law_fit_problem *problem, uint64_t seed, uint64_t index,
                         double *weights)
{
    memset(weights, 0, lq_law_fit_padded(problem->n) * sizeof *weights);
    const uint64_t stream = mixed(seed ^ mixed(index + 1));
    for (size_t i = 0; i < problem->n; i++) {
        const size_t drawn = (size_t)(mixed(stream + i) % problem->n);
        weights[drawn] += problem->weights[drawn];
    }
}

void lq_law_coefficient_names(const struct lq_law_form *form, unsigned bits, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int j = 0; j < form->coefficients && used < size; j++) {
        const unsigned bit = 1U << (unsigned)j;
        if ((bits & bit) != 0) {
            bits &= ~bit;
            const char *joint = used == 0 ? "" : bits == 0 ? " and " : ", ";
            used +=
                (size_t)snprintf(out + used, size - used, "%s%s", joint, form->coefficient[j].name);
        }
    }
}
