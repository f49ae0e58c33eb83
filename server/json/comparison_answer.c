/* Encodes comparisons. Every number is core's but the differences to bounds. */
#include "server/json/comparison_answer.h"

#include "server/json/layout.h"
#include "server/json/member.h"

#include <string.h>

static const char *const INPUT_NAMES[] = {"price", "length", "epochs"};

static void set_flag(json_t *object, const char *name, bool value)
{
    json_object_set_new_nocheck(object, name, json_boolean(value));
}

static void set_pair(json_t *object, const char *name, double low, double high)
{
    json_t *list = json_array();
    json_array_append_new(list, json_real(low));
    json_array_append_new(list, json_real(high));
    json_object_set_new_nocheck(object, name, list);
}

/* Which option: enough to tell it from all others. */
static json_t *identity_encode(const struct lq_comparison_answer *a, size_t i)
{
    const struct lq_choice *option = &a->options[i];
    const struct lq_trial *trial = &a->trials[option->trial];
    const struct lq_compared_line *compared = &a->lines[option->tie];
    json_t *o = json_object();
    if (i < a->allowed_count) {
        lq_set_count(o, "rank", (int64_t)i + 1);
    } else {
        json_object_set_new_nocheck(o, "rank", json_null());
    }
    lq_set_text(o, "gpu", trial->gpu->id);
    lq_set_count(o, "gpu_count", trial->gpu_count);
    lq_set_text(o, "provider", compared->line.provider);
    lq_set_text(o, "region", compared->line.region);
    lq_set_text(o, "instance_type", compared->line.instance_type);
    set_flag(o, "spot", compared->spot);
    lq_set_real(o, "usd_per_gpu_hour", compared->line.usd_per_gpu_hour);
    lq_set_real(o, "duration_s", option->duration_s);
    lq_set_real(o, "cost_usd", option->cost_usd);
    return o;
}

static json_t *interval_encode(const struct lq_comparison_answer *a, const struct lq_choice *option)
{
    const struct lq_trial *trial = &a->trials[option->trial];
    const double *duration = trial->duration_interval_s;
    const double usd_per_s = option->cost_usd / option->duration_s;
    json_t *o = json_object();
    lq_set_real(o, "level", a->document->job.job.confidence);
    set_pair(o, "duration_s", duration[0], duration[1]);
    set_pair(o, "cost_usd", usd_per_s * duration[0], usd_per_s * duration[1]);
    return o;
}

static void set_chance(json_t *object, const char *name, double bound, double chance)
{
    json_object_set_new_nocheck(object, name, bound > 0.0 ? json_real(chance) : json_null());
}

static json_t *option_encode(const struct lq_comparison_answer *a, size_t i)
{
    const struct lq_choice *option = &a->options[i];
    const struct lq_trial *trial = &a->trials[option->trial];
    const struct lq_cost_line *line = &a->lines[option->tie].line;
    const struct lq_bounds *bounds = &a->document->bounds;
    json_t *o = identity_encode(a, i);
    lq_set_count(o, "instance_count", line->instances);
    lq_set_count(o, "instance_gpu_count", line->instance_gpus);
    lq_set_count(o, "idle_gpu_count", line->idle_gpus);
    lq_set_text(o, "price_date", line->date);
    set_flag(o, "stale", line->stale);
    lq_set_count(o, "batch_size", trial->batch_size);
    json_object_set_new_nocheck(o, "layout", lq_layout_encode(&trial->layout));
    lq_set_real(o, "queries_per_s", trial->queries_per_s);
    json_object_set_new_nocheck(o, "interval", interval_encode(a, option));
    lq_set_real(o, "p_cheapest", option->p_cheapest);
    set_chance(o, "p_in_budget", bounds->budget_usd, option->p_in_budget);
    set_chance(o, "p_in_time", bounds->deadline_s, option->p_in_time);
    set_flag(o, "on_front", option->on_front);
    lq_set_text(o, "basis", LQ_BASIS_NAMES[trial->basis]);
    json_object_set_new_nocheck(o, "warnings", lq_warning_codes_encode(trial->warnings));
    return o;
}

static json_t *options_encode(const struct lq_comparison_answer *a)
{
    json_t *list = json_array();
    const size_t end = a->page + a->document->limit;
    for (size_t i = a->page; i < end && i < a->allowed_count; i++) {
        json_array_append_new(list, option_encode(a, i));
    }
    return list;
}

