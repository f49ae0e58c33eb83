/* Answers comparisons: decode, one estimate per trial, rank, page, encode. */
#include "server/api/comparisons.h"

#include "core/base/hash.h"
#include "server/api/lookup.h"
#include "server/api/ownership.h"
#include "server/api/page.h"
#include "server/api/trials.h"
#include "server/json/comparison_answer.h"
#include "server/store/catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A quarter less and a quarter more. */
static const double FACTORS[] = {0.75, 1.25};

/* Trials that rows of another length are estimated for: the first ones are who may change places.
 */
enum { LENGTH_TRIALS = 6 };

/* A request on its way to an answer. */
struct comparing {
    const struct lq_call *call;
    struct lq_comparison_document document;
    struct lq_trials trials;
    struct lq_comparison_answer answer;
    struct lq_ownership_answer ownership;
    char next_cursor[80];
};

static int by_cost(const void *a, const void *b)
{
    return lq_choice_order(a, b, LQ_LEAST_COST);
}

static int by_time(const void *a, const void *b)
{
    return lq_choice_order(a, b, LQ_LEAST_TIME);
}

/* Those that keep the bounds to the front of the list, ranked; returns how many. */
static size_t rank(struct lq_trials *trials, const struct lq_comparison_document *document)
{
    size_t allowed = 0;
    for (size_t i = 0; i < trials->option_count; i++) {
        if (lq_choice_allowed(&trials->options[i], &document->bounds)) {
            const struct lq_choice moved = trials->options[allowed];
            trials->options[allowed++] = trials->options[i];
            trials->options[i] = moved;
        }
    }
    if (allowed > 0) {
        qsort(trials->options, allowed, sizeof *trials->options,
              document->objective == LQ_LEAST_COST ? by_cost : by_time);
    }
    return allowed;
}

/* Chances of being the cheapest, and the front. */
static enum lq_code weigh(struct lq_trials *trials, size_t allowed, enum lq_least objective,
                          struct lq_error *err)
{
    struct lq_contender *work = calloc(trials->count + 1, sizeof *work);
    if (work == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the ranking");
    }
    lq_compare_share(trials->options, trials->option_count);
    if (allowed > 0) {
        lq_compare_cheapest(trials->options, allowed, work, trials->count);
        lq_compare_front(trials->options, allowed, objective);
    }
    free(work);
    return LQ_OK;
}

/* The cheapest that keeps the bounds, and the cheapest of those on another GPU. */
static void find_runner_up(const struct lq_trials *trials, struct lq_comparison_answer *answer)
{
    const struct lq_choice *options = trials->options;
    size_t cheapest = 0;
    for (size_t i = 1; i < answer->allowed_count; i++) {
        if (lq_choice_order(&options[i], &options[cheapest], LQ_LEAST_COST) < 0) {
            cheapest = i;
        }
    }
    size_t second = trials->option_count;
    for (size_t i = 0; i < answer->allowed_count; i++) {
        if (options[i].device != options[cheapest].device &&
            (second == trials->option_count ||
             lq_choice_order(&options[i], &options[second], LQ_LEAST_COST) < 0)) {
            second = i;
        }
    }
    answer->cheapest = cheapest;
    answer->runner_up = second;
}

/* The first option's cost and who is first, at both factors. */
static void ask(const struct comparing *c, const struct lq_scenario scenarios[2],
                struct lq_sensitivity *out)
{
    const struct lq_trials *t = &c->trials;
    for (int side = 0; side < 2; side++) {
        out->cost_usd[side] = lq_choice_under(t->options, 0, &scenarios[side]).cost_usd;
        out->first[side] = lq_compare_best(t->options, t->option_count, c->document.objective,
                                           &c->document.bounds, &scenarios[side]);
        const size_t first = out->first[side];
        out->first_usd[side] = first < t->option_count
                                   ? lq_choice_under(t->options, first, &scenarios[side]).cost_usd
                                   : 0.0;
    }
    out->known = true;
    if (out->cost_usd[0] > 0.0 && out->cost_usd[1] > 0.0) {
        out->elasticity = lq_elasticity(out->cost_usd[0], out->cost_usd[1], FACTORS[0], FACTORS[1]);
    }
}

