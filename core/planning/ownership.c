/* Total cost of ownership against bought tokens. What serving takes is in serving.c, what tuning
 * takes in core/finetune/estimate.c. */
#include "core/planning/ownership.h"

#include "core/base/normal.h"

#include <math.h>
#include <stddef.h>

enum { NODES = 24, SAMPLES = NODES * NODES };

/* Traffic that is a group's capacity but for rounding needs one group. */
static const double ROUNDING = 1e-9;

double lq_own_groups(const struct lq_ownership *o)
{
    return fmax(ceil(o->requests_per_month / o->group_requests_per_month - ROUNDING), 1.0);
}

double lq_own_usd(const struct lq_ownership *o, double months)
{
    return o->tuning_usd + months * lq_own_groups(o) * o->group_usd_per_month;
}

double lq_buy_usd(const struct lq_ownership *o, double months)
{
    return months * o->requests_per_month * o->api_usd_per_request;
}

double lq_own_break_even_requests(const struct lq_ownership *o, double months)
{
    const double monthly_usd = o->tuning_usd / months;
    /* what a full group saves in a month */
    const double saved_usd =
        o->group_requests_per_month * o->api_usd_per_request - o->group_usd_per_month;
    if (!(saved_usd > 0.0)) {
        return HUGE_VAL;
    }
    const double groups = fmax(ceil(monthly_usd / saved_usd - ROUNDING), 1.0);
    return (monthly_usd + groups * o->group_usd_per_month) / o->api_usd_per_request;
}

double lq_own_break_even_months(const struct lq_ownership *o, double unused)
{
    (void)unused;
    const double saved_usd =
        o->requests_per_month * o->api_usd_per_request - lq_own_groups(o) * o->group_usd_per_month;
    return saved_usd > 0.0 ? o->tuning_usd / saved_usd : HUGE_VAL;
}

/* The k-th of SAMPLES equally likely states of what is in doubt. */
static struct lq_ownership sample(const struct lq_ownership *o, size_t k)
{
    const double tuning = lq_normal_quantile(((double)(k / NODES) + 0.5) / NODES);
    const double serving = lq_normal_quantile(((double)(k % NODES) + 0.5) / NODES);
    struct lq_ownership s = *o;
    s.tuning_usd *= exp(o->tuning_log_sd * tuning);
    s.group_requests_per_month *= exp(o->serving_log_sd * serving);
    return s;
}

/* Puts a value where it belongs among `n` ascending ones. */
static void insert(double *values, size_t n, double value)
{
    for (; n > 0 && values[n - 1] > value; n--) {
        values[n] = values[n - 1];
    }
    values[n] = value;
}

void lq_own_interval(const struct lq_ownership *o, lq_own_quantity quantity, double argument,
                     double level, double bounds[2])
{
    double values[SAMPLES];
    for (size_t k = 0; k < SAMPLES; k++) {
        const struct lq_ownership s = sample(o, k);
        insert(values, k, quantity(&s, argument));
    }
    const size_t tail = (size_t)(0.5 * (1.0 - level) * SAMPLES);
    bounds[0] = values[tail];
    bounds[1] = values[SAMPLES - 1 - tail];
}

double lq_own_chance(const struct lq_ownership *o, double months)
{
    int cheaper = 0;
    for (size_t k = 0; k < SAMPLES; k++) {
        const struct lq_ownership s = sample(o, k);
        cheaper += lq_own_usd(&s, months) < lq_buy_usd(&s, months);
    }
    return (double)cheaper / SAMPLES;
}
