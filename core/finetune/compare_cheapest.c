/* How likely each option is the cheapest, by quadrature over the errors that options share and
 * those that each device has of its own. */
#include "core/finetune/compare.h"

#include "core/base/normal.h"

#include <math.h>

/* Equally likely strata of a normal, met at their medians. */
enum { SHARED_NODES = 16, OWN_NODES = 32 };

/* A share below this changes no printed digit. */
static const double NEGLIGIBLE = 1e-9;

/* Least own spread: options must not be infinitely sharp. */
static const double SHARP_LOG_SD = 1e-6;

struct race {
    struct lq_contender *runners; /* those of one device stand together */
    size_t count;
    double shared; /* the Z of this pass */
};

/* Keeps the cheapest option of each trial; returns how many trials have one. */
static size_t gather(const struct lq_choice *options, size_t n, struct lq_contender *work,
                     size_t trials)
{
    for (size_t t = 0; t < trials; t++) {
        work[t] = (struct lq_contender){.ties = 0};
    }
    for (size_t i = 0; i < n; i++) {
        const struct lq_choice *o = &options[i];
        struct lq_contender *c = &work[o->trial];
        if (c->ties > 0 && o->cost_usd == options[c->option].cost_usd) {
            c->ties++;
        } else if (c->ties == 0 || o->cost_usd < options[c->option].cost_usd) {
            const double own = o->log_sd * o->log_sd - o->shared_log_sd * o->shared_log_sd;
            *c = (struct lq_contender){.option = i,
                                       .ties = 1,
                                       .trial = o->trial,
                                       .device = o->device,
                                       .log_cost = log(o->cost_usd),
                                       .shared_log_sd = o->shared_log_sd,
                                       .own_log_sd = fmax(sqrt(fmax(own, 0.0)), SHARP_LOG_SD)};
        }
    }
    size_t kept = 0;
    for (size_t t = 0; t < trials; t++) {
        if (work[t].ties > 0) {
            work[kept++] = work[t];
        }
    }
    return kept;
}

static double median_cost(const struct race *race, const struct lq_contender *c)
{
    return c->log_cost + c->shared_log_sd * race->shared;
}

/* Index past the last runner of the device that `first` is of. */
static size_t end_of_device(const struct race *race, size_t first)
{
    size_t end = first + 1;
    while (end < race->count && race->runners[end].device == race->runners[first].device) {
        end++;
    }
    return end;
}

/* Probability that every other device costs more than exp(log_cost): each device's trials miss
 * together, so that the nearest of them decides. */
static double others_above(const struct race *race, size_t first, double log_cost)
{
    double above = 1.0;
    size_t end = 0;
    for (size_t i = 0; i < race->count && above > NEGLIGIBLE; i = end) {
        end = end_of_device(race, i);
        if (i == first) {
            continue;
        }
        double x = -INFINITY;
        for (size_t j = i; j < end; j++) {
            const struct lq_contender *c = &race->runners[j];
            x = fmax(x, (log_cost - median_cost(race, c)) / c->own_log_sd);
        }
        above *= lq_normal_below(-x);
    }
    return above;
}

/* The device's runners at each of its own nodes: the cheapest there meets all other devices. */
static void run_device(struct race *race, size_t first, const double *nodes, double weight)
{
    const size_t end = end_of_device(race, first);
    for (size_t k = 0; k < OWN_NODES; k++) {
        size_t best = first;
        double least = INFINITY;
        for (size_t j = first; j < end; j++) {
            const struct lq_contender *c = &race->runners[j];
            const double cost = median_cost(race, c) + c->own_log_sd * nodes[k];
            if (cost < least) {
                least = cost;
                best = j;
            }
        }
        race->runners[best].mass += weight * others_above(race, first, least) / OWN_NODES;
    }
}

static void fill_nodes(double *nodes, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        nodes[k] = lq_normal_quantile(((double)k + 0.5) / (double)n);
    }
}

static bool share_alike(const struct race *race)
{
    for (size_t i = 1; i < race->count; i++) {
        if (race->runners[i].shared_log_sd != race->runners[0].shared_log_sd) {
            return false;
        }
    }
    return true;
}

static void run(struct race *race)
{
    double shared[SHARED_NODES];
    double own[OWN_NODES];
    const size_t passes = share_alike(race) ? 1 : SHARED_NODES;
    fill_nodes(shared, passes);
    fill_nodes(own, OWN_NODES);
    for (size_t k = 0; k < passes; k++) {
        race->shared = shared[k];
        for (size_t i = 0; i < race->count; i = end_of_device(race, i)) {
            run_device(race, i, own, 1.0 / (double)passes);
        }
    }
}

/* The runner of a trial that has one; they stand in the order of their trials. */
static const struct lq_contender *find(const struct race *race, size_t trial)
{
    size_t low = 0;
    size_t high = race->count - 1;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (race->runners[middle].trial < trial) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return &race->runners[low];
}

void lq_compare_cheapest(struct lq_choice *options, size_t n, struct lq_contender *work,
                         size_t trials)
{
    struct race race = {.runners = work, .count = gather(options, n, work, trials)};
    run(&race);
    double sum = 0.0;
    for (size_t i = 0; i < race.count; i++) {
        sum += work[i].mass;
    }
    for (size_t i = 0; i < n; i++) {
        struct lq_choice *o = &options[i];
        const struct lq_contender *c = find(&race, o->trial);
        const bool cheapest = o->cost_usd == options[c->option].cost_usd;
        const double chance = cheapest ? c->mass / sum / (double)c->ties : 0.0;
        o->p_cheapest = chance >= NEGLIGIBLE ? chance : 0.0;
    }
}
