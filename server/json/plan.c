/* Decodes what is to be planned. Prices and laws are put to it in plan_question.c, the answer is
 * encoded in plan_answer.c. */
#include "server/json/plan.h"

#include "core/finetune/device.h"
#include "server/json/field.h"
#include "server/json/serving.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The set-up behind the figures of Yun et al. 2024 (arXiv 2404.02852). */
#define DEFAULT_LAW "yun2024-reconstructed"
#define DEFAULT_GPU "A100-40GB-SXM"
enum { CONCURRENT_REQUESTS = 256, MAX_GPU_COUNT = 8 };
/* Share of the matrix peak that training reaches: ASSUMED; one step's FLOPs over its time and the
 * GPU's peak tells. Published runs on A100s lie between 0.3 and 0.55. */
#define DEFAULT_UTILISATION 0.4

/* Members as they stand in the document. */
struct members {
    double budget_flop;
    double budget_usd;
    char law[LQ_ID_MAX];
    const json_t *laws;
    const json_t *experts;
    int64_t base_experts;
    const json_t *model;
    int64_t active_experts;
    double mlp_share;
    double moe_layer_share;
    char gpu[LQ_ID_MAX];
    const json_t *providers;
    double usd_per_gpu_hour;
    double utilisation;
    int64_t max_serving_gpu_count;
    int64_t max_concurrent_requests;
    const json_t *traffic;
    char stack[LQ_ID_MAX];
    int precision;
    double served_tokens;
    double required_loss;
    double max_total_parameters;
    double max_training_tokens;
    double deadline_s;
    int64_t training_gpu_count;
    bool series;
    bool shape;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "budget_flop",
     .kind = LQ_FIELD_NUMBER,
     AT(budget_flop),
     .min = LQ_PLAN_BUDGET_MIN,
     .max = LQ_PLAN_BUDGET_MAX},
    {.name = "budget_usd", .kind = LQ_FIELD_NUMBER, AT(budget_usd), .min = 0.01, .max = 1e15},
    {.name = "law", .kind = LQ_FIELD_ID, AT(law), .size = LQ_ID_MAX},
    {.name = "laws", .kind = LQ_FIELD_JSON, AT(laws)},
    {.name = "experts", .kind = LQ_FIELD_JSON, AT(experts)},
    {.name = "base_experts", .kind = LQ_FIELD_COUNT, AT(base_experts), .min = 1, .max = 65536},
    {.name = "model", .kind = LQ_FIELD_JSON, AT(model)},
    {.name = "active_experts", .kind = LQ_FIELD_COUNT, AT(active_experts), .min = 1, .max = 65536},
    {.name = "mlp_share", .kind = LQ_FIELD_NUMBER, AT(mlp_share), .min = 0.0, .max = 1.0},
    {.name = "moe_layer_share",
     .kind = LQ_FIELD_NUMBER,
     AT(moe_layer_share),
     .min = 0.0,
     .max = 1.0},
    {.name = "gpu", .kind = LQ_FIELD_ID, AT(gpu), .size = LQ_ID_MAX},
    {.name = "providers", .kind = LQ_FIELD_JSON, AT(providers)},
    {.name = "usd_per_gpu_hour",
     .kind = LQ_FIELD_NUMBER,
     AT(usd_per_gpu_hour),
     .min = 1e-9,
     .max = 1e6},
    {.name = "utilisation", .kind = LQ_FIELD_NUMBER, AT(utilisation), .min = 0.001, .max = 1.0},
    {.name = "max_serving_gpu_count",
     .kind = LQ_FIELD_COUNT,
     AT(max_serving_gpu_count),
     .min = 1,
     .max = 1024},
    {.name = "max_concurrent_requests",
     .kind = LQ_FIELD_COUNT,
     AT(max_concurrent_requests),
     .min = 1,
     .max = 1e6},
    {.name = "traffic", .kind = LQ_FIELD_JSON, AT(traffic)},
    {.name = "stack", .kind = LQ_FIELD_ID, AT(stack), .size = LQ_ID_MAX},
    {.name = "precision", .kind = LQ_FIELD_NAME, AT(precision), .names = LQ_PRECISION_NAMES},
    {.name = "served_tokens", .kind = LQ_FIELD_NUMBER, AT(served_tokens), .min = 0.0, .max = 1e24},
    {.name = "required_loss",
     .kind = LQ_FIELD_NUMBER,
     AT(required_loss),
     .min = 1e-3,
     .max = 100.0},
    {.name = "max_total_parameters",
     .kind = LQ_FIELD_NUMBER,
     AT(max_total_parameters),
     .min = 1e6,
     .max = 1e18},
    {.name = "max_training_tokens",
     .kind = LQ_FIELD_NUMBER,
     AT(max_training_tokens),
     .min = 1e6,
     .max = 1e21},
    {.name = "deadline_s", .kind = LQ_FIELD_NUMBER, AT(deadline_s), .min = 1.0, .max = 1e10},
    {.name = "training_gpu_count",
     .kind = LQ_FIELD_COUNT,
     AT(training_gpu_count),
     .min = 1,
     .max = 1e7},
    {.name = "series", .kind = LQ_FIELD_BOOL, AT(series)},
    {.name = "shape", .kind = LQ_FIELD_BOOL, AT(shape)},
};
#undef AT

