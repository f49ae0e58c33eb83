/* Decodes measured points. Whether a point is plausible is not decided here. */
#include "server/json/calibration.h"

#include "core/finetune/efficiency.h"
#include "server/json/field.h"
#include "server/json/layout.h"
#include "server/json/lengths.h"
#include "server/json/lookup.h"
#include "server/json/method.h"

#include <stdio.h>
#include <string.h>

struct members {
    char model[LQ_ID_MAX];
    char gpu[LQ_ID_MAX];
    int64_t gpu_count;
    const json_t *method;
    char stack[LQ_ID_MAX];
    int precision;
    int optimizer;
    int attention;
    bool master_weights;
    const json_t *optimizations;
    const json_t *layout;
    const json_t *gradient_checkpointing;
    int64_t gradient_accumulation_steps;
    int64_t active_experts;
    int64_t batch_size;
    int64_t sequence_tokens;
    const json_t *lengths;
    int padding;
    int64_t padding_multiple;
    int64_t cutoff_tokens;
    double queries_per_s;
    double step_time_s;
    double peak_memory_bytes;
    bool out_of_memory;
    const json_t *phases;
    const json_t *expert_load;
    const json_t *device;
    char measured_at[32];
    char source[LQ_ID_MAX];
    char dataset[LQ_ID_MAX];
    char note[512];
};

/* What shipped points name as their source; nobody else's may look like them. */
static const char SHIPPED_SOURCE[] = "xia2024";

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "model", .kind = LQ_FIELD_ID, .required = true, AT(model), .size = LQ_ID_MAX},
    {.name = "gpu", .kind = LQ_FIELD_ID, .required = true, AT(gpu), .size = LQ_ID_MAX},
    {.name = "gpu_count", .kind = LQ_FIELD_COUNT, AT(gpu_count), .min = 1, .max = 65536},
    {.name = "method", .kind = LQ_FIELD_JSON, .required = true, AT(method)},
    {.name = "stack", .kind = LQ_FIELD_ID, .required = true, AT(stack), .size = LQ_ID_MAX},
    {.name = "precision", .kind = LQ_FIELD_NAME, AT(precision), .names = LQ_PRECISION_NAMES},
    {.name = "optimizer", .kind = LQ_FIELD_NAME, AT(optimizer), .names = LQ_OPTIMIZER_NAMES},
    {.name = "attention", .kind = LQ_FIELD_NAME, AT(attention), .names = LQ_ATTENTION_NAMES},
    {.name = "master_weights", .kind = LQ_FIELD_BOOL, AT(master_weights)},
    {.name = "optimizations", .kind = LQ_FIELD_JSON, AT(optimizations)},
    {.name = "layout", .kind = LQ_FIELD_JSON, AT(layout)},
    {.name = "gradient_checkpointing", .kind = LQ_FIELD_JSON, AT(gradient_checkpointing)},
    {.name = "gradient_accumulation_steps",
     .kind = LQ_FIELD_COUNT,
     AT(gradient_accumulation_steps),
     .min = 1,
     .max = 1e6},
    {.name = "active_experts", .kind = LQ_FIELD_COUNT, AT(active_experts), .min = 1, .max = 65536},
    {.name = "batch_size",
     .kind = LQ_FIELD_COUNT,
     .required = true,
     AT(batch_size),
     .min = 1,
     .max = 1e9},
    {.name = "sequence_tokens",
     .kind = LQ_FIELD_COUNT,
     AT(sequence_tokens),
     .min = 1,
     .max = 16777216},
    {.name = "lengths", .kind = LQ_FIELD_JSON, AT(lengths)},
    {.name = "padding", .kind = LQ_FIELD_NAME, AT(padding), .names = LQ_PADDING_NAMES},
    {.name = "padding_multiple",
     .kind = LQ_FIELD_COUNT,
     AT(padding_multiple),
     .min = 1,
     .max = 65536},
    {.name = "cutoff_tokens", .kind = LQ_FIELD_COUNT, AT(cutoff_tokens), .min = 1, .max = 16777216},
    {.name = "queries_per_s", .kind = LQ_FIELD_NUMBER, AT(queries_per_s), .min = 1e-9, .max = 1e9},
    {.name = "step_time_s", .kind = LQ_FIELD_NUMBER, AT(step_time_s), .min = 1e-9, .max = 1e9},
    {.name = "peak_memory_bytes",
     .kind = LQ_FIELD_NUMBER,
     AT(peak_memory_bytes),
     .min = 1,
     .max = 1e15},
    {.name = "out_of_memory", .kind = LQ_FIELD_BOOL, AT(out_of_memory)},
    {.name = "phases", .kind = LQ_FIELD_JSON, AT(phases)},
    {.name = "expert_load", .kind = LQ_FIELD_JSON, AT(expert_load)},
    {.name = "device", .kind = LQ_FIELD_JSON, AT(device)},
    {.name = "measured_at", .kind = LQ_FIELD_STRING, AT(measured_at), .size = 32},
    {.name = "source", .kind = LQ_FIELD_ID, AT(source), .size = LQ_ID_MAX},
    {.name = "dataset", .kind = LQ_FIELD_ID, AT(dataset), .size = LQ_ID_MAX},
    {.name = "note", .kind = LQ_FIELD_STRING, AT(note), .size = 512},
};
#undef AT