/* How the time of each of the first few trials changes with longer rows, its layout kept. */
static void scale_lengths(const struct comparing *c, double factor, struct lq_length_bin *scratch,
                          double *trial_factor)
{
    const struct lq_catalog *catalog = c->call->catalog;
    const struct lq_evidence evidence = {catalog->fits, catalog->fit_count, catalog->points,
                                         catalog->point_count};
    struct lq_lengths lengths;
    lq_lengths_scaled(c->document.job.job.lengths, factor, scratch, &lengths);
    memset(trial_factor, 0, c->trials.count * sizeof *trial_factor);
    size_t tried[LENGTH_TRIALS];
    size_t n = 0;
    for (size_t i = 0; i < c->answer.allowed_count && n < LENGTH_TRIALS; i++) {
        const size_t t = c->trials.options[i].trial;
        size_t k = 0;
        while (k < n && tried[k] != t) {
            k++;
        }
        if (k < n) {
            continue;
        }
        tried[n++] = t;
        struct lq_job job = lq_trial_job(&c->document, &c->trials.items[t]);
        job.layout = c->trials.items[t].layout;
        job.lengths = &lengths;
        job.fixed_tokens = job.fixed_tokens > 0 ? lengths.longest_tokens : 0;
        struct lq_estimate estimate;
        if (lq_estimate(&job, &evidence, &estimate, NULL) == LQ_OK) {
            trial_factor[t] = estimate.duration_s / c->trials.items[t].duration_s;
        }
    }
}

static enum lq_code ask_length(const struct comparing *c, struct lq_sensitivity *out,
                               struct lq_error *err)
{
    if (c->document.job.job.estimator == LQ_ESTIMATOR_MEASURED) {
        return LQ_OK; /* rows of another length were not measured */
    }
    const size_t n = c->trials.count;
    double *factors = calloc(2 * n, sizeof *factors);
    struct lq_length_bin *scratch = calloc(c->document.job.job.lengths->count + 1, sizeof *scratch);
    if (factors != NULL && scratch != NULL) {
        struct lq_scenario scenarios[2];
        for (size_t side = 0; side < 2; side++) {
            scale_lengths(c, FACTORS[side], scratch, factors + side * n);
            scenarios[side] = (struct lq_scenario){
                .time_factor = 1.0, .trial_factor = factors + side * n, .price_factor = 1.0};
        }
        ask(c, scenarios, out);
    }
    const bool good = factors != NULL && scratch != NULL;
    free(factors);
    free(scratch);
    return good ? LQ_OK : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the what-ifs");
}

static enum lq_code ask_all(struct comparing *c, struct lq_error *err)
{
    if (c->answer.allowed_count == 0) {
        return LQ_OK;
    }
    struct lq_scenario price[2];
    struct lq_scenario epochs[2];
    for (int side = 0; side < 2; side++) {
        price[side] = (struct lq_scenario){.time_factor = 1.0, .price_factor = FACTORS[side]};
        epochs[side] = (struct lq_scenario){.time_factor = FACTORS[side], .price_factor = 1.0};
    }
    ask(c, price, &c->answer.sensitivity[LQ_INPUT_PRICE]);
    ask(c, epochs, &c->answer.sensitivity[LQ_INPUT_EPOCHS]);
    return ask_length(c, &c->answer.sensitivity[LQ_INPUT_LENGTH], err);
}

/* Of the ranking that a page is cut from, to seven digits: the last ones are the machine's. */
static uint64_t sign_ranking(const struct comparing *c)
{
    uint64_t hash = LQ_HASH_START;
    for (size_t i = 0; i < c->answer.allowed_count; i++) {
        const struct lq_choice *option = &c->trials.options[i];
        const float figures[] = {(float)option->cost_usd, (float)option->duration_s,
                                 (float)option->log_sd};
        hash = lq_hash_bytes(hash, figures, sizeof figures);
    }
    return hash;
}

/* A cursor is the version of all data, what the ranking is, and the rank that the next page begins
 * behind. */
