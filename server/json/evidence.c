/* Encodes published figures as they are served. What follows from them is core's. */
#include "server/json/evidence.h"

#include "server/json/member.h"

#include <stdbool.h>
#include <string.h>

/* Where and on what all of it was measured: Xia et al. 2024 (arXiv 2408.04693), section IV. */
static const char SOURCE[] = "xia2024";
static const char DEVICE[] = "A40";

static json_t *count_or_null(int64_t count)
{
    return count > 0 ? json_integer(count) : json_null();
}

/* What every bar has: figure, model and run. */
static json_t *profile_new(const struct lq_profile *p)
{
    json_t *o = json_object();
    json_object_set_new(o, "figure", json_string(p->figure));
    json_object_set_new(o, "model", json_string(p->model));
    json_object_set_new(o, "active_experts", count_or_null(p->active_experts));
    json_object_set_new(o, "batch_size", count_or_null(p->batch_size));
    json_object_set_new(o, "sequence_tokens", count_or_null(p->sequence_tokens));
    json_object_set_new(o, "level", json_string(p->level));
    json_object_set_new(o, "file", json_string(p->source));
    json_object_set_new(o, "note", lq_text_or_null(p->note));
    return o;
}

static bool is_time(const struct lq_profile *p)
{
    return strcmp(p->metric, "time") == 0;
}

static json_t *shares_encode(const struct lq_profile *p)
{
    const double total = lq_profile_total(p);
    json_t *items = json_array();
    for (size_t i = 0; i < p->count; i++) {
        const struct lq_profile_item *item = &p->items[i];
        json_array_append_new(items, json_pack("{s:s, s:f, s:f}", "item", item->name, "time_s",
                                               item->value, "share", item->value / total));
    }
    json_t *o = profile_new(p);
    json_object_set_new(o, "total_s", json_real(total));
    json_object_set_new(o, "items", items);
    return o;
}

static json_t *moe_shares_encode(const struct lq_published *published)
{
    json_t *models = json_array();
    const char *last = "";
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        if (lq_profile_item(p, "moe") != NULL && strcmp(p->model, last) != 0) {
            last = p->model;
            json_array_append_new(models, json_pack("{s:s, s:f}", "model", last, "share",
                                                    lq_published_moe_share(published, last)));
        }
    }
    return json_pack("{s:f, s:o}", "mean", lq_published_moe_share(published, NULL), "models",
                     models);
}

static const char *bound_name(double sm, double dram)
{
    return LQ_BOUND_NAMES[lq_utilisation_bound(sm, dram)];
}

/* Three figures of one run: time, busy arithmetic and busy memory of each kernel. */
struct kernels {
    const struct lq_profile *times;
    const struct lq_profile *sm;
    const struct lq_profile *dram;
};

static json_t *kernels_encode(const struct kernels *k)
{
    const double total = lq_profile_total(k->times);
    json_t *items = json_array();
    for (size_t i = 0; i < k->times->count; i++) {
        const struct lq_profile_item *item = &k->times->items[i];
        const struct lq_profile_item *sm = lq_profile_item(k->sm, item->name);
        const struct lq_profile_item *dram = lq_profile_item(k->dram, item->name);
        if (sm != NULL && dram != NULL) {
            json_array_append_new(items,
                                  json_pack("{s:s, s:f, s:f, s:f, s:s}", "item", item->name,
                                            "time_share", item->value / total, "sm_utilisation",
                                            sm->value, "dram_utilisation", dram->value, "bound",
                                            bound_name(sm->value, dram->value)));
        }
    }
    return items;
}

static json_t *printed_mean(const struct lq_profile *p)
{
    const struct lq_profile_item *mean = lq_profile_item(p, "time_weighted");
    return mean != NULL ? json_real(mean->value) : json_null();
}

static json_t *utilisation_encode(const struct kernels *k)
{
    const double sm = lq_profile_weighted(k->sm, k->times);
    const double dram = lq_profile_weighted(k->dram, k->times);
    json_t *o = profile_new(k->sm);
    json_object_set_new(o, "figure", json_pack("[s, s]", k->sm->figure, k->dram->figure));
    json_object_set_new(o, "items", kernels_encode(k));
    json_object_set_new(o, "time_weighted",
                        json_pack("{s:f, s:f, s:s, s:o, s:o}", "sm_utilisation", sm,
                                  "dram_utilisation", dram, "bound", bound_name(sm, dram),
                                  "printed_sm_utilisation", printed_mean(k->sm),
                                  "printed_dram_utilisation", printed_mean(k->dram)));
    return o;
}