struct context {
    const char *pointer;
    const struct lq_lookup *lookup;
    struct lq_point *point;
    struct lq_faults *faults;
};

static const char *below(const struct context *c, const char *member, char at[LQ_POINTER_MAX])
{
    snprintf(at, LQ_POINTER_MAX, "%s/%s", c->pointer, member);
    return at;
}

static void fault(const struct context *c, const char *member, const char *detail)
{
    char at[LQ_POINTER_MAX];
    lq_faults_add(c->faults, LQ_EFIELD, below(c, member, at), "%s", detail);
}

/* How it was trained; a stack's own options where none are given. */
static void decode_training(const struct context *c, const struct members *m)
{
    char at[LQ_POINTER_MAX];
    struct lq_identity *id = &c->point->identity;
    id->precision = (enum lq_precision)m->precision;
    id->optimizer = (enum lq_optimizer)m->optimizer;
    id->attention = (enum lq_attention)m->attention;
    id->master_weights = m->master_weights;
    id->checkpointing = LQ_CHECKPOINTING_FULL;
    id->options = lq_stack_options(id->stack);
    if (m->method != NULL) {
        (void)lq_method_decode(m->method, below(c, "method", at), &id->method, c->faults);
    }
    if (m->gradient_checkpointing != NULL) {
        (void)lq_checkpointing_decode(m->gradient_checkpointing,
                                      below(c, "gradient_checkpointing", at), &id->checkpointing,
                                      c->faults);
    }
    if (m->optimizations != NULL) {
        (void)lq_options_decode(m->optimizations, below(c, "optimizations", at), &id->options,
                                c->faults);
    }
}

/* What ran is known: replicas, or the sizes themselves. Hosts hold as many devices as it says. */
static void decode_layout(const struct context *c, const struct members *m,
                          const struct lq_model *model)
{
    char at[LQ_POINTER_MAX];
    struct lq_layout *layout = &c->point->identity.layout;
    const struct lq_network network = {.node_gpu_count = m->gpu_count};
    struct lq_error err = {0};
    *layout = lq_layout_replicas(m->gpu_count, LQ_NODE_GPUS_DEFAULT);
    if (m->layout != NULL &&
        lq_layout_decode(m->layout, below(c, "layout", at), m->gpu_count, LQ_NODE_GPUS_DEFAULT,
                         layout, c->faults) &&
        model != NULL && lq_layout_check(layout, model, m->gpu_count, &network, &err) != LQ_OK) {
        snprintf(at, sizeof at, "%s%s", c->pointer, err.pointer);
        lq_faults_add(c->faults, err.code, at, "%s", err.detail);
    }
}

static void decode_experts(const struct context *c, const struct members *m,
                           const struct lq_model *model)
{
    char at[LQ_POINTER_MAX];
    const int64_t experts = lq_model_experts(model);
    c->point->conditions.active_experts =
        m->active_experts > 0 ? m->active_experts : lq_model_active_experts(model);
    if (m->active_experts > experts) {
        lq_faults_add(c->faults, LQ_EFIELD, below(c, "active_experts", at),
                      "the model has %lld experts, got %lld", (long long)experts,
                      (long long)m->active_experts);
    }
}

