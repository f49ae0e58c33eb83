/* Order, front and what-ifs of options. Probabilities of being the cheapest are in
 * compare_cheapest.c. */
#include "core/finetune/compare.h"

#include "core/base/normal.h"

#include <math.h>
#include <string.h>

const char *const LQ_LEAST_NAMES[] = {"cost", "time", NULL};

/* Scatter of repeated runs of one job: 1-2 % in Xia et al.'s tables, as in evidence.c. */
static const double RUN_LOG_SD = 0.02;

/* A chance below this is none: the normal tail that it comes from is not known so far out. */
static const double NEGLIGIBLE = 1e-9;

static int by_value(double a, double b)
{
    return (a > b) - (a < b);
}

static double first_of(const struct lq_choice *o, enum lq_least objective)
{
    return objective == LQ_LEAST_COST ? o->cost_usd : o->duration_s;
}

static double second_of(const struct lq_choice *o, enum lq_least objective)
{
    return objective == LQ_LEAST_COST ? o->duration_s : o->cost_usd;
}

int lq_choice_order(const struct lq_choice *a, const struct lq_choice *b, enum lq_least objective)
{
    int order = by_value(first_of(a, objective), first_of(b, objective));
    if (order == 0) {
        order = by_value(second_of(a, objective), second_of(b, objective));
    }
    return order != 0 ? order : (a->tie > b->tie) - (a->tie < b->tie);
}

bool lq_choice_allowed(const struct lq_choice *option, const struct lq_bounds *bounds)
{
    return !(bounds->budget_usd > 0.0 && option->cost_usd > bounds->budget_usd) &&
           !(bounds->deadline_s > 0.0 && option->duration_s > bounds->deadline_s);
}

double lq_chance_below(double value, double log_sd, double bound)
{
    if (!(bound > 0.0)) {
        return 1.0;
    }
    const double chance = lq_normal_below(log(bound / value) / log_sd);
    return chance >= NEGLIGIBLE ? chance : 0.0;
}

void lq_choice_chances(struct lq_choice *option, const struct lq_bounds *bounds)
{
    option->p_in_budget = lq_chance_below(option->cost_usd, option->log_sd, bounds->budget_usd);
    option->p_in_time = lq_chance_below(option->duration_s, option->log_sd, bounds->deadline_s);
}

void lq_compare_front(struct lq_choice *options, size_t n, enum lq_least objective)
{
    /* in this order whoever improves on the best second quantity so far is dominated by nobody,
     * and so are those that equal it in both */
    const struct lq_choice *last = NULL;
    for (size_t i = 0; i < n; i++) {
        struct lq_choice *o = &options[i];
        const double second = second_of(o, objective);
        o->on_front = last == NULL || second < second_of(last, objective) ||
                      (second == second_of(last, objective) &&
                       first_of(o, objective) == first_of(last, objective));
        last = o->on_front ? o : last;
    }
}

double lq_estimate_own_log_sd(const struct lq_estimate *estimate)
{
    if (estimate->basis.kind == LQ_BASIS_CALIBRATED) {
        return estimate->log_sd;
    }
    const double *member = lq_evidence_member_log_sd(LQ_SCOPE_MODEL);
    double variance = RUN_LOG_SD * RUN_LOG_SD;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        variance += estimate->step.share[f] * estimate->step.share[f] * member[f] * member[f];
    }
    return fmin(sqrt(variance), estimate->log_sd);
}

void lq_compare_share(struct lq_choice *options, size_t n)
{
    double shared = HUGE_VAL; /* variance */
    for (size_t i = 0; i < n; i++) {
        const struct lq_choice *o = &options[i];
        if (o->own_log_sd < o->log_sd) {
            shared = fmin(shared, o->log_sd * o->log_sd - o->own_log_sd * o->own_log_sd);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct lq_choice *o = &options[i];
        o->shared_log_sd = o->own_log_sd < o->log_sd ? sqrt(shared) : 0.0;
    }
}

struct lq_break_even lq_compare_break_even(const struct lq_choice *winner,
                                           double winner_usd_per_gpu_h,
                                           const struct lq_choice *runner_up,
                                           double runner_up_usd_per_gpu_h)
{
    const double ratio = winner->cost_usd / runner_up->cost_usd;
    return (struct lq_break_even){.runner_up_usd_per_gpu_h = runner_up_usd_per_gpu_h * ratio,
                                  .winner_usd_per_gpu_h = winner_usd_per_gpu_h / ratio};
}

double lq_elasticity(double cost_below, double cost_above, double factor_below, double factor_above)
{
    return log(cost_above / cost_below) / log(factor_above / factor_below);
}

static int64_t scaled_tokens(const struct lq_lengths *from, int64_t tokens, double factor)
{
    const double multiple = (double)from->padding_multiple;
    return (int64_t)(fmax(ceil((double)tokens * factor / multiple), 1.0) * multiple);
}

void lq_lengths_scaled(const struct lq_lengths *from, double factor, struct lq_length_bin *scratch,
                       struct lq_lengths *out)
{
    *out = *from;
    out->mean_tokens = from->mean_tokens * factor;
    if (from->padding == LQ_PADDING_PACKED) {
        out->queries_per_row = from->queries_per_row / factor;
        return;
    }
    for (size_t i = 0; i < from->count; i++) {
        scratch[i] =
            (struct lq_length_bin){.tokens = scaled_tokens(from, from->bins[i].tokens, factor),
                                   .queries = from->bins[i].queries};
    }
    out->bins = scratch;
    out->longest_tokens = scaled_tokens(from, from->longest_tokens, factor);
}

struct lq_choice lq_choice_under(const struct lq_choice *options, size_t i,
                                 const struct lq_scenario *scenario)
{
    struct lq_choice o = options[i];
    const double trial = scenario->trial_factor != NULL ? scenario->trial_factor[o.trial] : 1.0;
    const double time = scenario->time_factor * trial;
    o.duration_s *= time;
    o.cost_usd *= time * (i == scenario->repriced ? scenario->price_factor : 1.0);
    return o;
}

size_t lq_compare_best(const struct lq_choice *options, size_t n, enum lq_least objective,
                       const struct lq_bounds *bounds, const struct lq_scenario *scenario)
{
    size_t best = n;
    struct lq_choice first = {.trial = 0};
    for (size_t i = 0; i < n; i++) {
        const struct lq_choice o = lq_choice_under(options, i, scenario);
        if (!(o.duration_s > 0.0) || !lq_choice_allowed(&o, bounds)) {
            continue; /* left out, or beyond the bounds */
        }
        if (best == n || lq_choice_order(&o, &first, objective) < 0) {
            best = i;
            first = o;
        }
    }
    return best;
}
