/* Configurations of models as C strings and what their decoding is held to. */
#pragma once

#include "server/json/field.h"
#include "server/json/model_config.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <string.h>

/* Test documents are written with ' for ", which none of them needs. */
static inline json_t *parse(const char *quoted)
{
    static char text[8192];
    size_t size = strlen(quoted);
    ck_assert_uint_lt(size, sizeof text);
    for (size_t i = 0; i <= size; i++) {
        text[i] = quoted[i] == '\'' ? '"' : quoted[i];
    }
    struct lq_faults faults = {0};
    json_t *value = lq_parse(text, size, &faults);
    ck_assert_msg(value != NULL, "%s in %s", faults.items[0].detail, quoted);
    return value;
}

static inline struct lq_faults decode_faults(const char *quoted, const char *pointer,
                                             struct lq_model *model)
{
    struct lq_faults faults = {0};
    json_t *config = parse(quoted);
    enum lq_code code = lq_model_decode_json("it", config, pointer, model, &faults);
    json_decref(config);
    ck_assert_int_eq(code, faults.count > 0 ? faults.items[0].code : LQ_OK);
    return faults;
}

static inline struct lq_model decode(const char *quoted)
{
    struct lq_model model;
    struct lq_faults faults = decode_faults(quoted, "", &model);
    ck_assert_msg(faults.count == 0, "%s: %s", faults.items[0].pointer, faults.items[0].detail);
    return model;
}

/* A Llama whose text goes on with `more`. */
static inline const char *llama(const char *more)
{
    static char text[4096];
    snprintf(text, sizeof text,
             "{'model_type':'llama','hidden_size':4096,'num_hidden_layers':32,"
             "'num_attention_heads':32,'intermediate_size':11008,'vocab_size':32000%s}",
             more);
    return text;
}

/* A Mixtral, likewise. */
static inline const char *mixtral(const char *more)
{
    static char text[4096];
    snprintf(text, sizeof text,
             "{'model_type':'mixtral','hidden_size':4096,'num_hidden_layers':32,"
             "'num_attention_heads':32,'num_key_value_heads':8,'intermediate_size':14336,"
             "'vocab_size':32000%s}",
             more);
    return text;
}