/* The other two figures of a bar of Fig. 9; false where there are none. */
static bool find_kernels(const struct lq_published *published, const struct lq_profile *p,
                         struct kernels *k)
{
    if (strcmp(p->metric, "sm_utilisation") != 0) {
        return false;
    }
    *k = (struct kernels){.times = lq_published_beside(published, p, "Fig.6"),
                          .sm = p,
                          .dram = lq_published_beside(published, p, "Fig.10")};
    return k->times != NULL && k->dram != NULL;
}

static json_t *printed_variance_encode(const struct lq_profile *p)
{
    const struct lq_printed_variance *printed = lq_printed_variance(p);
    if (printed == NULL) {
        return json_null();
    }
    return json_pack("{s:f, s:s, s:f}", "variance_tokens2", printed->tokens2, "definition",
                     printed->is_sample ? "sample" : "population", "recomputed_tokens2",
                     lq_profile_variance_tokens2(p, printed->is_sample));
}

static json_t *load_encode(const struct lq_profile *p, const struct lq_expert_load *load)
{
    const struct lq_load_run run = lq_profile_load_run(p);
    json_t *tokens = json_array();
    json_t *shares = json_array();
    for (size_t i = 0; i < load->experts; i++) {
        json_array_append_new(tokens, json_real(p->items[i].value));
        json_array_append_new(shares, json_real(load->share[i]));
    }
    json_t *o = json_object();
    json_object_set_new(o, "figure", json_string(p->figure));
    json_object_set_new(o, "model", json_string(p->model));
    json_object_set_new(o, "test_set", json_string(run.test_set));
    json_object_set_new(o, "tuned", json_boolean(run.tuned));
    json_object_set_new(o, "file", json_string(p->source));
    json_object_set_new(o, "tokens_per_expert", tokens);
    json_object_set_new(o, "shares", shares);
    json_object_set_new(o, "variance_percent2", json_real(load->variance));
    json_object_set_new(o, "variance_tokens2", json_real(lq_profile_variance_tokens2(p, false)));
    json_object_set_new(o, "printed", printed_variance_encode(p));
    return o;
}

static json_t *curve_encode(const struct lq_accuracy_curve *curve)
{
    const size_t best = lq_accuracy_best_epoch(curve);
    json_t *accuracies = json_array();
    for (size_t i = 0; i < curve->count; i++) {
        json_array_append_new(accuracies, json_real(curve->accuracy[i]));
    }
    json_t *o = json_object();
    json_object_set_new(o, "figure", json_string("Fig.3"));
    json_object_set_new(o, "model", json_string(curve->model));
    json_object_set_new(o, "active_experts", count_or_null(curve->active_experts));
    json_object_set_new(o, "test_set", json_string(curve->test_set));
    json_object_set_new(o, "file", json_string(curve->source));
    json_object_set_new(o, "accuracy_by_epoch", accuracies);
    json_object_set_new(o, "best_epoch", json_integer((json_int_t)best));
    json_object_set_new(o, "best_accuracy", json_real(curve->accuracy[best]));
    return o;
}

json_t *lq_published_encode(const struct lq_published *published)
{
    json_t *shares = json_array();
    json_t *utilisation = json_array();
    json_t *loads = json_array();
    json_t *accuracy = json_array();
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        struct kernels kernels;
        struct lq_expert_load load;
        struct lq_error err = {0};
        if (is_time(p)) {
            json_array_append_new(shares, shares_encode(p));
        } else if (find_kernels(published, p, &kernels)) {
            json_array_append_new(utilisation, utilisation_encode(&kernels));
        } else if (lq_profile_is_load(p) && lq_profile_load(p, &load, &err) == LQ_OK) {
            json_array_append_new(loads, load_encode(p, &load));
        }
    }
    for (size_t i = 0; i < published->curve_count; i++) {
        json_array_append_new(accuracy, curve_encode(&published->curves[i]));
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "source", SOURCE, "gpu", DEVICE,
                     "moe_share", moe_shares_encode(published), "shares", shares, "utilisation",
                     utilisation, "expert_load", loads, "accuracy", accuracy);
}
