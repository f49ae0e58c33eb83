/* Encodes measured points as JSON. Whether a measurement is plausible is the server's to say; that
 * it is a number at all is checked here. */
#include "kernels/document/point.h"

#include "core/arch/lengths.h"

#include "kernels/document/memory.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ranges of openapi.yaml's CalibrationPoint. */
static const double RATE_MIN = 1e-9;
static const double RATE_MAX = 1e9;
static const double BYTES_MAX = 1e15;
static const double TOKENS_MAX = 16777216.0;
static const char ID_CHARACTERS[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

/* Fifteen digits of a double are repeatable on every machine. */
enum { DIGITS = 15 };

struct lq_measured_point lq_measured_point_new(void)
{
    return (struct lq_measured_point){.method = LQ_UNSAID,
                                      .quantization = LQ_UNSAID,
                                      .train_embeddings = LQ_UNSAID,
                                      .precision = LQ_UNSAID,
                                      .optimizer = LQ_UNSAID,
                                      .attention = LQ_UNSAID,
                                      .master_weights = LQ_UNSAID,
                                      .checkpointing = LQ_UNSAID,
                                      .padding = LQ_UNSAID};
}

static enum lq_code check_id(const char *text, const char *pointer, bool required,
                             struct lq_error *err)
{
    if (text[0] == '\0') {
        return required ? lq_fail(err, LQ_EFIELD, pointer, "is required") : LQ_OK;
    }
    return strspn(text, ID_CHARACTERS) == strlen(text)
               ? LQ_OK
               : lq_fail(err, LQ_EFIELD, pointer,
                         "must be letters, digits, '.', '_' and '-', got \"%.60s\"", text);
}

/* 0 stands for what was not said. */
static enum lq_code check_number(double value, double min, double max, const char *pointer,
                                 struct lq_error *err)
{
    const bool unsaid = value <= 0.0 && value >= 0.0;
    return unsaid || (value >= min && value <= max)
               ? LQ_OK
               : lq_fail(err, LQ_EFIELD, pointer, "must be from %g to %g, got %g", min, max, value);
}

static enum lq_code check_counts(const struct lq_measured_point *p, struct lq_error *err)
{
    const struct {
        int64_t value;
        double max;
        const char *pointer;
    } counts[] = {
        {p->gpu_count, 65536.0, "/gpu_count"},
        {p->rank, 4096.0, "/method/rank"},
        {p->accumulation_steps, 1e6, "/gradient_accumulation_steps"},
        {p->active_experts, 65536.0, "/active_experts"},
        {p->batch_size, 1e9, "/batch_size"},
        {p->sequence_tokens, TOKENS_MAX, "/sequence_tokens"},
        {p->padding_multiple, 65536.0, "/padding_multiple"},
        {p->cutoff_tokens, TOKENS_MAX, "/cutoff_tokens"},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        LQ_TRY(check_number((double)counts[i].value, 1.0, counts[i].max, counts[i].pointer, err));
    }
    return LQ_OK;
}

static enum lq_code check_measured(const struct lq_measured_point *p, struct lq_error *err)
{
    LQ_TRY(check_number(p->queries_per_s, RATE_MIN, RATE_MAX, "/queries_per_s", err));
    LQ_TRY(check_number(p->step_time_s, RATE_MIN, RATE_MAX, "/step_time_s", err));
    LQ_TRY(check_number(p->peak_memory_bytes, 1.0, BYTES_MAX, "/peak_memory_bytes", err));
    if ((p->queries_per_s > 0.0) + (p->step_time_s > 0.0) + p->out_of_memory != 1) {
        return lq_fail(err, LQ_EFIELD, "/queries_per_s",
                       "exactly one of queries_per_s, step_time_s and out_of_memory is required");
    }
    if (p->out_of_memory && p->peak_memory_bytes > 0.0) {
        return lq_fail(err, LQ_EFIELD, "/peak_memory_bytes", "was not reached: memory ran out");
    }
    const double phases[] = {p->forward_s, p->backward_s, p->optimizer_s};
    for (size_t i = 0; p->has_phases && i < sizeof phases / sizeof phases[0]; i++) {
        LQ_TRY(check_number(phases[i], 0.0, RATE_MAX, "/phases", err));
    }
    for (size_t i = 0; i < p->kernel_count; i++) {
        LQ_TRY(check_number(p->kernels[i].time_s, 0.0, RATE_MAX, "/phases/kernels", err));
    }
    for (size_t i = 0; i < p->expert_count; i++) {
        LQ_TRY(check_number(p->expert_load[i], 0.0, BYTES_MAX, "/expert_load", err));
    }
    return LQ_OK;
}

/* 2026-07-20T10:00:00Z, a fraction may stand in front of the Z. */
static bool is_time(const char *text)
{
    static const char SHAPE[] = "dddd-dd-ddTdd:dd:dd";
    for (size_t i = 0; SHAPE[i] != '\0'; i++) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (SHAPE[i] == 'd' ? !digit : text[i] != SHAPE[i]) {
            return false;
        }
    }
    const char *rest = text + strlen(SHAPE);
    rest += *rest == '.' ? 1 + strspn(rest + 1, "0123456789") : 0;
    return strcmp(rest, "Z") == 0;
}

