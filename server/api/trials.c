/* Estimates and prices the trials of a comparison. How options compare is core's business. */
#include "server/api/trials.h"

#include "server/api/offers.h"
#include "server/store/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_evidence evidence_of(const struct lq_catalog *catalog)
{
    return (struct lq_evidence){catalog->fits, catalog->fit_count, catalog->points,
                                catalog->point_count};
}

struct lq_job lq_trial_job(const struct lq_comparison_document *document,
                           const struct lq_trial *trial)
{
    struct lq_job job = document->job.job;
    job.gpu = trial->gpu;
    job.gpu_count = trial->gpu_count;
    return job;
}

/* What the run needs everywhere. */
struct running {
    const struct lq_comparison_document *document;
    const struct lq_catalog *catalog;
    struct lq_evidence evidence;
    struct lq_trials *out;
    struct lq_offer_quote offers[LQ_OFFERS_MAX];
};

static size_t find_offers(struct running *r, const struct lq_trial *trial, bool spot,
                          double duration_s)
{
    const struct lq_demand demand = {.gpu = trial->gpu,
                                     .gpu_count = trial->gpu_count,
                                     .terms = &r->document->job.terms,
                                     .spot = spot};
    return lq_offers_find(&demand, r->catalog, duration_s, r->offers);
}

static bool counts_rate(const struct lq_comparison_document *document, bool spot)
{
    return document->spot == LQ_SPOT_BOTH || (document->spot == LQ_SPOT_ONLY) == spot;
}

static bool is_priced(struct running *r, const struct lq_gpu *gpu)
{
    const struct lq_trial one = {.gpu = gpu, .gpu_count = 1};
    return (counts_rate(r->document, false) && find_offers(r, &one, false, 1.0) > 0) ||
           (counts_rate(r->document, true) && find_offers(r, &one, true, 1.0) > 0);
}

/* Room for so many more options. */
static bool make_room(struct lq_trials *out, size_t more)
{
    if (out->option_count + more <= out->option_room) {
        return true;
    }
    const size_t room = 2 * (out->option_count + more);
    struct lq_choice *options = realloc(out->options, room * sizeof *options);
    out->options = options != NULL ? options : out->options;
    struct lq_compared_line *lines = realloc(out->lines, room * sizeof *lines);
    out->lines = lines != NULL ? lines : out->lines;
    if (options == NULL || lines == NULL) {
        return false;
    }
    out->option_room = room;
    return true;
}