static void decode_identity(const struct context *c, const struct members *m)
{
    char at[LQ_POINTER_MAX];
    struct lq_identity *id = &c->point->identity;
    const struct lq_model *model = c->lookup->model(c->lookup->context, m->model);
    const struct lq_gpu *gpu = c->lookup->gpu(c->lookup->context, m->gpu);
    if (m->model[0] != '\0' && model == NULL) {
        lq_faults_add(c->faults, LQ_EREFERENCE, below(c, "model", at), "no model \"%s\"", m->model);
    }
    if (m->gpu[0] != '\0' && gpu == NULL) {
        lq_faults_add(c->faults, LQ_EREFERENCE, below(c, "gpu", at), "no GPU \"%s\"", m->gpu);
    }
    snprintf(id->model, sizeof id->model, "%s", model != NULL ? model->id : m->model);
    snprintf(id->gpu, sizeof id->gpu, "%s", gpu != NULL ? gpu->id : m->gpu);
    const char *stack = c->lookup->stack(c->lookup->context, m->stack);
    snprintf(id->stack, sizeof id->stack, "%s", stack != NULL ? stack : m->stack);
    id->gpu_count = m->gpu_count;
    decode_training(c, m);
    decode_layout(c, m, model);
    if (model != NULL) {
        decode_experts(c, m, model);
    }
}

/* The rows: one fixed length, or a distribution under a padding rule; the mean padded row of an
 * inline distribution is worked out here, since only named ones can be looked up later. */
static void decode_rows(const struct context *c, const struct members *m)
{
    struct lq_conditions *run = &c->point->conditions;
    run->batch_size = m->batch_size;
    run->accumulation_steps = m->gradient_accumulation_steps;
    run->rule = (struct lq_padding_rule){(enum lq_padding)m->padding, m->cutoff_tokens,
                                         m->padding_multiple};
    if ((m->sequence_tokens > 0) == (m->lengths != NULL)) {
        fault(c, m->lengths != NULL ? "lengths" : "sequence_tokens",
              "exactly one of sequence_tokens and lengths is required");
        return;
    }
    if (m->sequence_tokens > 0) {
        run->sequence_tokens = m->sequence_tokens;
        run->row_tokens = (double)m->sequence_tokens;
        run->queries_per_row = 1.0;
        return;
    }
    if (m->padding == LQ_PADDING_PACKED && m->cutoff_tokens == 0) {
        fault(c, "cutoff_tokens", "is required where rows are packed: it is their length");
        return;
    }
    char at[LQ_POINTER_MAX];
    struct lq_lengths_document document;
    if (lq_lengths_decode(m->lengths, below(c, "lengths", at), c->lookup, &run->rule, 0.0,
                          &document, c->faults) &&
        m->batch_size > 0) {
        snprintf(run->lengths, sizeof run->lengths, "%s", document.name);
        run->row_tokens = lq_lengths_mean_row(&document.lengths, m->batch_size);
        run->queries_per_row = document.lengths.queries_per_row;
        run->sequence_tokens = document.fixed_tokens > 0 ? document.lengths.longest_tokens : 0;
        c->point->longest_tokens = (double)document.lengths.longest_tokens;
    }
    lq_lengths_release(&document);
}

static void decode_rate(const struct context *c, const struct members *m)
{
    if ((m->queries_per_s > 0.0) + (m->step_time_s > 0.0) + m->out_of_memory != 1) {
        fault(c, "queries_per_s",
              "exactly one of queries_per_s, step_time_s and out_of_memory (true) is required");
    }
    if (m->out_of_memory && m->peak_memory_bytes > 0.0) {
        fault(c, "peak_memory_bytes", "was not reached where memory ran out");
    }
    c->point->out_of_memory = m->out_of_memory;
    c->point->queries_per_s = m->queries_per_s;
    c->point->step_time_s = m->step_time_s;
    c->point->peak_memory_bytes = m->peak_memory_bytes;
}

struct phases {
    double forward_s;
    double backward_s;
    double optimizer_s;
    const json_t *kernels;
};

static const struct lq_field PHASE_FIELDS[] = {
    {.name = "forward_s",
     .kind = LQ_FIELD_NUMBER,
     .offset = offsetof(struct phases, forward_s),
     .min = 0,
     .max = 1e9},
    {.name = "backward_s",
     .kind = LQ_FIELD_NUMBER,
     .offset = offsetof(struct phases, backward_s),
     .min = 0,
     .max = 1e9},
    {.name = "optimizer_s",
     .kind = LQ_FIELD_NUMBER,
     .offset = offsetof(struct phases, optimizer_s),
     .min = 0,
     .max = 1e9},
    {.name = "kernels", .kind = LQ_FIELD_JSON, .offset = offsetof(struct phases, kernels)},
};