static const struct lq_law *find_law(const char *id, const char *pointer,
                                     const struct lq_lookup *lookup, struct lq_faults *faults)
{
    const struct lq_law *law = lookup->law(lookup->context, id);
    if (law == NULL) {
        lq_faults_add(faults, LQ_EREFERENCE, pointer,
                      "no law \"%.60s\"; GET /v1/scaling-laws lists them", id);
    }
    return law;
}

static void decode_all_laws(struct lq_plan_document *out)
{
    const double experts[] = {4.0, 8.0}; /* a law that takes both knows experts */
    const struct lq_law *law = NULL;
    out->all_applicable = true;
    for (size_t i = 0; (law = lq_law_at(i)) != NULL && out->law_count < LQ_PLAN_LAWS_MAX; i++) {
        if (lq_plan_law_check(law, experts, 2, NULL) == LQ_OK) {
            out->laws[out->law_count++] = law;
        }
    }
}

static void decode_laws(const json_t *value, const struct lq_lookup *lookup,
                        struct lq_plan_document *out, struct lq_faults *faults)
{
    const char *text = json_string_value(value);
    if (text != NULL && strcmp(text, "all-applicable") == 0) {
        decode_all_laws(out);
        return;
    }
    if (!json_is_array(value) || json_array_size(value) == 0 ||
        json_array_size(value) > LQ_PLAN_LAWS_MAX) {
        lq_faults_add(faults, LQ_EFIELD, "/laws",
                      "must be a list of 1..%d law ids, or \"all-applicable\"", LQ_PLAN_LAWS_MAX);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char at[LQ_POINTER_MAX];
        snprintf(at, sizeof at, "/laws/%zu", i);
        const char *id = json_string_value(item);
        if (id == NULL) {
            lq_faults_add(faults, LQ_EFIELD, at, "must be a law id");
            continue;
        }
        const struct lq_law *law = find_law(id, at, lookup, faults);
        for (size_t j = 0; j < out->law_count && law != NULL; j++) {
            if (out->laws[j] == law) {
                lq_faults_add(faults, LQ_EFIELD, at, "names %s a second time", law->id);
                law = NULL;
            }
        }
        if (law != NULL) {
            out->laws[out->law_count++] = law;
        }
    }
}

