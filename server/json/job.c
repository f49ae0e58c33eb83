/* Decodes jobs. Each member that needs more than the field table has one function here. */
#include "server/json/job.h"

#include "core/base/units.h"
#include "core/finetune/efficiency.h"
#include "core/finetune/network.h"
#include "server/json/field.h"
#include "server/json/layout.h"
#include "server/json/lookup.h"
#include "server/json/method.h"

#include <stdio.h>
#include <string.h>

/* Members as they stand in the document. */
struct members {
    const json_t *model;
    char gpu[LQ_ID_MAX];
    int64_t gpu_count;
    const json_t *method;
    int precision;
    int optimizer;
    int attention;
    bool master_weights;
    const json_t *gradient_checkpointing;
    int64_t gradient_accumulation_steps;
    int64_t active_experts;
    const json_t *dataset;
    double epochs;
    const json_t *batch_size;
    char stack[LQ_ID_MAX];
    int estimator;
    const json_t *providers;
    double usd_per_gpu_hour;
    double confidence;
    const json_t *layout;
    int64_t node_gpu_count;
    double internode_gb_s;
    const json_t *expert_load;
    const json_t *optimizations;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "model", .kind = LQ_FIELD_JSON, .required = true, AT(model)},
    {.name = "gpu", .kind = LQ_FIELD_ID, .required = true, AT(gpu), .size = LQ_ID_MAX},
    {.name = "gpu_count", .kind = LQ_FIELD_COUNT, AT(gpu_count), .min = 1, .max = 65536},
    {.name = "method", .kind = LQ_FIELD_JSON, AT(method)},
    {.name = "precision", .kind = LQ_FIELD_NAME, AT(precision), .names = LQ_PRECISION_NAMES},
    {.name = "optimizer", .kind = LQ_FIELD_NAME, AT(optimizer), .names = LQ_OPTIMIZER_NAMES},
    {.name = "attention", .kind = LQ_FIELD_NAME, AT(attention), .names = LQ_ATTENTION_NAMES},
    {.name = "master_weights", .kind = LQ_FIELD_BOOL, AT(master_weights)},
    {.name = "gradient_checkpointing", .kind = LQ_FIELD_JSON, AT(gradient_checkpointing)},
    {.name = "gradient_accumulation_steps",
     .kind = LQ_FIELD_COUNT,
     AT(gradient_accumulation_steps),
     .min = 1,
     .max = 1e6},
    {.name = "active_experts", .kind = LQ_FIELD_COUNT, AT(active_experts), .min = 1, .max = 65536},
    {.name = "dataset", .kind = LQ_FIELD_JSON, .required = true, AT(dataset)},
    {.name = "epochs", .kind = LQ_FIELD_NUMBER, AT(epochs), .min = 1e-9, .max = 1e6},
    {.name = "batch_size", .kind = LQ_FIELD_JSON, AT(batch_size)},
    {.name = "stack", .kind = LQ_FIELD_ID, AT(stack), .size = LQ_ID_MAX},
    {.name = "estimator", .kind = LQ_FIELD_NAME, AT(estimator), .names = LQ_ESTIMATOR_NAMES},
    {.name = "providers", .kind = LQ_FIELD_JSON, AT(providers)},
    {.name = "usd_per_gpu_hour",
     .kind = LQ_FIELD_NUMBER,
     AT(usd_per_gpu_hour),
     .min = 1e-9,
     .max = 1e6},
    {.name = "confidence", .kind = LQ_FIELD_NUMBER, AT(confidence), .min = 0.01, .max = 0.999},
    {.name = "layout", .kind = LQ_FIELD_JSON, AT(layout)},
    {.name = "node_gpu_count", .kind = LQ_FIELD_COUNT, AT(node_gpu_count), .min = 1, .max = 65536},
    {.name = "internode_gb_s",
     .kind = LQ_FIELD_NUMBER,
     AT(internode_gb_s),
     .min = 1e-3,
     .max = 1e6},
    {.name = "expert_load", .kind = LQ_FIELD_JSON, AT(expert_load)},
    {.name = "optimizations", .kind = LQ_FIELD_JSON, AT(optimizations)},
};
#undef AT