static json_t *front_encode(const struct lq_comparison_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->allowed_count; i++) {
        if (a->options[i].on_front) {
            json_array_append_new(list, identity_encode(a, i));
        }
    }
    return list;
}

/* {"field", "to", "detail"}; for a bound also by how much it is missed. */
static json_t *change_encode(const struct lq_infeasible *item, const struct lq_bounds *bounds)
{
    switch (item->change) {
    case LQ_CHANGE_NONE:
        return json_null();
    case LQ_CHANGE_CHECKPOINTING:
        return json_pack("{s:s, s:b, s:s}", "field", "gradient_checkpointing", "to", 1, "detail",
                         "full gradient checkpointing would fit");
    case LQ_CHANGE_BATCH:
        return json_pack("{s:s, s:I, s:s}", "field", "batch_size", "to", (json_int_t)item->to,
                         "detail", "so many rows would fit");
    case LQ_CHANGE_COUNT:
        return json_pack("{s:s, s:I, s:s}", "field", "gpu_count", "to", (json_int_t)item->to,
                         "detail", "this number of them does it");
    case LQ_CHANGE_LORA:
        return json_pack("{s:s, s:s, s:s}", "field", "method", "to", "lora", "detail",
                         "lora of rank 16 with full gradient checkpointing would fit");
    case LQ_CHANGE_QLORA:
        return json_pack("{s:s, s:s, s:s}", "field", "method", "to", "qlora", "detail",
                         "qlora of rank 16 with full gradient checkpointing would fit");
    case LQ_CHANGE_ROWS:
        return json_pack("{s:s, s:I, s:s}", "field", "dataset/cutoff_tokens", "to",
                         (json_int_t)item->to, "detail", "rows cut to so many tokens would fit");
    case LQ_CHANGE_BUDGET:
        return json_pack("{s:s, s:f, s:f, s:s}", "field", "budget_usd", "to", item->to, "by",
                         item->to - bounds->budget_usd, "detail",
                         "the cheapest offer costs so much");
    case LQ_CHANGE_DEADLINE:
        return json_pack("{s:s, s:f, s:f, s:s}", "field", "deadline_s", "to", item->to, "by",
                         item->to - bounds->deadline_s, "detail", "it takes so long");
    }
    return json_null();
}

static json_t *infeasible_encode(const struct lq_comparison_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->infeasible_count; i++) {
        const struct lq_infeasible *item = &a->infeasible[i];
        json_t *o = json_object();
        lq_set_text(o, "gpu", item->trial->gpu->id);
        json_object_set_new_nocheck(
            o, "gpu_count",
            item->trial->gpu_count > 0 ? json_integer(item->trial->gpu_count) : json_null());
        lq_set_text(o, "reason", item->reason);
        lq_set_text(o, "detail", item->trial->detail);
        json_object_set_new_nocheck(o, "change", change_encode(item, &a->document->bounds));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *break_even_encode(const struct lq_comparison_answer *a)
{
    if (a->runner_up >= a->option_count) {
        return json_null();
    }
    const struct lq_choice *options = a->options;
    const struct lq_break_even at = lq_compare_break_even(
        &options[a->cheapest], a->lines[options[a->cheapest].tie].line.usd_per_gpu_hour,
        &options[a->runner_up], a->lines[options[a->runner_up].tie].line.usd_per_gpu_hour);
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "cheapest", identity_encode(a, a->cheapest));
    json_object_set_new_nocheck(o, "runner_up", identity_encode(a, a->runner_up));
    lq_set_real(o, "runner_up_usd_per_gpu_hour", at.runner_up_usd_per_gpu_h);
    lq_set_real(o, "cheapest_usd_per_gpu_hour", at.winner_usd_per_gpu_h);
    return o;
}

static json_t *scenario_encode(const struct lq_comparison_answer *a, const struct lq_sensitivity *s,
                               size_t side)
{
    const double cost = s->cost_usd[side];
    json_t *o = json_object();
    lq_set_real(o, "factor", side == 0 ? 0.75 : 1.25);
    json_object_set_new_nocheck(o, "cost_usd", cost > 0.0 ? json_real(cost) : json_null());
    set_flag(o, "changes", s->first[side] != 0);
    json_t *best = json_null();
    if (s->first[side] < a->option_count) {
        best = identity_encode(a, s->first[side]);
        json_object_del(best, "duration_s"); /* that of today */
        lq_set_real(best, "cost_usd", s->first_usd[side]);
    }
    json_object_set_new_nocheck(o, "best", best);
    return o;
}