static void decode_experts(const json_t *value, struct lq_plan_document *out,
                           struct lq_faults *faults)
{
    if (!json_is_array(value) || json_array_size(value) == 0 ||
        json_array_size(value) > LQ_PLAN_OPTIONS_MAX) {
        lq_faults_add(faults, LQ_EFIELD, "/experts", "must be a list of 1..%d expert counts",
                      LQ_PLAN_OPTIONS_MAX);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char at[LQ_POINTER_MAX];
        int64_t experts = 0;
        snprintf(at, sizeof at, "/experts/%zu", i);
        if (!lq_decode_count(item, at, 1.0, 65536.0, &experts, faults)) {
            continue;
        }
        bool again = false;
        for (size_t j = 0; j < out->expert_count; j++) {
            again = again || out->experts[j] == (double)experts;
        }
        if (again) {
            lq_faults_add(faults, LQ_EFIELD, at, "names %lld experts a second time",
                          (long long)experts);
        } else {
            out->experts[out->expert_count++] = (double)experts;
        }
    }
}

/* K against the counts that one law is asked about, defaults included. One expert is a dense model,
 * which has none to choose from. */
static bool check_active(struct lq_plan_document *document, const struct lq_law *law,
                         const char *pointer, struct lq_faults *faults)
{
    const struct lq_plan_question *q = &document->question;
    lq_plan_document_ask(document, law);
    double fewest = q->base_experts > 1.0 ? q->base_experts : HUGE_VAL;
    const char *member = document->base_experts > 0.0 ? "base_experts" : "base_experts, by default";
    for (size_t i = 0; i < q->expert_count; i++) {
        if (q->experts[i] > 1.0 && q->experts[i] < fewest) {
            fewest = q->experts[i];
            member = document->expert_count > 0 ? "experts" : "experts, by default";
        }
    }
    if (document->active_experts > fewest) {
        lq_faults_add(faults, LQ_EFIELD, pointer,
                      "must be at most the fewest experts asked about, %g (%s), got %g", fewest,
                      member, document->active_experts);
        return false;
    }
    return true;
}

/* Under the law that is shown and those beside it; the first that fails tells. */
static void check_all_active(const struct members *m, struct lq_plan_document *document,
                             struct lq_faults *faults)
{
    const char *pointer = m->model != NULL ? "/model" : "/active_experts";
    const bool readable = m->experts == NULL || document->expert_count > 0;
    bool fits =
        readable && document->law != NULL && check_active(document, document->law, pointer, faults);
    for (size_t i = 0; i < document->law_count && fits; i++) {
        fits = check_active(document, document->laws[i], pointer, faults);
    }
}

static void decode_model(const json_t *value, const struct lq_lookup *lookup,
                         struct lq_plan_document *out, struct lq_faults *faults)
{
    if (out->active_experts > 0.0 || out->mlp_share >= 0.0 || out->moe_layer_share >= 0.0) {
        lq_faults_add(faults, LQ_EFIELD, "/model",
                      "goes without active_experts, mlp_share and moe_layer_share: it tells them");
        return;
    }
    const struct lq_model *model =
        lq_subject_model(value, "/model", lookup, &out->inline_model, faults);
    if (model != NULL && lq_model_experts(model) < 2) {
        lq_faults_add(faults, LQ_EFIELD, "/model",
                      "must be a mixture of experts: %.60s does not say what experts repeat",
                      model->id);
    } else if (model != NULL) {
        lq_plan_document_take(out, model);
    }
}

static void decode_budget(const json_t *value, const struct members *m,
                          struct lq_plan_document *out, struct lq_faults *faults)
{
    const json_t *flop = json_object_get(value, "budget_flop");
    const json_t *usd = json_object_get(value, "budget_usd");
    const bool has_flop = flop != NULL && !json_is_null(flop);
    const bool has_usd = usd != NULL && !json_is_null(usd);
    out->question.budget_flop = m->budget_flop;
    out->budget_usd = m->budget_usd;
    if (has_flop && has_usd) {
        lq_faults_add(faults, LQ_EFIELD, "/budget_usd",
                      "goes without budget_flop: give one or the other");
    } else if (!has_flop && !has_usd) {
        lq_faults_add(faults, LQ_EFIELD, "/budget_flop",
                      "must be given, in FLOPs; or budget_usd in its place");
    }
}

