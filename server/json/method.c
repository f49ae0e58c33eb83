/* Decodes and encodes methods. What a method costs is core's business. */
#include "server/json/method.h"

#include "server/json/field.h"

#include <stdio.h>
#include <string.h>

enum { RANK_DEFAULT = 16, RANK_MAX = 4096 };

struct document {
    int kind;
    int64_t rank;
    const json_t *targets;
    int quantization;
    bool train_embeddings;
};

static const struct lq_field FIELDS[] = {
    {.name = "kind",
     .kind = LQ_FIELD_NAME,
     .required = true,
     .offset = offsetof(struct document, kind),
     .names = LQ_METHOD_NAMES},
    {.name = "rank",
     .kind = LQ_FIELD_COUNT,
     .offset = offsetof(struct document, rank),
     .min = 1,
     .max = RANK_MAX},
    {.name = "targets", .kind = LQ_FIELD_JSON, .offset = offsetof(struct document, targets)},
    {.name = "quantization",
     .kind = LQ_FIELD_NAME,
     .offset = offsetof(struct document, quantization),
     .names = LQ_QUANTIZATION_NAMES},
    {.name = "train_embeddings",
     .kind = LQ_FIELD_BOOL,
     .offset = offsetof(struct document, train_embeddings)},
};

static uint32_t targets_decode(const json_t *value, const char *pointer, struct lq_faults *faults)
{
    char at[LQ_POINTER_MAX];
    snprintf(at, sizeof at, "%s/targets", pointer);
    if (json_is_string(value)) {
        const uint32_t bits = lq_targets_named(json_string_value(value));
        if (bits == 0) {
            lq_faults_add(faults, LQ_EFIELD, at, "unknown target \"%.40s\"",
                          json_string_value(value));
        }
        return bits;
    }
    if (!json_is_array(value) || json_array_size(value) == 0) {
        lq_faults_add(faults, LQ_EFIELD, at, "must be a list of at least one target");
        return 0;
    }
    uint32_t all = 0;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        const char *name = json_string_value(item);
        const uint32_t bits = name != NULL ? lq_targets_named(name) : 0;
        if (bits == 0) {
            snprintf(at, sizeof at, "%s/targets/%zu", pointer, i);
            lq_faults_add(faults, LQ_EFIELD, at,
                          "must be one of q k v o gate up down router embedding head attention mlp "
                          "experts all-linear");
        }
        all |= bits;
    }
    return all;
}

struct lq_method lq_method_default(void)
{
    return (struct lq_method){
        .kind = LQ_METHOD_LORA, .rank = RANK_DEFAULT, .targets = LQ_TARGETS_ALL_LINEAR};
}

/* Gives the members that were left out their values, and refuses those that do not go together. */
static bool complete(const struct document *document, const char *pointer, struct lq_method *out,
                     struct lq_faults *faults)
{
    const size_t before = faults->count;
    char at[LQ_POINTER_MAX];
    out->kind = (enum lq_method_kind)document->kind;
    out->train_embeddings = document->train_embeddings;
    if (out->kind == LQ_METHOD_FULL) {
        const bool adapters = document->rank > 0 || document->targets != NULL ||
                              document->train_embeddings || document->quantization > 0;
        if (adapters) {
            snprintf(at, sizeof at, "%s/kind", pointer);
            lq_faults_add(faults, LQ_EFIELD, at,
                          "full tuning takes no rank, targets, quantization or train_embeddings");
        }
        return faults->count == before;
    }
    out->rank = document->rank > 0 ? document->rank : RANK_DEFAULT;
    out->targets = document->targets != NULL ? targets_decode(document->targets, pointer, faults)
                                             : LQ_TARGETS_ALL_LINEAR;
    if (out->kind == LQ_METHOD_QLORA) {
        out->quantization = document->quantization < 0
                                ? LQ_QUANTIZATION_NF4_DQ
                                : (enum lq_quantization)document->quantization;
        if (out->quantization == LQ_QUANTIZATION_NONE) {
            snprintf(at, sizeof at, "%s/quantization", pointer);
            lq_faults_add(faults, LQ_EFIELD, at, "qlora needs one of nf4-dq, nf4, int4, int8");
        }
    } else if (document->quantization > 0) {
        snprintf(at, sizeof at, "%s/quantization", pointer);
        lq_faults_add(faults, LQ_EFIELD, at, "only qlora quantises the base weights");
    }
    return faults->count == before;
}

bool lq_method_decode(const json_t *value, const char *pointer, struct lq_method *out,
                      struct lq_faults *faults)
{
    struct document document = {.quantization = -1};
    *out = (struct lq_method){.kind = LQ_METHOD_FULL};
    if (json_is_string(value)) {
        document.kind = lq_name_index(json_string_value(value), LQ_METHOD_NAMES);
        if (document.kind < 0) {
            lq_faults_add(faults, LQ_EFIELD, pointer,
                          "must be one of full, lora, qlora, got \"%.40s\"",
                          json_string_value(value));
            return false;
        }
    } else if (!json_is_object(value)) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a name or an object");
        return false;
    } else if (lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &document,
                         faults) != LQ_OK) {
        if (document.targets != NULL) {
            (void)targets_decode(document.targets, pointer, faults);
        }
        return false;
    }
    return complete(&document, pointer, out, faults);
}

static json_t *targets_encode(uint32_t targets)
{
    json_t *list = json_array();
    for (const struct lq_target_group *group = LQ_TARGET_GROUPS; group->name != NULL; group++) {
        if ((targets & group->bits) == group->bits) {
            json_array_append_new(list, json_string(group->name));
            targets &= ~group->bits;
        }
    }
    for (int i = 0; i < LQ_TARGET_COUNT; i++) {
        if ((targets & LQ_TARGET_BIT(i)) != 0) {
            json_array_append_new(list, json_string(LQ_TARGET_NAMES[i]));
        }
    }
    return list;
}

json_t *lq_method_encode(const struct lq_method *method)
{
    json_t *object = json_object();
    json_object_set_new_nocheck(object, "kind", json_string(LQ_METHOD_NAMES[method->kind]));
    if (method->kind != LQ_METHOD_FULL) {
        json_object_set_new_nocheck(object, "rank", json_integer(method->rank));
        json_object_set_new_nocheck(object, "targets", targets_encode(method->targets));
        json_object_set_new_nocheck(object, "train_embeddings",
                                    json_boolean(method->train_embeddings));
    }
    if (method->quantization != LQ_QUANTIZATION_NONE) {
        json_object_set_new_nocheck(object, "quantization",
                                    json_string(LQ_QUANTIZATION_NAMES[method->quantization]));
    }
    return object;
}

bool lq_checkpointing_decode(const json_t *value, const char *pointer, enum lq_checkpointing *out,
                             struct lq_faults *faults)
{
    if (json_is_boolean(value)) {
        *out = json_is_true(value) ? LQ_CHECKPOINTING_FULL : LQ_CHECKPOINTING_NONE;
        return true;
    }
    if (json_is_string(value) && strcmp(json_string_value(value), "selective") == 0) {
        *out = LQ_CHECKPOINTING_SELECTIVE;
        return true;
    }
    lq_faults_add(faults, LQ_EFIELD, pointer, "must be true, false or \"selective\"");
    return false;
}

json_t *lq_checkpointing_encode(enum lq_checkpointing checkpointing)
{
    return checkpointing == LQ_CHECKPOINTING_SELECTIVE
               ? json_string("selective")
               : json_boolean(checkpointing == LQ_CHECKPOINTING_FULL);
}
