/* Decodes and encodes layouts, expert loads and trainer options. What goes together is core's to
 * say. */
#include "server/json/layout.h"

#include "core/arch/method.h"
#include "server/json/field.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Members as they stand in the document; 0: left out. */
struct members {
    int64_t data;
    int64_t tensor;
    int64_t pipeline;
    int64_t expert;
    int64_t context;
    int64_t zero_stage;
    int64_t zero_group;
    int64_t nodes;
};

enum { RANKS_MAX = 65536 };

#define SIZE(member)                                                                               \
    {                                                                                              \
        .name = #member, .kind = LQ_FIELD_COUNT, .offset = offsetof(struct members, member),       \
        .min = 1, .max = RANKS_MAX                                                                 \
    }
static const struct lq_field FIELDS[] = {SIZE(data),
                                         SIZE(tensor),
                                         SIZE(pipeline),
                                         SIZE(expert),
                                         SIZE(context),
                                         {.name = "zero_stage",
                                          .kind = LQ_FIELD_COUNT,
                                          .offset = offsetof(struct members, zero_stage),
                                          .min = 0,
                                          .max = 3},
                                         SIZE(zero_group),
                                         SIZE(nodes)};
#undef SIZE

static int64_t or_else(int64_t given, int64_t otherwise)
{
    return given > 0 ? given : otherwise;
}

bool lq_layout_decode(const json_t *value, const char *pointer, int64_t gpu_count,
                      int64_t node_gpu_count, struct lq_layout *out, struct lq_faults *faults)
{
    struct members m = {.tensor = 1, .pipeline = 1, .expert = 1, .context = 1};
    if (!json_is_object(value)) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be an object of group sizes");
        return false;
    }
    if (lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults) != LQ_OK) {
        return false;
    }
    const int64_t groups = m.tensor * m.pipeline * m.context;
    *out = (struct lq_layout){
        .data = or_else(m.data, or_else(gpu_count / groups, 1)),
        .tensor = m.tensor,
        .pipeline = m.pipeline,
        .expert = m.expert,
        .context = m.context,
        .zero_stage = (int)m.zero_stage,
        .zero_group = m.zero_group,
        .nodes = or_else(m.nodes, (gpu_count - 1) / node_gpu_count + 1),
    };
    return true;
}

json_t *lq_layout_encode(const struct lq_layout *layout)
{
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "data", json_integer(layout->data));
    json_object_set_new_nocheck(o, "tensor", json_integer(layout->tensor));
    json_object_set_new_nocheck(o, "pipeline", json_integer(layout->pipeline));
    json_object_set_new_nocheck(o, "expert", json_integer(layout->expert));
    json_object_set_new_nocheck(o, "context", json_integer(layout->context));
    json_object_set_new_nocheck(o, "zero_stage", json_integer(layout->zero_stage));
    if (layout->zero_group > 0) {
        json_object_set_new_nocheck(o, "zero_group", json_integer(layout->zero_group));
    }
    json_object_set_new_nocheck(o, "nodes", json_integer(layout->nodes));
    return o;
}

/* Names a failure of core below the member it is about: "/expert_load/variance" ->
 * "<pointer>/variance". */
static void add_failure(const struct lq_error *err, const char *pointer, struct lq_faults *faults)
{
    char at[LQ_POINTER_MAX];
    const char *below = strchr(err->pointer + (err->pointer[0] == '/' ? 1 : 0), '/');
    snprintf(at, sizeof at, "%s%s", pointer, below != NULL ? below : "");
    lq_faults_add(faults, err->code, at, "%s", err->detail);
}

static bool decode_variance(const json_t *value, const char *pointer, int64_t experts,
                            struct lq_expert_load *out, struct lq_faults *faults)
{
    double variance = 0.0;
    static const struct lq_field FIELD = {
        .name = "variance", .kind = LQ_FIELD_NUMBER, .required = true, .min = 0.0, .max = 1e4};
    if (lq_decode(value, pointer, &FIELD, 1, &variance, faults) != LQ_OK) {
        return false;
    }
    struct lq_error err = {0};
    if (lq_expert_load_vary(variance, experts, out, &err) != LQ_OK) {
        add_failure(&err, pointer, faults);
        return false;
    }
    return true;
}

bool lq_expert_load_decode(const json_t *value, const char *pointer, int64_t experts,
                           struct lq_expert_load *out, struct lq_faults *faults)
{
    if (json_is_object(value)) {
        return decode_variance(value, pointer, experts, out, faults);
    }
    if (!json_is_array(value) || json_array_size(value) > LQ_EXPERTS_MAX) {
        lq_faults_add(faults, LQ_EFIELD, pointer,
                      "must be a list of the tokens or share of each expert, or {\"variance\": v}");
        return false;
    }
    double tokens[LQ_EXPERTS_MAX];
    bool good = true;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char at[LQ_POINTER_MAX];
        snprintf(at, sizeof at, "%s/%zu", pointer, i);
        good = lq_decode_number(item, at, 0.0, 1e15, &tokens[i], faults) && good;
    }
    struct lq_error err = {0};
    if (good && lq_expert_load_set(tokens, i, experts, out, &err) != LQ_OK) {
        add_failure(&err, pointer, faults);
        return false;
    }
    return good;
}

json_t *lq_expert_load_encode(const struct lq_expert_load *load)
{
    if (load == NULL) {
        return json_null();
    }
    if (load->experts == 0) {
        return json_pack("{s:f}", "variance", load->variance);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < load->experts; i++) {
        json_array_append_new(list, json_real(load->share[i]));
    }
    return list;
}

bool lq_options_decode(const json_t *value, const char *pointer, uint32_t *out,
                       struct lq_faults *faults)
{
    *out = 0;
    if (!json_is_array(value)) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a list of names");
        return false;
    }
    bool good = true;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        const char *name = json_string_value(item);
        const int option = name != NULL ? lq_name_index(name, LQ_OPTION_NAMES) : -1;
        if (option < 0) {
            char at[LQ_POINTER_MAX];
            snprintf(at, sizeof at, "%s/%zu", pointer, i);
            lq_faults_add(faults, LQ_EFIELD, at,
                          "must be one of compile, chunked-loss, optimizer-in-backward, "
                          "offload-activations, offload-optimizer%s%.40s%s",
                          name != NULL ? ", got \"" : "", name != NULL ? name : "",
                          name != NULL ? "\"" : "");
            good = false;
        } else {
            *out |= LQ_OPTION_BIT((uint32_t)option);
        }
    }
    return good;
}

json_t *lq_options_encode(uint32_t options)
{
    json_t *list = json_array();
    for (int i = 0; i < LQ_OPTION_COUNT; i++) {
        if ((options & LQ_OPTION_BIT((uint32_t)i)) != 0) {
            json_array_append_new(list, json_string(LQ_OPTION_NAMES[i]));
        }
    }
    return list;
}