static enum lq_code check(const struct lq_measured_point *p, struct lq_error *err)
{
    LQ_TRY(check_id(p->model, "/model", true, err));
    LQ_TRY(check_id(p->gpu, "/gpu", true, err));
    LQ_TRY(check_id(p->stack, "/stack", true, err));
    LQ_TRY(check_id(p->lengths, "/lengths", false, err));
    LQ_TRY(check_id(p->source, "/source", false, err));
    LQ_TRY(check_id(p->dataset, "/dataset", false, err));
    if (p->measured_at[0] != '\0' && !is_time(p->measured_at)) {
        return lq_fail(err, LQ_EFIELD, "/measured_at",
                       "must be in UTC like 2026-07-20T10:00:00Z, got \"%s\"", p->measured_at);
    }
    if (p->method == LQ_UNSAID) {
        return lq_fail(err, LQ_EFIELD, "/method", "is required");
    }
    if (p->batch_size == 0) {
        return lq_fail(err, LQ_EFIELD, "/batch_size", "is required");
    }
    if ((p->sequence_tokens > 0) == (p->lengths[0] != '\0')) {
        return lq_fail(err, LQ_EFIELD, "/sequence_tokens",
                       "exactly one of sequence_tokens and lengths is required");
    }
    LQ_TRY(check_counts(p, err));
    return check_measured(p, err);
}

/* Setters that leave out what is not said. */
static void put_text(json_t *o, const char *name, const char *text)
{
    if (text[0] != '\0') {
        json_object_set_new(o, name, json_string(text));
    }
}

static void put_count(json_t *o, const char *name, int64_t value)
{
    if (value > 0) {
        json_object_set_new(o, name, json_integer(value));
    }
}

static void put_number(json_t *o, const char *name, double value)
{
    if (value > 0.0) {
        json_object_set_new(o, name, json_real(value));
    }
}

static void put_name(json_t *o, const char *name, int value, const char *const *names)
{
    if (value != LQ_UNSAID) {
        json_object_set_new(o, name, json_string(names[value]));
    }
}

static void put_flag(json_t *o, const char *name, int value)
{
    if (value != LQ_UNSAID) {
        json_object_set_new(o, name, json_boolean(value));
    }
}

static json_t *encode_names(uint32_t bits, const char *const *names)
{
    json_t *list = json_array();
    for (unsigned i = 0; names[i] != NULL; i++) {
        if ((bits & (1U << i)) != 0) {
            json_array_append_new(list, json_string(names[i]));
        }
    }
    return list;
}

/* Experts' matrices have no names of their own in a request: a group stands for all three. */
static json_t *encode_targets(uint32_t targets)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } GROUPS[] = {
        {"all-linear", LQ_TARGETS_ALL_LINEAR},
        {"mlp", LQ_TARGETS_DENSE_MLP | LQ_TARGETS_EXPERTS},
        {"experts", LQ_TARGETS_EXPERTS},
        {"gate", LQ_TARGET_BIT(LQ_TARGET_GATE) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_GATE)},
        {"up", LQ_TARGET_BIT(LQ_TARGET_UP) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_UP)},
        {"down", LQ_TARGET_BIT(LQ_TARGET_DOWN) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_DOWN)},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof GROUPS / sizeof GROUPS[0]; i++) {
        if ((targets & GROUPS[i].bits) == GROUPS[i].bits) {
            json_array_append_new(list, json_string(GROUPS[i].name));
            targets &= ~GROUPS[i].bits;
        }
    }
    json_t *rest = encode_names(targets, LQ_TARGET_NAMES);
    json_array_extend(list, rest);
    json_decref(rest);
    return list;
}

static json_t *encode_method(const struct lq_measured_point *p)
{
    json_t *o = json_object();
    put_name(o, "kind", p->method, LQ_METHOD_NAMES);
    if (p->method == LQ_METHOD_FULL) {
        return o;
    }
    put_count(o, "rank", p->rank);
    if (p->targets != 0) {
        json_object_set_new(o, "targets", encode_targets(p->targets));
    }
    if (p->method == LQ_METHOD_QLORA) {
        put_name(o, "quantization", p->quantization, LQ_QUANTIZATION_NAMES);
    }
    put_flag(o, "train_embeddings", p->train_embeddings);
    return o;
}

static json_t *encode_layout(const struct lq_layout *layout)
{
    json_t *o = json_object();
    put_count(o, "data", layout->data);
    put_count(o, "tensor", layout->tensor);
    put_count(o, "pipeline", layout->pipeline);
    put_count(o, "expert", layout->expert);
    put_count(o, "context", layout->context);
    json_object_set_new(o, "zero_stage", json_integer(layout->zero_stage));
    put_count(o, "zero_group", layout->zero_group);
    put_count(o, "nodes", layout->nodes);
    return o;
}