/* What every member function needs. */
struct context {
    const char *pointer;
    const struct lq_lookup *lookup;
    struct lq_job_document *out;
    struct lq_faults *faults;
};

static const char *below(const struct context *c, const char *member, char at[LQ_POINTER_MAX])
{
    snprintf(at, LQ_POINTER_MAX, "%s/%s", c->pointer, member);
    return at;
}

/* A label that nobody has measured is as good as any: the answer rests on all stacks and says so.
 */
static void decode_stack(const struct context *c, const char *label)
{
    const char *listed = c->lookup->stack(c->lookup->context, label);
    const char *known = listed != NULL ? listed : label;
    const struct lq_stack *stack = lq_stack_find(known);
    if (stack != NULL && stack->serves_only) {
        char at[LQ_POINTER_MAX];
        lq_faults_add(c->faults, LQ_EFIELD, below(c, "stack", at),
                      "%s only serves, it trains nothing", known);
        return;
    }
    snprintf(c->out->stack, sizeof c->out->stack, "%s", known);
}

static void decode_batch(const struct context *c, const json_t *value)
{
    if (value == NULL || (json_is_string(value) && strcmp(json_string_value(value), "max") == 0)) {
        return;
    }
    char at[LQ_POINTER_MAX];
    if (json_is_string(value)) {
        lq_faults_add(c->faults, LQ_EFIELD, below(c, "batch_size", at),
                      "must be a count or \"max\", got \"%.40s\"", json_string_value(value));
        return;
    }
    (void)lq_decode_count(value, below(c, "batch_size", at), 1.0, 1e9, &c->out->job.batch_size,
                          c->faults);
}

static void decode_dataset(const struct context *c, const json_t *value)
{
    char at[LQ_POINTER_MAX];
    struct lq_dataset_document *dataset = &c->out->dataset;
    if (!lq_dataset_decode(value, below(c, "dataset", at), c->lookup, dataset, c->faults)) {
        return;
    }
    const struct lq_lengths_document *lengths = &dataset->lengths;
    c->out->job.lengths = &lengths->lengths;
    c->out->job.lengths_id = lengths->name;
    c->out->job.fixed_tokens = lengths->fixed_tokens > 0 ? lengths->lengths.longest_tokens : 0;
    c->out->job.queries = dataset->queries;
}

/* A failure of core's checks, whose pointer is the member's, below the job's. */
static void add_failure(const struct context *c, const struct lq_error *err)
{
    char at[LQ_POINTER_MAX];
    snprintf(at, sizeof at, "%s%s", c->pointer, err->pointer);
    lq_faults_add(c->faults, err->code, at, "%s", err->detail);
}

/* "auto" leaves the sizes 0: the best layout is sought. */
static void decode_layout(const struct context *c, const json_t *value)
{
    char at[LQ_POINTER_MAX];
    struct lq_job *job = &c->out->job;
    if (value == NULL || (json_is_string(value) && strcmp(json_string_value(value), "auto") == 0)) {
        return;
    }
    if (!json_is_object(value)) {
        lq_faults_add(c->faults, LQ_EFIELD, below(c, "layout", at),
                      "must be \"auto\" or an object");
        return;
    }
    struct lq_error err = {0};
    if (lq_layout_decode(value, below(c, "layout", at), job->gpu_count, job->network.node_gpu_count,
                         &job->layout, c->faults) &&
        job->model != NULL &&
        lq_layout_check(&job->layout, job->model, job->gpu_count, &job->network, &err) != LQ_OK) {
        add_failure(c, &err);
    }
}

