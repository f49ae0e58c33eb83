/* Decodes what is to be served. The answer is encoded in serving_answer.c. */
#include "server/json/serving.h"

#include "server/json/field.h"

#include <string.h>

/* vLLM's max_num_seqs (2024), and the batch limit behind the figures of Yun et al. 2024. */
enum { CONCURRENT_REQUESTS = 256, MAX_GPU_COUNT = 8 };

/* Members as they stand in the document. */
struct members {
    const json_t *model;
    char gpu[LQ_ID_MAX];
    int64_t gpu_count;
    int64_t max_serving_gpu_count;
    int precision;
    int quantization;
    int kv_precision;
    int64_t active_experts;
    const json_t *traffic;
    int64_t max_concurrent_requests;
    bool expert_parallel;
    char stack[LQ_ID_MAX];
    const json_t *providers;
    double usd_per_gpu_hour;
    double confidence;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "model", .kind = LQ_FIELD_JSON, .required = true, AT(model)},
    {.name = "gpu", .kind = LQ_FIELD_ID, .required = true, AT(gpu), .size = LQ_ID_MAX},
    {.name = "gpu_count", .kind = LQ_FIELD_COUNT, AT(gpu_count), .min = 1, .max = 1024},
    {.name = "max_serving_gpu_count",
     .kind = LQ_FIELD_COUNT,
     AT(max_serving_gpu_count),
     .min = 1,
     .max = 1024},
    {.name = "precision", .kind = LQ_FIELD_NAME, AT(precision), .names = LQ_PRECISION_NAMES},
    {.name = "quantization",
     .kind = LQ_FIELD_NAME,
     AT(quantization),
     .names = LQ_QUANTIZATION_NAMES},
    {.name = "kv_precision",
     .kind = LQ_FIELD_NAME,
     AT(kv_precision),
     .names = LQ_KV_PRECISION_NAMES},
    {.name = "active_experts", .kind = LQ_FIELD_COUNT, AT(active_experts), .min = 1, .max = 65536},
    {.name = "traffic", .kind = LQ_FIELD_JSON, AT(traffic)},
    {.name = "max_concurrent_requests",
     .kind = LQ_FIELD_COUNT,
     AT(max_concurrent_requests),
     .min = 1,
     .max = 1e6},
    {.name = "expert_parallel", .kind = LQ_FIELD_BOOL, AT(expert_parallel)},
    {.name = "stack", .kind = LQ_FIELD_ID, AT(stack), .size = LQ_ID_MAX},
    {.name = "providers", .kind = LQ_FIELD_JSON, AT(providers)},
    {.name = "usd_per_gpu_hour",
     .kind = LQ_FIELD_NUMBER,
     AT(usd_per_gpu_hour),
     .min = 1e-9,
     .max = 1e6},
    {.name = "confidence", .kind = LQ_FIELD_NUMBER, AT(confidence), .min = 0.01, .max = 0.999},
};
#undef AT

static void decode_model(const struct members *m, const struct lq_lookup *lookup,
                         struct lq_serving_document *out, struct lq_faults *faults)
{
    const struct lq_model *model =
        lq_subject_model(m->model, "/model", lookup, &out->model, faults);
    if (model == NULL) {
        return;
    }
    if (model != &out->model) {
        out->model = *model;
    }
    const int64_t experts = lq_model_experts(model);
    if (m->active_experts > experts) {
        lq_faults_add(faults, LQ_EFIELD, "/active_experts",
                      experts > 0
                          ? "must be 1..%lld, the model's experts, got %lld"
                          : "is for mixture-of-experts models; this one has %lld experts, got %lld",
                      (long long)experts, (long long)m->active_experts);
        return;
    }
    for (int i = 0; m->active_experts > 0 && i < out->model.layer_kinds; i++) {
        struct lq_ffn *ffn = &out->model.layers[i].ffn;
        ffn->active_experts = m->active_experts < ffn->experts ? m->active_experts : ffn->experts;
    }
}

const struct lq_serving_stack *
lq_serving_stack_decode(const char *label, const struct lq_lookup *lookup, struct lq_faults *faults)
{
    const struct lq_serving_stack *stack = lq_serving_stack_find(label);
    if (stack != NULL) {
        return stack;
    }
    if (lookup->stack(lookup->context, label) != NULL) {
        lq_faults_add(faults, LQ_EFIELD, "/stack",
                      "nothing is known of serving with \"%.60s\"; \"vllm\", \"gpt-fast\", "
                      "\"hf-2023\", \"hf-2024\" and \"roofline\" have constants",
                      label);
    } else {
        lq_faults_add(faults, LQ_EREFERENCE, "/stack",
                      "no stack \"%.60s\"; GET /v1/stacks lists them", label);
    }
    return NULL;
}

enum lq_kv_precision lq_kv_precision_default(enum lq_precision precision)
{
    switch (precision) {
    case LQ_PRECISION_FP16:
        return LQ_KV_FP16;
    case LQ_PRECISION_FP32:
        return LQ_KV_FP32;
    case LQ_PRECISION_BF16:
    case LQ_PRECISION_FP8:
        return LQ_KV_BF16;
    }
    return LQ_KV_BF16;
}

