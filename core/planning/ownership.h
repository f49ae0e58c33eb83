/* Tune or buy: what a month of tuning and serving a model oneself costs beside buying the tokens,
 * and when it pays. */
#pragma once

/* Prices and capacities, and how far two of them may be off. A group is the GPUs that serve one
 * copy of the model; groups are rented around the clock, as many as the traffic needs. */
struct lq_ownership {
    double tuning_usd;               /* once */
    double tuning_log_sd;            /* of ln(tuning_usd) */
    double group_usd_per_month;      /* > 0 */
    double group_requests_per_month; /* that one group answers; > 0 */
    double serving_log_sd;           /* of ln(group_requests_per_month) */
    double api_usd_per_request;      /* bought; > 0 */
    double requests_per_month;       /* 0 = not said */
};

/* 365 days of 24 hours in 12 months. */
#define LQ_HOURS_PER_MONTH 730.0

/* Groups that so many requests a month need; at least one. */
double lq_own_groups(const struct lq_ownership *o);

/* Tuning once and serving for so many months; at `requests_per_month`. USD. */
double lq_own_usd(const struct lq_ownership *o, double months);

/* The requests as bought. USD. */
double lq_buy_usd(const struct lq_ownership *o, double months);

/* The fewest requests per month at which owning costs no more than buying over so many months (>
 * 0); INFINITY where a full group costs more than what it answers costs to buy. With n groups
 * owning costs tuning / months + n M a month, and n is the least for which that is within what n
 * groups' requests cost to buy. */
double lq_own_break_even_requests(const struct lq_ownership *o, double months);

/* Months until owning has cost no more than buying; INFINITY where each month costs more. `unused`
 * is not looked at. */
double lq_own_break_even_months(const struct lq_ownership *o, double unused);

/* One of the quantities above. */
typedef double (*lq_own_quantity)(const struct lq_ownership *o, double argument);

/* Central interval of a quantity at a level in (0, 1): the tuning cost and the capacity of a group
 * are log-normal and independent, at 24 equally likely nodes each. A bound may be INFINITY. */
void lq_own_interval(const struct lq_ownership *o, lq_own_quantity quantity, double argument,
                     double level, double bounds[2]);

/* Probability that owning costs less than buying over so many months, by the same nodes. */
double lq_own_chance(const struct lq_ownership *o, double months);