static void decode_expert_load(const struct context *c, const json_t *value)
{
    char at[LQ_POINTER_MAX];
    struct lq_job *job = &c->out->job;
    if (value == NULL || job->model == NULL) {
        return;
    }
    if (lq_expert_load_decode(value, below(c, "expert_load", at), lq_model_experts(job->model),
                              &c->out->expert_load, c->faults)) {
        job->expert_load = &c->out->expert_load;
    }
}

static void check_experts(const struct context *c, int64_t asked)
{
    struct lq_job *job = &c->out->job;
    if (job->model == NULL) {
        return;
    }
    char at[LQ_POINTER_MAX];
    const int64_t experts = lq_model_experts(job->model);
    job->active_experts = asked > 0 ? asked : lq_model_active_experts(job->model);
    if (asked > experts) {
        lq_faults_add(c->faults, LQ_EFIELD, below(c, "active_experts", at),
                      experts > 0
                          ? "must be 1..%lld, the model's experts, got %lld"
                          : "is for mixture-of-experts models; this one has %lld experts, got %lld",
                      (long long)experts, (long long)asked);
    }
}

static void decode_training(const struct context *c, const struct members *m)
{
    char at[LQ_POINTER_MAX];
    struct lq_job *job = &c->out->job;
    job->training = (struct lq_training){
        .precision = (enum lq_precision)m->precision,
        .optimizer = (enum lq_optimizer)m->optimizer,
        .attention = (enum lq_attention)m->attention,
        .checkpointing = LQ_CHECKPOINTING_FULL,
        .master_weights = m->master_weights,
        .options = lq_stack_options(job->stack),
        .accumulation_steps = m->gradient_accumulation_steps,
    };
    if (m->optimizations != NULL) {
        (void)lq_options_decode(m->optimizations, below(c, "optimizations", at),
                                &job->training.options, c->faults);
    }
    job->method = lq_method_default();
    if (m->method != NULL) {
        (void)lq_method_decode(m->method, below(c, "method", at), &job->method, c->faults);
    }
    if (m->gradient_checkpointing != NULL) {
        (void)lq_checkpointing_decode(m->gradient_checkpointing,
                                      below(c, "gradient_checkpointing", at),
                                      &job->training.checkpointing, c->faults);
    }
}

/* Adapters must be on something the model has. */
static void check_targets(const struct context *c)
{
    const struct lq_job *job = &c->out->job;
    if (job->model == NULL || job->method.kind == LQ_METHOD_FULL || job->method.targets == 0 ||
        lq_lora_parameters(job->model, &job->method) > 0) {
        return;
    }
    char at[LQ_POINTER_MAX];
    lq_faults_add(c->faults, LQ_EFIELD, below(c, "method/targets", at),
                  "%s has none of these matrices", job->model->id);
}

static enum lq_code first_fault(const struct lq_faults *faults, size_t before)
{
    return faults->items[before < LQ_FAULTS_MAX ? before : 0].code;
}

enum lq_code lq_job_decode(const json_t *value, const char *pointer, const struct lq_lookup *lookup,
                           struct lq_job_document *out, struct lq_faults *faults)
{
    const size_t before = faults->count;
    memset(out, 0, sizeof *out);
    struct members m = {.gpu_count = 1,
                        .node_gpu_count = LQ_NODE_GPUS_DEFAULT,
                        .gradient_accumulation_steps = 1,
                        .epochs = 1.0,
                        .stack = "hf-2024",
                        .confidence = 0.9};
    const struct context c = {pointer, lookup, out, faults};
    /* what is wrong so far stands in `faults`; the members that could be read are looked at */
    const enum lq_code table =
        lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    char at[LQ_POINTER_MAX];
    struct lq_job *job = &out->job;
    job->gpu_count = m.gpu_count;
    job->network = (struct lq_network){m.node_gpu_count, m.internode_gb_s * LQ_GIGA};
    job->epochs = m.epochs;
    job->confidence = m.confidence;
    job->estimator = (enum lq_estimator)m.estimator;
    if (m.model != NULL) {
        job->model =
            lq_subject_model(m.model, below(&c, "model", at), lookup, &out->inline_model, faults);
    }
    if (m.gpu[0] != '\0') {
        job->gpu = lq_subject_gpu(m.gpu, below(&c, "gpu", at), lookup, faults);
    }
    decode_stack(&c, m.stack);
    job->stack = out->stack;
    decode_training(&c, &m);
    if (m.dataset != NULL) {
        decode_dataset(&c, m.dataset);
    }
    decode_batch(&c, m.batch_size);
    lq_subject_terms(m.providers, m.usd_per_gpu_hour, pointer, lookup, &out->terms, faults);
    decode_layout(&c, m.layout);
    decode_expert_load(&c, m.expert_load);
    check_experts(&c, m.active_experts);
    check_targets(&c);
    return table != LQ_OK || faults->count > before ? first_fault(faults, before) : LQ_OK;
}

