/* Finds the family of a config.json, lets it fill a blueprint and groups equal layers. What each
 * family's keys mean lives in model_config_*.c. */
#include "server/json/model_config.h"

#include "server/json/arena.h"
#include "server/json/field.h"
#include "server/json/model_config_family.h"

#include <stdio.h>
#include <string.h>

/* model_type, or "blackmamba" for the file that has none but lists its blocks; NULL without either.
 */
static const char *find_type(const struct lq_reader *reader)
{
    if (!lq_read_has(reader, "model_type") && lq_read_has(reader, "mamba_moe_layers")) {
        return "blackmamba";
    }
    return json_string_value(json_object_get(reader->object, "model_type"));
}

static const struct lq_family *find_family(const struct lq_reader *reader, const char *type)
{
    const struct lq_family *family = type != NULL ? lq_family_find(type) : NULL;
    char known[LQ_DETAIL_MAX];
    lq_family_list(known, sizeof known);
    if (type == NULL) {
        lq_read_fault(reader, "model_type", "must name one of: %s", known);
    } else if (family == NULL) {
        lq_read_fault(reader, "model_type", "\"%.20s\" is not supported; supported are: %s", type,
                      known);
    }
    return family;
}

/* Groups the layers by mixer and feed-forward part, in the order in which they first occur. */
static void group_layers(const struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    int kind_of[2][2] = {{-1, -1}, {-1, -1}};
    for (int64_t i = 0; i < blueprint->layers; i++) {
        int mixer = blueprint->mixer_of[i];
        int ffn = blueprint->ffn_of[i];
        int *kind = &kind_of[mixer][ffn];
        if (*kind < 0) {
            *kind = model->layer_kinds++;
            model->layers[*kind] = (struct lq_layer){.mixer = blueprint->mixer[mixer],
                                                     .ffn = blueprint->ffn[ffn],
                                                     .norm_parameters = blueprint->norm_parameters};
        }
        model->layers[*kind].count++;
    }
}

/* The language model may be nested; the outer file then has a say in whether embeddings are tied.
 */
static void decode_family(const struct lq_family *family, const struct lq_reader *reader,
                          struct lq_blueprint *blueprint)
{
    if (!family->nested || !lq_read_has(reader, "text_config")) {
        family->decode(family, reader, blueprint);
        return;
    }
    struct lq_family inner_family = *family;
    inner_family.tied = lq_read_bool(reader, "tie_word_embeddings", family->tied);
    struct lq_reader inner = lq_read_object(reader, "text_config", true);
    if (inner.object != NULL) {
        family->decode(&inner_family, &inner, blueprint);
    }
}

enum lq_code lq_model_decode_json(const char *id, const json_t *config, const char *pointer,
                                  struct lq_model *out, struct lq_faults *faults)
{
    struct lq_faults found = {0};
    struct lq_reader reader = {.object = config, .faults = &found};
    snprintf(reader.pointer, sizeof reader.pointer, "%s", pointer);
    *out = (struct lq_model){0};
    if (!json_is_object(config)) {
        lq_read_fault(&reader, "", "must be a config.json object");
        return lq_faults_take(faults, "", &found.items[0]);
    }
    const char *type = find_type(&reader);
    const struct lq_family *family = find_family(&reader, type);
    if (family != NULL) {
        struct lq_blueprint blueprint = {.model = out};
        snprintf(out->id, sizeof out->id, "%s", id);
        snprintf(out->type, sizeof out->type, "%s", type);
        decode_family(family, &reader, &blueprint);
        group_layers(&blueprint);
    }
    struct lq_error err = {0};
    if (found.count == 0 && lq_model_check(out, &err) != LQ_OK) {
        return lq_faults_take(faults, pointer, &err);
    }
    for (size_t i = 0; i < found.count && i < LQ_FAULTS_MAX; i++) {
        lq_faults_take(faults, "", &found.items[i]);
    }
    return found.count > 0 ? found.items[0].code : LQ_OK;
}

static enum lq_code decode_text(const char *id, const char *config_json, struct lq_model *out,
                                struct lq_error *err)
{
    struct lq_faults faults = {0};
    json_t *config = lq_parse(config_json, strlen(config_json), &faults);
    if (config != NULL) {
        (void)!lq_model_decode_json(id, config, "", out, &faults);
        json_decref(config);
    }
    if (faults.count > 0) {
        const struct lq_error *first = &faults.items[0];
        return lq_fail(err, first->code, first->pointer, "%s", first->detail);
    }
    return LQ_OK;
}

/* Also called while a catalog is built, beside requests: then the arena spans it alone. */
enum lq_code lq_model_decode(const char *id, const char *config_json, struct lq_model *out,
                             struct lq_error *err)
{
    if (lq_arena_is_active()) {
        return decode_text(id, config_json, out, err);
    }
    lq_arena_begin();
    const enum lq_code code = decode_text(id, config_json, out, err);
    lq_arena_end();
    return code;
}