static bool add_offers(struct running *r, size_t t, bool spot)
{
    struct lq_trials *out = r->out;
    struct lq_trial *trial = &out->items[t];
    const size_t n = find_offers(r, trial, spot, trial->duration_s);
    if (!make_room(out, n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t at = out->option_count++;
        out->lines[at] = (struct lq_compared_line){lq_offer_line(&r->offers[i]), spot};
        struct lq_choice *option = &out->options[at];
        *option = (struct lq_choice){.trial = t,
                                     .device = trial->device,
                                     .duration_s = trial->duration_s,
                                     .cost_usd = out->lines[at].line.cost_usd,
                                     .log_sd = trial->log_sd,
                                     .own_log_sd = trial->own_log_sd,
                                     .tie = at};
        lq_choice_chances(option, &r->document->bounds);
        trial->allowed = trial->allowed || lq_choice_allowed(option, &r->document->bounds);
        trial->least_usd = trial->offers == 0 || option->cost_usd < trial->least_usd
                               ? option->cost_usd
                               : trial->least_usd;
        trial->offers++;
    }
    return true;
}

static bool run_trial(struct running *r, size_t t)
{
    struct lq_trial *trial = &r->out->items[t];
    const struct lq_job job = lq_trial_job(r->document, trial);
    struct lq_estimate estimate;
    struct lq_error err = {.code = LQ_OK};
    trial->code = lq_estimate(&job, &r->evidence, &estimate, &err);
    if (trial->code != LQ_OK) {
        snprintf(trial->detail, sizeof trial->detail, "%s", err.detail);
        return true;
    }
    trial->layout = estimate.layout;
    trial->batch_size = estimate.batch_size;
    trial->queries_per_s = estimate.queries_per_s;
    trial->duration_s = estimate.duration_s;
    memcpy(trial->duration_interval_s, estimate.interval.duration_s,
           sizeof trial->duration_interval_s);
    trial->log_sd = estimate.log_sd;
    trial->own_log_sd = lq_estimate_own_log_sd(&estimate);
    trial->basis = estimate.basis.kind;
    trial->warnings = estimate.warnings;
    return (!counts_rate(r->document, false) || add_offers(r, t, false)) &&
           (!counts_rate(r->document, true) || add_offers(r, t, true));
}

static bool run_gpu(struct running *r, const struct lq_gpu *gpu, size_t device)
{
    struct lq_trials *out = r->out;
    if (!is_priced(r, gpu)) {
        struct lq_trial *trial = &out->unpriced[out->unpriced_count++];
        *trial = (struct lq_trial){.gpu = gpu, .code = LQ_EUNPRICED};
        snprintf(trial->detail, sizeof trial->detail, "%s prices %s",
                 r->document->job.terms.provider_count > 0 ? "none of the named providers"
                                                           : "no provider",
                 gpu->id);
        return true;
    }
    for (size_t i = 0; i < r->document->count_count; i++) {
        const size_t t = out->count++;
        out->items[t] =
            (struct lq_trial){.gpu = gpu, .gpu_count = r->document->counts[i], .device = device};
        if (!run_trial(r, t)) {
            return false;
        }
    }
    return true;
}

/* The GPUs asked for, or those of the catalog that are not only met in published runs. */
static const struct lq_gpu *gpu_at(const struct running *r, size_t i)
{
    if (r->document->gpu_count > 0) {
        return i < r->document->gpu_count ? r->document->gpus[i] : NULL;
    }
    return i < r->catalog->gpu_count ? &r->catalog->gpus[i].gpu : NULL;
}

static bool allocate(struct running *r)
{
    struct lq_trials *out = r->out;
    const size_t gpus = r->document->gpu_count > 0 ? r->document->gpu_count : r->catalog->gpu_count;
    out->items = calloc(gpus * r->document->count_count + 1, sizeof *out->items);
    out->unpriced = calloc(gpus + 1, sizeof *out->unpriced);
    out->infeasible = calloc(gpus * (r->document->count_count + 1) + 1, sizeof *out->infeasible);
    return out->items != NULL && out->unpriced != NULL && out->infeasible != NULL;
}

enum lq_code lq_trials_run(const struct lq_comparison_document *document,
                           const struct lq_catalog *catalog, struct lq_trials *out,
                           struct lq_error *err)
{
    *out = (struct lq_trials){.count = 0};
    struct running *r = calloc(1, sizeof *r);
    bool good = r != NULL;
    if (good) {
        r->document = document;
        r->catalog = catalog;
        r->evidence = evidence_of(catalog);
        r->out = out;
        good = allocate(r);
        const struct lq_gpu *gpu = NULL;
        for (size_t i = 0; good && (gpu = gpu_at(r, i)) != NULL; i++) {
            const bool hidden = document->gpu_count == 0 && catalog->gpus[i].unlisted;
            good = hidden || run_gpu(r, gpu, i);
        }
    }
    free(r);
    return good ? LQ_OK : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the options");
}

/* The fewest GPUs of the same kind whose trial holds (and keeps the bounds, if asked); 0: none. */
static int64_t other_count(const struct lq_trials *trials, const struct lq_trial *trial,
                           bool in_bounds)
{
    for (size_t i = 0; i < trials->count; i++) {
        const struct lq_trial *other = &trials->items[i];
        if (other->gpu == trial->gpu && other->code == LQ_OK && (other->allowed || !in_bounds)) {
            return other->gpu_count;
        }
    }
    return 0;
}

/* A trial that has no estimate. */
static void explain_refusal(const struct lq_job *job, const struct lq_evidence *evidence,
                            const struct lq_trials *trials, struct lq_infeasible *item)
{
    item->reason = lq_code_slug(item->trial->code);
    const int64_t count = other_count(trials, item->trial, false);
    double to = 0.0;
    enum lq_change change = LQ_CHANGE_NONE;
    if (item->trial->code == LQ_ENOFIT) {
        change = lq_nearest_change(job, evidence, &to);
    }
    if (change != LQ_CHANGE_CHECKPOINTING && change != LQ_CHANGE_BATCH && count > 0) {
        change = LQ_CHANGE_COUNT;
        to = (double)count;
    }
    item->change = change;
    item->to = to;
}

/* A trial whose offers are all beyond the bounds. */
static void explain_bounds(const struct lq_bounds *bounds, const struct lq_trials *trials,
                           struct lq_trial *trial, struct lq_infeasible *item)
{
    const int64_t count = other_count(trials, trial, true);
    const bool late = bounds->deadline_s > 0.0 && trial->duration_s > bounds->deadline_s;
    if (late) {
        item->reason = "past-deadline";
        item->change = count > 0 ? LQ_CHANGE_COUNT : LQ_CHANGE_DEADLINE;
        item->to = count > 0 ? (double)count : trial->duration_s;
        snprintf(trial->detail, sizeof trial->detail, "it takes %.6g s, %.6g s past the deadline",
                 trial->duration_s, trial->duration_s - bounds->deadline_s);
        return;
    }
    item->reason = "over-budget";
    item->change = count > 0 ? LQ_CHANGE_COUNT : LQ_CHANGE_BUDGET;
    item->to = count > 0 ? (double)count : trial->least_usd;
    snprintf(trial->detail, sizeof trial->detail,
             "the cheapest offer costs %.6g USD, %.6g USD over the budget", trial->least_usd,
             trial->least_usd - bounds->budget_usd);
}

void lq_trials_explain(const struct lq_comparison_document *document,
                       const struct lq_catalog *catalog, struct lq_trials *trials)
{
    const struct lq_evidence evidence = evidence_of(catalog);
    for (size_t i = 0; i < trials->count; i++) {
        struct lq_trial *trial = &trials->items[i];
        if (trial->code == LQ_OK && trial->allowed) {
            continue;
        }
        struct lq_infeasible *item = &trials->infeasible[trials->infeasible_count++];
        *item = (struct lq_infeasible){.trial = trial};
        if (trial->code != LQ_OK) {
            const struct lq_job job = lq_trial_job(document, trial);
            explain_refusal(&job, &evidence, trials, item);
        } else {
            explain_bounds(&document->bounds, trials, trial, item);
        }
    }
    for (size_t i = 0; i < trials->unpriced_count; i++) {
        trials->infeasible[trials->infeasible_count++] = (struct lq_infeasible){
            .trial = &trials->unpriced[i], .reason = lq_code_slug(LQ_EUNPRICED)};
    }
}

void lq_trials_free(struct lq_trials *trials)
{
    free(trials->items);
    free(trials->options);
    free(trials->lines);
    free(trials->infeasible);
    free(trials->unpriced);
}