static enum lq_code find_page(struct comparing *c, struct lq_faults *faults)
{
    const struct lq_comparison_document *d = &c->document;
    char version[48];
    const int written = snprintf(version, sizeof version, "%s.%08" PRIx32,
                                 c->call->catalog->data_version, (uint32_t)sign_ranking(c));
    const size_t length = (size_t)written;
    struct lq_comparison_answer *answer = &c->answer;
    if (d->cursor[0] != '\0') {
        const char *rank_at = d->cursor + length + 1;
        const bool same = strncmp(d->cursor, version, length) == 0 && d->cursor[length] == '.';
        char *end = NULL;
        const unsigned long at = same ? strtoul(rank_at, &end, 10) : 0;
        if (!same || at == 0 || *end != '\0' || at >= answer->allowed_count) {
            return lq_faults_add(faults, LQ_EFIELD, "/cursor",
                                 "is not a next_cursor of this comparison as it is now; begin "
                                 "again without it");
        }
        answer->page = at;
    }
    if (answer->page + d->limit < answer->allowed_count) {
        snprintf(c->next_cursor, sizeof c->next_cursor, "%s.%zu", version, answer->page + d->limit);
    }
    return LQ_OK;
}

/* Providers were named, and price none of the GPUs: a mistake, not an empty comparison. */
static enum lq_code check_priced(const struct comparing *c, struct lq_faults *faults)
{
    if (c->trials.count > 0) {
        return LQ_OK;
    }
    const size_t providers = c->document.job.terms.provider_count;
    return lq_faults_add(faults, LQ_EUNPRICED, providers > 0 ? "/providers" : "/gpus",
                         "no candidate: %s any of the %zu GPUs%s",
                         providers > 0 ? "none of the named providers prices" : "nobody prices",
                         c->trials.unpriced_count,
                         c->document.spot == LQ_SPOT_ONLY ? " on spot" : "");
}

static enum lq_code compare(struct comparing *c, struct lq_faults *faults, struct lq_error *err)
{
    struct lq_trials *trials = &c->trials;
    const struct lq_catalog *catalog = c->call->catalog;
    LQ_TRY(lq_trials_run(&c->document, catalog, trials, err));
    LQ_TRY(check_priced(c, faults));
    lq_trials_explain(&c->document, catalog, trials);
    struct lq_comparison_answer *answer = &c->answer;
    answer->allowed_count = rank(trials, &c->document);
    LQ_TRY(weigh(trials, answer->allowed_count, c->document.objective, err));
    find_runner_up(trials, answer);
    LQ_TRY(ask_all(c, err));
    LQ_TRY(find_page(c, faults));
    if (c->document.ownership.asked && answer->allowed_count > 0) {
        const struct lq_choice *best = &trials->options[0];
        LQ_TRY(lq_ownership_find(&c->document.ownership, catalog, best->cost_usd, best->log_sd,
                                 &c->ownership, err));
        answer->ownership = &c->ownership;
    }
    answer->document = &c->document;
    answer->trials = trials->items;
    answer->options = trials->options;
    answer->lines = trials->lines;
    answer->option_count = trials->option_count;
    answer->next_cursor = c->next_cursor;
    answer->infeasible = trials->infeasible;
    answer->infeasible_count = trials->infeasible_count;
    answer->catalog_version = catalog->catalog_version;
    answer->prices_version = catalog->prices_version;
    return LQ_OK;
}

static enum lq_code answer_decoded(struct comparing *c, struct lq_call *call,
                                   struct lq_reply *reply)
{
    struct lq_error err = {.code = LQ_OK};
    const enum lq_code code = compare(c, call->faults, &err);
    if (code != LQ_OK) {
        return call->faults->count > 0 ? code : lq_call_fail(call, &err);
    }
    return lq_reply_computed(call, lq_comparison_encode(&c->answer), reply);
}

enum lq_code lq_comparisons_post(struct lq_call *call, struct lq_reply *reply)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    struct comparing *c = calloc(1, sizeof *c);
    if (c == NULL || call->catalog->gpu_count == 0) {
        json_decref(root);
        free(c);
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the answer");
    }
    c->call = call;
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    enum lq_code code = lq_comparison_decode(root, call->catalog->gpus[0].gpu.id, &lookup,
                                             &c->document, call->faults);
    if (code == LQ_OK) {
        code = answer_decoded(c, call, reply);
    }
    lq_trials_free(&c->trials);
    lq_comparison_release(&c->document);
    free(c);
    json_decref(root);
    return code;
}
