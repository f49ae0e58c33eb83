/* JSON of models, GPUs and estimates, as openapi.yaml has them. */
#include "kernels/document/catalog.h"

#include "kernels/base/choice.h"

#include "kernels/document/memory.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const MIXERS[] = {[LQ_MIXER_NONE] = "none",
                                     [LQ_MIXER_ATTENTION] = "attention",
                                     [LQ_MIXER_MLA] = "mla",
                                     [LQ_MIXER_MAMBA] = "mamba",
                                     NULL};
static const char *const FFNS[] = {
    [LQ_FFN_NONE] = "none", [LQ_FFN_DENSE] = "dense", [LQ_FFN_MOE] = "moe", NULL};

/* A size by its name in JSON; 0 where it is not said. */
struct size {
    const char *name;
    size_t offset;
};
#define MIXER(member)                                                                              \
    {                                                                                              \
#member, offsetof(struct lq_mixer, member)                                                 \
    }
static const struct size MIXER_SIZES[] = {
    MIXER(heads),      MIXER(kv_heads),        MIXER(head_size),       MIXER(window_tokens),
    MIXER(q_rank),     MIXER(kv_rank),         MIXER(nope_size),       MIXER(rope_size),
    MIXER(value_size), MIXER(inner_size),      MIXER(state_size),      MIXER(conv_size),
    MIXER(dt_rank),    MIXER(bias_parameters), MIXER(small_parameters)};
#undef MIXER
#define FFN(member)                                                                                \
    {                                                                                              \
#member, offsetof(struct lq_ffn, member)                                                   \
    }
static const struct size FFN_SIZES[] = {
    FFN(intermediate_size), FFN(experts),           FFN(active_experts),        FFN(shared_size),
    FFN(bias_parameters),   FFN(router_parameters), FFN(shared_bias_parameters)};
#undef FFN

/* A whole number that a double holds; -1 where it is none. */
static int64_t count_of(const json_t *value)
{
    if (json_is_integer(value)) {
        return json_integer_value(value);
    }
    const double number = json_is_real(value) ? json_real_value(value) : -1.0;
    return number >= 0.0 && number <= 9e15 && floor(number) == number ? (int64_t)number : -1;
}

static bool read_sizes(const json_t *object, const struct size *sizes, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(object, sizes[i].name);
        if (value == NULL) {
            continue;
        }
        const int64_t count = count_of(value);
        if (count < 0) {
            return false;
        }
        memcpy((char *)out + sizes[i].offset, &count, sizeof count);
    }
    return true;
}

/* The kind of a part by name; -1 where it has none. */
static int kind_of(const json_t *part, const char *const *names)
{
    const char *name = json_string_value(json_object_get(part, "kind"));
    return name != NULL ? lq_choice_index(name, names) : -1;
}

static bool read_layer(const json_t *object, struct lq_layer *out)
{
    const json_t *mixer = json_object_get(object, "mixer");
    const json_t *ffn = json_object_get(object, "ffn");
    const int mixer_kind = kind_of(mixer, MIXERS);
    const int ffn_kind = kind_of(ffn, FFNS);
    if (mixer_kind < 0 || ffn_kind < 0) {
        return false;
    }
    out->mixer.kind = (enum lq_mixer_kind)mixer_kind;
    out->ffn.kind = (enum lq_ffn_kind)ffn_kind;
    out->ffn.gated = json_is_true(json_object_get(ffn, "gated"));
    out->count = count_of(json_object_get(object, "count"));
    const json_t *norms = json_object_get(object, "norm_parameters");
    out->norm_parameters = norms != NULL ? count_of(norms) : 0;
    return out->count > 0 && out->norm_parameters >= 0 &&
           read_sizes(mixer, MIXER_SIZES, sizeof MIXER_SIZES / sizeof *MIXER_SIZES, &out->mixer) &&
           read_sizes(ffn, FFN_SIZES, sizeof FFN_SIZES / sizeof *FFN_SIZES, &out->ffn);
}

