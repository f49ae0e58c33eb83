/* How likely each option is the cheapest, by quadrature over the errors that options share and
 * those that each device has of its own. */
#include "core/finetune/compare.h"

#include "core/base/normal.h"

#include <math.h>

/* Equally likely strata of a normal, met at their medians. */
enum { SHARED_NODES = 12, OWN_NODES = 24 };

/* A share below this changes no printed digit. */
static const double NEGLIGIBLE = 1e-9;

/* Least own spread: options must not be infinitely sharp. */
static const double SHARP_LOG_SD = 1e-6;

/* Beyond so many standard deviations a device is certain not to matter, or to win. */
static const double CERTAIN = 5.5;

struct race {
    struct lq_contender *runners; /* those of one device stand together */
    size_t count;
    size_t devices; /* runners[0 .. devices): start and end of each, the cheapest first */
    double shared;  /* the Z of this pass */
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

static double device_cost(const struct race *race, size_t start, size_t end)
{
    double least = HUGE_VAL;
    for (size_t j = start; j < end; j++) {
        least = fmin(least, race->runners[j].log_cost);
    }
    return least;
}

/* Finds where each device's runners are, and puts the cheapest device first: it rules out most of
 * the others. */
static void find_devices(struct race *race)
{
    struct lq_contender *r = race->runners;
    race->devices = 0;
    size_t end = 0;
    for (size_t start = 0; start < race->count; start = end) {
        end = start + 1;
        while (end < race->count && r[end].device == r[start].device) {
            end++;
        }
        const double cost = device_cost(race, start, end);
        size_t at = race->devices++;
        for (; at > 0 && device_cost(race, r[at - 1].start, r[at - 1].end) > cost; at--) {
            r[at].start = r[at - 1].start;
            r[at].end = r[at - 1].end;
        }
        r[at].start = start;
        r[at].end = end;
    }
}

/* Probability that every other device costs more than exp(log_cost): each device's trials miss
 * together, so that the nearest of them decides. */
static double others_above(const struct race *race, size_t device, double log_cost)
{
    double above = 1.0;
    for (size_t d = 0; d < race->devices && above > NEGLIGIBLE; d++) {
        if (d == device) {
            continue;
        }
        double x = -HUGE_VAL;
        for (size_t j = race->runners[d].start; j < race->runners[d].end; j++) {
            const struct lq_contender *c = &race->runners[j];
            x = fmax(x, (log_cost - median_cost(race, c)) / c->own_log_sd);
        }
        if (x > CERTAIN) {
            return 0.0;
        }
        above *= x < -CERTAIN ? 1.0 : lq_normal_below(-x);
    }
    return above;
}

/* The device's runners at each of its own nodes: the cheapest there meets all other devices. */
static void run_device(struct race *race, size_t device, const double *nodes, double weight)
{
    const size_t first = race->runners[device].start;
    const size_t end = race->runners[device].end;
    for (size_t k = 0; k < OWN_NODES; k++) {
        size_t best = first;
        double least = HUGE_VAL;
        for (size_t j = first; j < end; j++) {
            const struct lq_contender *c = &race->runners[j];
            const double cost = median_cost(race, c) + c->own_log_sd * nodes[k];
            if (cost < least) {
                least = cost;
                best = j;
            }
        }
        race->runners[best].mass += weight * others_above(race, device, least) / OWN_NODES;
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
        for (size_t d = 0; d < race->devices; d++) {
            run_device(race, d, own, 1.0 / (double)passes);
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
    find_devices(&race);
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