/* Evidence that is kept with the point as it came; its shape is checked, nothing is computed. */
static void check_evidence(const struct context *c, const struct members *m)
{
    char at[LQ_POINTER_MAX];
    if (m->phases != NULL) {
        struct phases phases = {0};
        const enum lq_code told =
            lq_decode(m->phases, below(c, "phases", at), PHASE_FIELDS,
                      sizeof PHASE_FIELDS / sizeof PHASE_FIELDS[0], &phases, c->faults);
        (void)told; /* what is wrong stands in the faults */
    }
    if (m->device != NULL && !json_is_object(m->device)) {
        fault(c, "device", "must be an object");
    }
    if (m->expert_load == NULL) {
        return;
    }
    const struct lq_model *model = c->lookup->model(c->lookup->context, m->model);
    const size_t experts = model != NULL ? (size_t)lq_model_experts(model) : 0;
    if (!json_is_array(m->expert_load) ||
        (model != NULL && json_array_size(m->expert_load) != experts)) {
        fault(c, "expert_load", "must be a list of the tokens of each of the model's experts");
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(m->expert_load, i, item)
    {
        double tokens = 0.0;
        snprintf(at, sizeof at, "%s/expert_load/%zu", c->pointer, i);
        (void)lq_decode_number(item, at, 0.0, 1e15, &tokens, c->faults);
    }
}

static int two_digits(const char *text)
{
    return 10 * (text[0] - '0') + text[1] - '0';
}

/* Whether "YYYY-MM-DD", digits where digits belong, is a day. */
static bool is_day(const char *text)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const int year = 100 * two_digits(text) + two_digits(text + 2);
    const int month = two_digits(text + 5);
    const int day = two_digits(text + 8);
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 &&
           day <= DAYS[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* 2026-07-20T10:00:00Z, with an optional fraction. */
static bool is_utc_time(const char *text)
{
    static const char SHAPE[] = "dddd-dd-ddTdd:dd:dd";
    size_t i = 0;
    for (; SHAPE[i] != '\0'; i++) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (SHAPE[i] == 'd' ? !digit : text[i] != SHAPE[i]) {
            return false;
        }
    }
    if (!is_day(text) || two_digits(text + 11) > 23 || two_digits(text + 14) > 59 ||
        two_digits(text + 17) > 60) {
        return false;
    }
    if (text[i] == '.') {
        const size_t digits = strspn(text + i + 1, "0123456789");
        i += digits > 0 ? digits + 1 : 0;
    }
    return strcmp(text + i, "Z") == 0;
}

enum lq_code lq_point_decode(const json_t *value, const char *pointer,
                             const struct lq_lookup *lookup, struct lq_point_document *out,
                             struct lq_faults *faults)
{
    const size_t before = faults->count;
    memset(out, 0, sizeof *out);
    struct members m = {.gpu_count = 1, .gradient_accumulation_steps = 1, .padding_multiple = 8};
    const struct context c = {pointer, lookup, &out->point, faults};
    /* what is wrong so far stands in `faults`; the members that could be read are looked at further
     */
    const enum lq_code table =
        lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    if (table == LQ_OK || json_is_object(value)) {
        decode_identity(&c, &m);
        decode_rows(&c, &m);
        decode_rate(&c, &m);
        check_evidence(&c, &m);
        if (m.measured_at[0] != '\0' && !is_utc_time(m.measured_at)) {
            fault(&c, "measured_at", "must be an RFC 3339 time in UTC like 2026-07-20T10:00:00Z");
        }
    }
    if (strncmp(m.source, SHIPPED_SOURCE, strlen(SHIPPED_SOURCE)) == 0) {
        fault(&c, "source", "names beginning with xia2024 are those of the shipped measurements");
    }
    snprintf(out->measured_at, sizeof out->measured_at, "%s", m.measured_at);
    snprintf(out->point.source, sizeof out->point.source, "%s", m.source);
    snprintf(out->point.dataset, sizeof out->point.dataset, "%s", m.dataset);
    return faults->count == before ? LQ_OK
                                   : faults->items[before < LQ_FAULTS_MAX ? before : 0].code;
}