static void decode_format(const struct members *m, struct lq_serving_format *out,
                          struct lq_faults *faults)
{
    out->precision = (enum lq_precision)m->precision;
    out->quantization = (enum lq_quantization)m->quantization;
    out->kv_precision = m->kv_precision >= 0 ? (enum lq_kv_precision)m->kv_precision
                                             : lq_kv_precision_default(out->precision);
    if (out->precision == LQ_PRECISION_FP8 && out->quantization != LQ_QUANTIZATION_NONE) {
        lq_faults_add(faults, LQ_EFIELD, "/quantization",
                      "goes with bf16, fp16 or fp32: fp8 is a storage of the weights itself");
    }
}

static void decode_counts(const struct members *m, struct lq_serving_document *out,
                          struct lq_faults *faults)
{
    out->gpu_count = m->gpu_count;
    out->max_gpu_count = m->max_serving_gpu_count > 0 ? m->max_serving_gpu_count : MAX_GPU_COUNT;
    if (m->max_serving_gpu_count > 0 && m->gpu_count > m->max_serving_gpu_count) {
        lq_faults_add(faults, LQ_EFIELD, "/gpu_count",
                      "must be at most max_serving_gpu_count, %lld, got %lld",
                      (long long)m->max_serving_gpu_count, (long long)m->gpu_count);
    }
}

enum lq_code lq_serving_decode(const json_t *value, const struct lq_lookup *lookup,
                               struct lq_serving_document *out, struct lq_faults *faults)
{
    memset(out, 0, sizeof *out);
    struct members m = {.kv_precision = -1,
                        .max_concurrent_requests = CONCURRENT_REQUESTS,
                        .stack = "vllm",
                        .confidence = 0.9};
    /* what is wrong so far stands in `faults`; the members that could be read are looked at further
     */
    const enum lq_code table =
        lq_decode(value, "", FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    if (m.model != NULL) {
        decode_model(&m, lookup, out, faults);
    }
    if (m.gpu[0] != '\0') {
        out->setup.gpu = lq_subject_gpu(m.gpu, "/gpu", lookup, faults);
    }
    out->setup.stack = lq_serving_stack_decode(m.stack, lookup, faults);
    out->setup.max_concurrent_requests = m.max_concurrent_requests;
    out->setup.expert_parallel = m.expert_parallel;
    out->confidence = m.confidence;
    decode_format(&m, &out->format, faults);
    decode_counts(&m, out, faults);
    (void)lq_traffic_decode(m.traffic, "/traffic", &out->traffic, faults);
    lq_subject_terms(m.providers, m.usd_per_gpu_hour, "", lookup, &out->terms, faults);
    return table == LQ_OK && faults->count == 0 ? LQ_OK : faults->items[0].code;
}

void lq_serving_release(struct lq_serving_document *document)
{
    lq_traffic_release(&document->traffic);
}

/* The constants that the times rest on. */
static json_t *stack_encode(const struct lq_serving_document *d)
{
    const struct lq_serving_stack *stack = d->setup.stack;
    const enum lq_weight_class weights =
        lq_weight_class_of(d->format.precision, d->format.quantization);
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b}", "bandwidth_efficiency",
                     stack->bandwidth_efficiency[weights], "compute_efficiency",
                     stack->compute_efficiency, "link_efficiency", stack->link_efficiency,
                     "iteration_s", stack->iteration_s, "layer_s", stack->layer_s, "host_layer_s",
                     stack->host_layer_s, "collective_s", stack->collective_s,
                     "usable_memory_share", stack->usable_memory, "devices_take_turns",
                     stack->devices_take_turns);
}

json_t *lq_serving_document_encode(const struct lq_serving_document *d)
{
    json_t *o = json_object();
    json_object_set_new(o, "gpu_count",
                        d->gpu_count > 0 ? json_integer(d->gpu_count) : json_string("cheapest"));
    json_object_set_new(o, "max_serving_gpu_count", json_integer(d->max_gpu_count));
    json_object_set_new(o, "precision", json_string(LQ_PRECISION_NAMES[d->format.precision]));
    json_object_set_new(o, "quantization",
                        json_string(LQ_QUANTIZATION_NAMES[d->format.quantization]));
    json_object_set_new(o, "kv_precision",
                        json_string(LQ_KV_PRECISION_NAMES[d->format.kv_precision]));
    json_object_set_new(o, "active_experts", json_integer(lq_model_active_experts(&d->model)));
    json_object_set_new(o, "traffic", lq_traffic_encode(&d->traffic));
    json_object_set_new(o, "max_concurrent_requests",
                        json_integer(d->setup.max_concurrent_requests));
    json_object_set_new(o, "expert_parallel", json_boolean(d->setup.expert_parallel));
    json_object_set_new(o, "stack", json_string(d->setup.stack->id));
    json_object_set_new(o, "stack_constants", stack_encode(d));
    lq_terms_encode(&d->terms, o);
    json_object_set_new(o, "confidence", json_real(d->confidence));
    return o;
}