static bool read_ends(const json_t *root, struct lq_model *out)
{
    const char *id = json_string_value(json_object_get(root, "id"));
    const json_t *parameters = json_object_get(root, "parameters");
    const int64_t embedding = count_of(json_object_get(parameters, "embedding"));
    const int64_t head = count_of(json_object_get(parameters, "head"));
    out->hidden_size = count_of(json_object_get(root, "hidden_size"));
    out->vocab_size = count_of(json_object_get(root, "vocab_size"));
    out->tied_embeddings = json_is_true(json_object_get(root, "tied_embeddings"));
    out->embedding_parameters = embedding;
    out->head_parameters = head;
    out->final_norm_parameters = out->hidden_size;
    const json_t *context = json_object_get(root, "context_tokens");
    out->context_tokens = context != NULL && !json_is_null(context) ? count_of(context) : 0;
    struct lq_error ignored = {0};
    if (id == NULL || lq_id_check("model", id, &ignored) != LQ_OK || embedding < 0 || head < 0 ||
        out->hidden_size < 1 || out->vocab_size < 1 || out->context_tokens < 0) {
        return false;
    }
    snprintf(out->id, sizeof out->id, "%s", id);
    return true;
}

static bool read_model(const json_t *root, struct lq_model *out)
{
    const json_t *kinds = json_object_get(root, "layer_kinds");
    const size_t n = json_array_size(kinds);
    if (n < 1 || n > LQ_LAYER_KINDS_MAX || !read_ends(root, out)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_layer(json_array_get(kinds, i), &out->layers[i])) {
            return false;
        }
    }
    out->layer_kinds = (int)n;
    return true;
}

enum lq_code lq_model_read(const char *text, size_t size, struct lq_model *out,
                           struct lq_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    *out = (struct lq_model){.layer_kinds = 0};
    const bool is_model = root != NULL && read_model(root, out);
    json_decref(root);
    if (!is_model) {
        return lq_fail(err, LQ_ESYNTAX, NULL,
                       "this is no model as an llmquote-server answers it (GET /v1/models/ID)");
    }
    return lq_model_check(out, err);
}

/* A rate; 0 where it is none. */
static double rate_of(const json_t *root, const char *name)
{
    const double rate = json_number_value(json_object_get(root, name));
    return rate > 0.0 && isfinite(rate) ? rate : 0.0;
}

enum lq_code lq_gpu_read(const char *text, size_t size, struct lq_gpu *out, struct lq_error *err)
{
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *id = json_string_value(json_object_get(root, "id"));
    const int64_t pcie = count_of(json_object_get(root, "pcie_generation"));
    struct lq_error ignored = {0};
    const bool is_gpu = id != NULL && lq_id_check("gpu", id, &ignored) == LQ_OK &&
                        rate_of(root, "memory_bandwidth_bytes_per_s") > 0.0;
    if (is_gpu) {
        *out = (struct lq_gpu){
            .memory_bandwidth_bytes_per_s = rate_of(root, "memory_bandwidth_bytes_per_s"),
            .fp32_flop_per_s = rate_of(root, "fp32_flop_per_s"),
            .fp16_flop_per_s = rate_of(root, "fp16_flop_per_s"),
            .interconnect_bytes_per_s = rate_of(root, "interconnect_bytes_per_s"),
            .pcie_generation = pcie > 0 ? pcie : 0};
        snprintf(out->id, sizeof out->id, "%s", id);
    }
    json_decref(root);
    return is_gpu ? LQ_OK
                  : lq_fail(err, LQ_ESYNTAX, NULL,
                            "this is no GPU as an llmquote-server answers it (GET /v1/gpus/ID)");
}

