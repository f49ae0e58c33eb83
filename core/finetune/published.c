/* What follows from published figures. They are data: where they are kept is the caller's. */
#include "core/finetune/published.h"

#include <math.h>
#include <string.h>

/* Share of both peak rates below which a kernel is held up by launches and latency: 0.6, from the
 * speed-of-light rule of NVIDIA Nsight Compute ("below 60.0% of peak typically indicate latency
 * issues"; recalled), for single kernels on NVIDIA GPUs. */
#define BUSY_SHARE 0.6

static const char MEAN_ITEM[] = "time_weighted";

/* Fig. 11 and its text in arXiv 2408.04693 (2024-08), cut to whole tokens squared. The paper
 * prints one name for two definitions; which one gives a figure was found by computing both. */
static const struct lq_printed_variance PRINTED_VARIANCES[] = {
    {"mixtral-8x7b", "HE", 55.0, true},     {"mixtral-8x7b", "HE_tuned", 112.0, false},
    {"mixtral-8x7b", "GS", 21.0, false},    {"mixtral-8x7b", "GS_tuned", 79.0, false},
    {"blackmamba-2.8b", "HE", 150.0, true}, {"blackmamba-2.8b", "HE_tuned", 93.0, true},
};

static bool is_mean(const struct lq_profile_item *item)
{
    return strcmp(item->name, MEAN_ITEM) == 0;
}

double lq_profile_total(const struct lq_profile *profile)
{
    double sum = 0.0;
    for (size_t i = 0; i < profile->count; i++) {
        sum += is_mean(&profile->items[i]) ? 0.0 : profile->items[i].value;
    }
    return sum;
}

const struct lq_profile_item *lq_profile_item(const struct lq_profile *profile, const char *name)
{
    for (size_t i = 0; i < profile->count; i++) {
        if (strcmp(profile->items[i].name, name) == 0) {
            return &profile->items[i];
        }
    }
    return NULL;
}

const struct lq_profile *lq_published_beside(const struct lq_published *published,
                                             const struct lq_profile *like, const char *figure)
{
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        if (strcmp(p->figure, figure) == 0 && strcmp(p->model, like->model) == 0 &&
            strcmp(p->run, like->run) == 0 && p->active_experts == like->active_experts &&
            p->batch_size == like->batch_size) {
            return p;
        }
    }
    return NULL;
}

double lq_profile_weighted(const struct lq_profile *profile, const struct lq_profile *times)
{
    double sum = 0.0;
    double weights = 0.0;
    for (size_t i = 0; i < times->count; i++) {
        const struct lq_profile_item *item = lq_profile_item(profile, times->items[i].name);
        if (item != NULL) {
            sum += item->value * times->items[i].value;
            weights += times->items[i].value;
        }
    }
    return weights > 0.0 ? sum / weights : 0.0;
}

enum lq_bound lq_utilisation_bound(double sm, double dram)
{
    if (fmax(sm, dram) < BUSY_SHARE) {
        return LQ_BOUND_OVERHEAD;
    }
    return sm >= dram ? LQ_BOUND_COMPUTE : LQ_BOUND_MEMORY;
}

double lq_published_moe_share(const struct lq_published *published, const char *model)
{
    double sum = 0.0;
    size_t bars = 0;
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        const struct lq_profile_item *moe = lq_profile_item(p, "moe");
        if (moe != NULL && (model == NULL || strcmp(p->model, model) == 0)) {
            sum += moe->value / lq_profile_total(p);
            bars++;
        }
    }
    return bars > 0 ? sum / (double)bars : 0.0;
}

bool lq_profile_is_load(const struct lq_profile *profile)
{
    return strcmp(profile->metric, "tokens_per_expert") == 0;
}

struct lq_load_run lq_profile_load_run(const struct lq_profile *profile)
{
    /* the paper's short names, its Table II */
    static const struct {
        const char *run;
        struct lq_load_run means;
    } RUNS[] = {
        {"HE", {"HellaSwag", false}},
        {"HE_tuned", {"HellaSwag", true}},
        {"GS", {"GSM8K", false}},
        {"GS_tuned", {"GSM8K", true}},
    };
    for (size_t i = 0; i < sizeof RUNS / sizeof RUNS[0]; i++) {
        if (strcmp(RUNS[i].run, profile->run) == 0) {
            return RUNS[i].means;
        }
    }
    return (struct lq_load_run){.test_set = profile->run};
}

enum lq_code lq_profile_load(const struct lq_profile *profile, struct lq_expert_load *load,
                             struct lq_error *err)
{
    double tokens[LQ_EXPERTS_MAX];
    const size_t n = profile->count < LQ_EXPERTS_MAX ? profile->count : LQ_EXPERTS_MAX;
    for (size_t i = 0; i < n; i++) {
        tokens[i] = profile->items[i].value;
    }
    return lq_expert_load_set(tokens, n, (int64_t)profile->count, load, err);
}

double lq_profile_variance_tokens2(const struct lq_profile *profile, bool is_sample)
{
    const double n = (double)profile->count;
    const double mean = lq_profile_total(profile) / n;
    double squares = 0.0;
    for (size_t i = 0; i < profile->count; i++) {
        squares += (profile->items[i].value - mean) * (profile->items[i].value - mean);
    }
    const double over = is_sample ? n - 1.0 : n;
    return over > 0.0 ? squares / over : 0.0;
}

const struct lq_printed_variance *lq_printed_variance(const struct lq_profile *profile)
{
    for (size_t i = 0; i < sizeof PRINTED_VARIANCES / sizeof PRINTED_VARIANCES[0]; i++) {
        const struct lq_printed_variance *printed = &PRINTED_VARIANCES[i];
        if (strcmp(printed->model, profile->model) == 0 &&
            strcmp(printed->run, profile->run) == 0) {
            return printed;
        }
    }
    return NULL;
}

size_t lq_accuracy_best_epoch(const struct lq_accuracy_curve *curve)
{
    size_t best = 0;
    for (size_t i = 1; i < curve->count; i++) {
        best = curve->accuracy[i] > curve->accuracy[best] ? i : best;
    }
    return best;
}

double lq_accuracy_gain(const struct lq_accuracy_curve *curve, double epochs)
{
    const double last = (double)(curve->count - 1);
    const size_t epoch = (size_t)fmin(fmax(floor(epochs), 0.0), last);
    const double most = curve->accuracy[lq_accuracy_best_epoch(curve)] - curve->accuracy[0];
    return most > 0.0 ? (curve->accuracy[epoch] - curve->accuracy[0]) / most : 1.0;
}