void lq_job_release(struct lq_job_document *document)
{
    lq_lengths_release(&document->dataset.lengths);
}

/* What the devices share, and over what. */
static void encode_spread(const struct lq_job *job, json_t *o)
{
    json_object_set_new_nocheck(o, "optimizations", lq_options_encode(job->training.options));
    json_object_set_new_nocheck(o, "expert_load", lq_expert_load_encode(job->expert_load));
    json_object_set_new_nocheck(
        o, "layout", job->layout.data > 0 ? lq_layout_encode(&job->layout) : json_string("auto"));
    json_object_set_new_nocheck(o, "node_gpu_count", json_integer(job->network.node_gpu_count));
    json_object_set_new_nocheck(
        o, "internode_gb_s",
        json_real(lq_network_inter_bytes_per_s(job->gpu, &job->network) / LQ_GIGA));
}

json_t *lq_job_encode(const struct lq_job_document *document)
{
    const struct lq_job *job = &document->job;
    const struct lq_lengths *lengths = job->lengths;
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "gpu_count", json_integer(job->gpu_count));
    json_object_set_new_nocheck(o, "method", lq_method_encode(&job->method));
    json_object_set_new_nocheck(o, "active_experts",
                                job->active_experts > 0 ? json_integer(job->active_experts)
                                                        : json_null());
    json_object_set_new_nocheck(o, "precision",
                                json_string(LQ_PRECISION_NAMES[job->training.precision]));
    json_object_set_new_nocheck(o, "optimizer",
                                json_string(LQ_OPTIMIZER_NAMES[job->training.optimizer]));
    json_object_set_new_nocheck(o, "master_weights", json_boolean(job->training.master_weights));
    json_object_set_new_nocheck(o, "attention",
                                json_string(LQ_ATTENTION_NAMES[job->training.attention]));
    json_object_set_new_nocheck(o, "gradient_checkpointing",
                                lq_checkpointing_encode(job->training.checkpointing));
    json_object_set_new_nocheck(o, "gradient_accumulation_steps",
                                json_integer(job->training.accumulation_steps));
    json_object_set_new_nocheck(
        o, "batch_size", job->batch_size > 0 ? json_integer(job->batch_size) : json_string("max"));
    json_object_set_new_nocheck(o, "queries", json_integer((json_int_t)job->queries));
    json_object_set_new_nocheck(o, "epochs", json_real(job->epochs));
    json_object_set_new_nocheck(o, "padding", json_string(LQ_PADDING_NAMES[lengths->padding]));
    json_object_set_new_nocheck(o, "padding_multiple", json_integer(lengths->padding_multiple));
    json_object_set_new_nocheck(o, "cutoff_tokens",
                                lengths->cutoff_tokens > 0 ? json_integer(lengths->cutoff_tokens)
                                                           : json_null());
    json_object_set_new_nocheck(o, "stack", json_string(job->stack));
    lq_terms_encode(&document->terms, o);
    json_object_set_new_nocheck(o, "estimator", json_string(LQ_ESTIMATOR_NAMES[job->estimator]));
    json_object_set_new_nocheck(o, "confidence", json_real(job->confidence));
    encode_spread(job, o);
    return o;
}