/* Of the best option, at three and at five quarters of each input. */
static json_t *sensitivity_encode(const struct lq_comparison_answer *a)
{
    if (a->allowed_count == 0) {
        return json_null();
    }
    json_t *all = json_object();
    for (size_t k = 0; k < LQ_INPUT_COUNT; k++) {
        const struct lq_sensitivity *s = &a->sensitivity[k];
        json_t *o = json_null();
        if (s->known) {
            o = json_object();
            json_object_set_new_nocheck(o, "elasticity",
                                        s->cost_usd[0] > 0.0 && s->cost_usd[1] > 0.0
                                            ? json_real(s->elasticity)
                                            : json_null());
            json_object_set_new_nocheck(o, "below", scenario_encode(a, s, 0));
            json_object_set_new_nocheck(o, "above", scenario_encode(a, s, 1));
        }
        json_object_set_new_nocheck(all, INPUT_NAMES[k], o);
    }
    return all;
}

static size_t least(const struct lq_comparison_answer *a, enum lq_least objective)
{
    const struct lq_bounds unbound = {0.0, 0.0};
    const struct lq_scenario as_is = {.time_factor = 1.0, .price_factor = 1.0};
    return lq_compare_best(a->options, a->option_count, objective, &unbound, &as_is);
}

static void set_missing(json_t *o, const char *name, double bound, double value)
{
    json_object_set_new_nocheck(
        o, name, bound > 0.0 && value > bound ? json_real(value - bound) : json_null());
}

/* Where nothing keeps the bounds: how far off the cheapest and the fastest are. */
static json_t *unmet_encode(const struct lq_comparison_answer *a)
{
    static const char *const NAMES[] = {"cheapest", "fastest"};
    if (a->allowed_count > 0 || a->option_count == 0) {
        return json_null();
    }
    json_t *o = json_object();
    for (int k = 0; k < 2; k++) {
        const size_t i = least(a, k == 0 ? LQ_LEAST_COST : LQ_LEAST_TIME);
        const struct lq_choice *option = &a->options[i];
        const struct lq_bounds *bounds = &a->document->bounds;
        json_t *one = identity_encode(a, i);
        set_missing(one, "budget_usd_missing", bounds->budget_usd, option->cost_usd);
        set_missing(one, "deadline_s_missing", bounds->deadline_s, option->duration_s);
        set_chance(one, "p_in_budget", bounds->budget_usd, option->p_in_budget);
        set_chance(one, "p_in_time", bounds->deadline_s, option->p_in_time);
        json_object_set_new_nocheck(o, NAMES[k], one);
    }
    return o;
}

json_t *lq_comparison_encode(const struct lq_comparison_answer *a)
{
    const struct lq_job *job = &a->document->job.job;
    json_t *o = json_object();
    lq_set_text(o, "model", job->model->id);
    lq_set_text(o, "objective", LQ_LEAST_NAMES[a->document->objective]);
    lq_set_count(o, "option_count", (int64_t)a->allowed_count);
    json_object_set_new_nocheck(o, "options", options_encode(a));
    lq_set_text(o, "next_cursor", a->next_cursor);
    json_object_set_new_nocheck(o, "front", front_encode(a));
    json_object_set_new_nocheck(o, "infeasible", infeasible_encode(a));
    json_object_set_new_nocheck(o, "unmet", unmet_encode(a));
    json_object_set_new_nocheck(o, "break_even", break_even_encode(a));
    json_object_set_new_nocheck(o, "sensitivity", sensitivity_encode(a));
    json_object_set_new_nocheck(
        o, "tune_or_buy", a->ownership != NULL ? lq_ownership_encode(a->ownership) : json_null());
    json_object_set_new_nocheck(o, "assumptions", lq_comparison_document_encode(a->document));
    json_t *versions = json_object();
    lq_set_text(versions, "code", LQ_VERSION);
    lq_set_text(versions, "catalog", a->catalog_version);
    lq_set_text(versions, "prices", a->prices_version);
    json_object_set_new_nocheck(o, "versions", versions);
    return o;
}