static void decode_serving(const struct members *m, const struct lq_lookup *lookup,
                           struct lq_plan_document *out, struct lq_faults *faults)
{
    struct lq_plan_question *q = &out->question;
    q->format.precision = (enum lq_precision)m->precision;
    q->format.kv_precision = lq_kv_precision_default(q->format.precision);
    q->serving.gpu = lq_subject_gpu(m->gpu, "/gpu", lookup, faults);
    q->serving.stack = lq_serving_stack_decode(m->stack, lookup, faults);
    q->serving.max_concurrent_requests = m->max_concurrent_requests;
    q->max_serving_gpu_count = m->max_serving_gpu_count;
    if (q->serving.gpu != NULL) {
        bool fallback = false;
        const double peak = lq_peak_flop_per_s(q->serving.gpu, q->format.precision, &fallback);
        q->train_flop_per_s = out->utilisation * peak;
        if (!(peak > 0.0)) {
            lq_faults_add(faults, LQ_EIMPOSSIBLE, "/gpu", "the catalog has no peak rate of %s",
                          q->serving.gpu->id);
        }
    }
    if (lq_traffic_decode(m->traffic, "/traffic", &out->traffic, faults)) {
        q->traffic = out->traffic.traffic;
    }
}

static void take_plain(const json_t *value, const struct members *m, struct lq_plan_document *out)
{
    struct lq_plan_question *q = &out->question;
    q->served_tokens = m->served_tokens;
    q->required_loss = m->required_loss;
    q->max_total_parameters = m->max_total_parameters;
    q->max_training_tokens = m->max_training_tokens;
    out->base_experts = (double)m->base_experts;
    out->active_experts = (double)m->active_experts;
    out->mlp_share = m->mlp_share;
    out->moe_layer_share = m->moe_layer_share;
    out->utilisation = m->utilisation;
    const json_t *utilisation = json_object_get(value, "utilisation");
    out->utilisation_given = utilisation != NULL && !json_is_null(utilisation);
    out->deadline_s = m->deadline_s;
    out->training_gpu_count = m->training_gpu_count;
    out->series = m->series;
    out->shape = m->shape;
}

enum lq_code lq_plan_decode(const json_t *value, const struct lq_lookup *lookup,
                            struct lq_plan_document *out, struct lq_faults *faults)
{
    memset(out, 0, sizeof *out);
    struct members m = {.mlp_share = -1.0,
                        .moe_layer_share = -1.0,
                        .law = DEFAULT_LAW,
                        .gpu = DEFAULT_GPU,
                        .stack = "roofline",
                        .utilisation = DEFAULT_UTILISATION,
                        .max_serving_gpu_count = MAX_GPU_COUNT,
                        .max_concurrent_requests = CONCURRENT_REQUESTS};
    /* what is wrong so far stands in `faults`; the members that could be read are looked at further
     */
    const enum lq_code table =
        lq_decode(value, "", FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    if (!json_is_object(value)) {
        return table;
    }
    take_plain(value, &m, out);
    decode_budget(value, &m, out, faults);
    if (m.laws != NULL) {
        decode_laws(m.laws, lookup, out, faults);
    }
    const bool named = json_is_string(json_object_get(value, "law"));
    out->law = !named && out->law_count > 0 && !out->all_applicable
                   ? out->laws[0]
                   : find_law(m.law, "/law", lookup, faults);
    if (m.experts != NULL) {
        decode_experts(m.experts, out, faults);
    }
    if (m.model != NULL) {
        decode_model(m.model, lookup, out, faults);
    }
    check_all_active(&m, out, faults);
    decode_serving(&m, lookup, out, faults);
    lq_subject_terms(m.providers, m.usd_per_gpu_hour, "", lookup, &out->terms, faults);
    return table == LQ_OK && faults->count == 0 ? LQ_OK : faults->items[0].code;
}

void lq_plan_release(struct lq_plan_document *document)
{
    lq_traffic_release(&document->traffic);
}