static void put_training(json_t *o, const struct lq_measured_point *p)
{
    put_name(o, "precision", p->precision, LQ_PRECISION_NAMES);
    put_name(o, "optimizer", p->optimizer, LQ_OPTIMIZER_NAMES);
    put_name(o, "attention", p->attention, LQ_ATTENTION_NAMES);
    put_flag(o, "master_weights", p->master_weights);
    if (p->checkpointing == LQ_CHECKPOINTING_SELECTIVE) {
        put_text(o, "gradient_checkpointing", "selective");
    } else if (p->checkpointing != LQ_UNSAID) {
        put_flag(o, "gradient_checkpointing", p->checkpointing == LQ_CHECKPOINTING_FULL);
    }
    if (p->has_optimizations) {
        json_object_set_new(o, "optimizations", encode_names(p->optimizations, LQ_OPTION_NAMES));
    }
    if (p->has_layout) {
        json_object_set_new(o, "layout", encode_layout(&p->layout));
    }
    put_count(o, "gradient_accumulation_steps", p->accumulation_steps);
    put_count(o, "active_experts", p->active_experts);
}

static void put_rows(json_t *o, const struct lq_measured_point *p)
{
    put_count(o, "batch_size", p->batch_size);
    put_count(o, "sequence_tokens", p->sequence_tokens);
    if (p->lengths[0] != '\0') {
        json_object_set_new(o, "lengths", json_pack("{s:s}", "name", p->lengths));
    }
    put_name(o, "padding", p->padding, LQ_PADDING_NAMES);
    put_count(o, "padding_multiple", p->padding_multiple);
    put_count(o, "cutoff_tokens", p->cutoff_tokens);
}

static json_t *encode_phases(const struct lq_measured_point *p)
{
    json_t *o = json_object();
    if (p->has_phases) {
        json_object_set_new(o, "forward_s", json_real(p->forward_s));
        json_object_set_new(o, "backward_s", json_real(p->backward_s));
        json_object_set_new(o, "optimizer_s", json_real(p->optimizer_s));
    }
    if (p->kernel_count > 0) {
        json_t *kernels = json_object();
        for (size_t i = 0; i < p->kernel_count; i++) {
            json_object_set_new(kernels, p->kernels[i].name, json_real(p->kernels[i].time_s));
        }
        json_object_set_new(o, "kernels", kernels);
    }
    return o;
}

static json_t *encode_device(const struct lq_device_info *info, const struct lq_device_state *state)
{
    json_t *o = json_object();
    put_text(o, "name", info->name);
    put_text(o, "vendor", info->vendor);
    put_text(o, "architecture", info->architecture);
    put_text(o, "capability", info->capability);
    put_text(o, "driver", info->driver);
    put_number(o, "memory_bytes", info->memory_bytes);
    put_number(o, "cache_bytes", info->cache_bytes);
    put_number(o, "clock_hz", info->clock_hz);
    put_count(o, "units", info->units);
    if (state != NULL) {
        put_number(o, "current_clock_hz", state->clock_hz);
        put_number(o, "temperature_c", state->temperature_c);
        put_number(o, "free_bytes", state->free_bytes);
        if (state->load >= 0.0) {
            json_object_set_new(o, "load", json_real(state->load));
        }
        if (state->throttled >= 0) {
            put_flag(o, "throttled", state->throttled);
        }
    }
    return o;
}

static void put_measured(json_t *o, const struct lq_measured_point *p)
{
    put_number(o, "queries_per_s", p->queries_per_s);
    put_number(o, "step_time_s", p->step_time_s);
    if (p->out_of_memory) {
        put_flag(o, "out_of_memory", 1);
    }
    put_number(o, "peak_memory_bytes", p->peak_memory_bytes);
    if (p->has_phases || p->kernel_count > 0) {
        json_object_set_new(o, "phases", encode_phases(p));
    }
    if (p->expert_count > 0) {
        json_t *load = json_array();
        for (size_t i = 0; i < p->expert_count; i++) {
            json_array_append_new(load, json_real(p->expert_load[i]));
        }
        json_object_set_new(o, "expert_load", load);
    }
    if (p->device != NULL) {
        json_object_set_new(o, "device", encode_device(p->device, p->device_state));
    }
}

enum lq_code lq_point_write(const struct lq_measured_point *point, char **text,
                            struct lq_error *err)
{
    LQ_TRY(check(point, err));
    lq_json_memory_watch();
    json_t *o = json_object();
    put_text(o, "model", point->model);
    put_text(o, "gpu", point->gpu);
    put_count(o, "gpu_count", point->gpu_count);
    json_object_set_new(o, "method", encode_method(point));
    put_text(o, "stack", point->stack);
    put_training(o, point);
    put_rows(o, point);
    put_measured(o, point);
    put_text(o, "measured_at", point->measured_at);
    put_text(o, "source", point->source);
    put_text(o, "dataset", point->dataset);
    put_text(o, "note", point->note);
    *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
    json_decref(o);
    if (*text == NULL || lq_json_memory_failed()) {
        free(*text);
        *text = NULL;
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a point");
    }
    return LQ_OK;
}