static enum lq_code dump(json_t *root, char **text, struct lq_error *err)
{
    *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (*text == NULL || lq_json_memory_failed()) {
        free(*text);
        *text = NULL;
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    return LQ_OK;
}

static void put_number(json_t *o, const char *name, double value)
{
    if (value > 0.0 && isfinite(value)) {
        json_object_set_new(o, name, json_real(value));
    }
}

static void put_text(json_t *o, const char *name, const char *text)
{
    if (text[0] != '\0') {
        json_object_set_new(o, name, json_string(text));
    }
}

enum lq_code lq_device_write(const struct lq_device_info *info, const struct lq_ceilings *ceilings,
                             char **text, struct lq_error *err)
{
    lq_json_memory_watch();
    json_t *o = json_object();
    char vendor[24];
    char architecture[24];
    char capability[16];
    snprintf(vendor, sizeof vendor, "%.23s", info->vendor);
    snprintf(architecture, sizeof architecture, "%.23s", info->architecture);
    snprintf(capability, sizeof capability, "%.15s", info->capability);
    put_text(o, "vendor", vendor);
    put_text(o, "architecture", architecture);
    put_text(o, "compute_capability", capability);
    put_number(o, "memory_bytes", info->memory_bytes);
    json_object_set_new(o, "memory_is_reported", json_true());
    put_number(o, "memory_bandwidth_bytes_per_s", ceilings->copy_bytes_per_s);
    put_number(o, "fp32_flop_per_s", ceilings->matmul_flop_per_s);
    put_number(o, "tf32_flop_per_s", ceilings->tf32_flop_per_s);
    put_number(o, "fp16_flop_per_s", ceilings->matmul_flop_per_s);
    put_number(o, "fp8_flop_per_s", ceilings->fp8_flop_per_s);
    put_number(o, "interconnect_bytes_per_s", ceilings->interconnect_bytes_per_s);
    if (info->units > 0) {
        json_object_set_new(o, "sm_count", json_integer(info->units));
    }
    put_number(o, "l2_bytes", info->cache_bytes);
    put_number(o, "boost_hz", info->clock_hz);
    put_text(o, "source", "measured by llmquote-worker " LQ_VERSION);
    return dump(o, text, err);
}

enum lq_code lq_question_write(const struct lq_measured_point *point, char **text,
                               struct lq_error *err)
{
    char *written = NULL;
    LQ_TRY(lq_point_write(point, &written, err));
    json_t *o = json_loads(written, 0, NULL);
    free(written);
    static const char *const NOT_OF_A_JOB[] = {
        "batch_size",  "sequence_tokens", "step_time_s", "expert_load", "device",
        "measured_at", "source",          "note",        "phases",      "peak_memory_bytes"};
    for (size_t i = 0; i < sizeof NOT_OF_A_JOB / sizeof *NOT_OF_A_JOB; i++) {
        json_object_del(o, NOT_OF_A_JOB[i]);
    }
    json_object_set_new(o, "dataset",
                        json_pack("{s:i, s:{s:I}}", "queries", 1000, "lengths", "fixed_tokens",
                                  (json_int_t)point->sequence_tokens));
    json_object_set_new(o, "batch_size", json_integer(point->batch_size));
    return dump(o, text, err);
}

enum lq_code lq_suggestions_read(const char *text, size_t size, struct lq_suggestion *out,
                                 size_t max, size_t *count, struct lq_error *err)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    const json_t *list = json_object_get(root, "suggested_calibrations");
    *count = 0;
    bool is_list = json_is_array(list);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const int64_t batch = count_of(json_object_get(item, "batch_size"));
        const double tokens = json_number_value(json_object_get(item, "row_tokens"));
        if (batch < 1 || !(tokens >= 1.0) || tokens > 1e8) {
            is_list = false;
        } else if (*count < max) {
            out[(*count)++] = (struct lq_suggestion){batch, (int64_t)ceil(tokens)};
        }
    }
    json_decref(root);
    if (!is_list) {
        return lq_fail(err, LQ_ESYNTAX, NULL,
                       "the server's estimate has no list of suggested calibrations");
    }
    return LQ_OK;
}

enum lq_code lq_pending_points_read(const char *text, size_t size, int64_t *out,
                                    struct lq_error *err)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    const bool is_page = json_is_array(json_object_get(root, "fits"));
    const json_t *pending = json_object_get(root, "pending_points");
    *out = pending != NULL ? (int64_t)json_integer_value(pending) : 0;
    json_decref(root);
    return is_page ? LQ_OK : lq_fail(err, LQ_ESYNTAX, NULL, "the server's list of fits is none");
}
