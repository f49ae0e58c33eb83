/* What decoding refuses in a config.json, and that every bad key is named. */
#include "tests/unit/model_config_check.h"

#include <stdlib.h>

/* The only fault is at `pointer` and says `part`. */
static void expect_fault(const char *quoted, const char *pointer, const char *part)
{
    struct lq_model model;
    struct lq_faults faults = decode_faults(quoted, "", &model);
    ck_assert_msg(faults.count == 1, "%zu faults in %s", faults.count, quoted);
    ck_assert_int_eq(faults.items[0].code, LQ_EFIELD);
    ck_assert_str_eq(faults.items[0].pointer, pointer);
    ck_assert_msg(strstr(faults.items[0].detail, part) != NULL, "\"%s\" lacks \"%s\"",
                  faults.items[0].detail, part);
}

START_TEST(an_unsupported_type_is_named_with_those_supported)
{
    expect_fault("{'model_type':'t5','hidden_size':512}", "/model_type", "\"t5\"");
    expect_fault("{'model_type':'t5'}", "/model_type", "mixtral");
    expect_fault("{'model_type':'t5'}", "/model_type", "cohere");
    expect_fault("{'hidden_size':512}", "/model_type", "must name one of");
    expect_fault("{'model_type':7}", "/model_type", "must name one of");
}
END_TEST

START_TEST(every_missing_size_is_named_at_once)
{
    struct lq_model model;
    struct lq_faults faults = decode_faults("{'model_type':'llama'}", "/model", &model);
    static const char *const MISSING[] = {"/model/hidden_size", "/model/vocab_size",
                                          "/model/num_hidden_layers", "/model/num_attention_heads",
                                          "/model/intermediate_size"};
    ck_assert_uint_eq(faults.count, 5);
    for (size_t i = 0; i < faults.count; i++) {
        ck_assert_str_eq(faults.items[i].pointer, MISSING[i]);
        ck_assert_str_eq(faults.items[i].detail, "is required");
    }
}
END_TEST

START_TEST(a_config_that_is_no_object_is_refused)
{
    struct lq_model model;
    struct lq_faults faults = {0};
    json_t *text = json_string("mixtral");
    ck_assert_int_eq(lq_model_decode_json("it", text, "/model", &model, &faults), LQ_EFIELD);
    json_decref(text);
    ck_assert_str_eq(faults.items[0].pointer, "/model");
}
END_TEST

/* Absurd values of single keys, each the only fault. */
static const struct {
    const char *config;
    const char *pointer;
    const char *part;
} ABSURD[] = {
    {"'hidden_size':0", "/hidden_size", "from 1 to"},
    {"'hidden_size':-4096", "/hidden_size", "got -4096"},
    {"'hidden_size':'4096'", "/hidden_size", "got \"4096\""},
    {"'hidden_size':4096.5", "/hidden_size", "whole number"},
    {"'hidden_size':1e30", "/hidden_size", "got 1e+30"},
    {"'hidden_size':true", "/hidden_size", "got true"},
    {"'num_hidden_layers':1e30", "/num_hidden_layers", "4096"},
    {"'num_hidden_layers':0", "/num_hidden_layers", "from 1 to"},
    {"'num_hidden_layers':[1]", "/num_hidden_layers", "an array"},
    {"'num_attention_heads':0", "/num_attention_heads", "from 1 to"},
    {"'num_attention_heads':33", "/num_attention_heads", "must divide the hidden size"},
    {"'num_key_value_heads':64", "/num_key_value_heads", "must divide"},
    {"'num_key_value_heads':5", "/num_key_value_heads", "must divide the 32"},
    {"'head_dim':-1", "/head_dim", "from 1 to"},
    {"'vocab_size':9007199254740993", "/vocab_size", "16777216"},
    {"'intermediate_size':{}", "/intermediate_size", "an object"},
    {"'max_position_embeddings':-1", "/max_position_embeddings", "from 1 to"},
    {"'tie_word_embeddings':'yes'", "/tie_word_embeddings", "true or false"},
    {"'attention_bias':1", "/attention_bias", "true or false"},
    {"'num_local_experts':0", "/num_local_experts", "from 1 to"},
    {"'num_experts_per_tok':0", "/num_experts_per_tok", "from 1 to"},
    {"'num_experts_per_tok':9", "/num_experts_per_tok", "at most the 8 experts"},
    {"'sliding_window':0", "/sliding_window", "from 1 to"},
};

/* Sets one key of a sound model: a Mixtral for what concerns experts or windows, else a Llama. */
static void expect_absurd(const char *member, const char *pointer, const char *part)
{
    bool moe = strstr(member, "experts") != NULL || strstr(member, "window") != NULL;
    json_t *config =
        parse(moe ? mixtral(",'num_local_experts':8,'num_experts_per_tok':2") : llama(""));
    char text[256];
    snprintf(text, sizeof text, "{%s}", member);
    json_t *change = parse(text);
    ck_assert_int_eq(json_object_update(config, change), 0);
    char *merged = json_dumps(config, JSON_COMPACT);
    expect_fault(merged, pointer, part);
    free(merged);
    json_decref(change);
    json_decref(config);
}

START_TEST(absurd_values_are_faults_at_their_key)
{
    expect_absurd(ABSURD[_i].config, ABSURD[_i].pointer, ABSURD[_i].part);
}
END_TEST

START_TEST(sizes_that_pass_alone_but_not_together_are_refused)
{
    expect_fault("{'model_type':'mixtral','hidden_size':1048576,'num_hidden_layers':4096,"
                 "'num_attention_heads':65536,'num_key_value_heads':65536,"
                 "'intermediate_size':4194304,'vocab_size':16777216,"
                 "'num_local_experts':65536,'num_experts_per_tok':65536}",
                 "", "parameters, the limit is 1e+15");
}
END_TEST

START_TEST(nested_and_listed_keys_are_checked_where_they_stand)
{
    expect_fault("{'model_type':'dbrx','d_model':64,'n_heads':4,'n_layers':2,'vocab_size':100,"
                 "'attn_config':{'kv_n_heads':3},'ffn_config':{'ffn_hidden_size':32,"
                 "'moe_num_experts':4,'moe_top_k':2}}",
                 "/attn_config/kv_n_heads", "must divide the 4");
    expect_fault("{'model_type':'dbrx','d_model':64,'n_heads':4,'n_layers':2,'vocab_size':100}",
                 "/ffn_config", "is required");
    expect_fault("{'model_type':'llama4','text_config':7}", "/text_config", "must be an object");
    expect_fault("{'model_type':'gemma2','hidden_size':64,'num_hidden_layers':3,"
                 "'num_attention_heads':2,'intermediate_size':64,'vocab_size':100,"
                 "'layer_types':['full_attention']}",
                 "/layer_types", "all 3 layers, got 1");
    expect_fault("{'model_type':'gemma2','hidden_size':64,'num_hidden_layers':2,"
                 "'num_attention_heads':2,'intermediate_size':64,'vocab_size':100,"
                 "'layer_types':['full_attention',7]}",
                 "/layer_types", "item 1 must be a string");
    expect_fault("{'model_type':'llama4','text_config':{'hidden_size':64,'num_hidden_layers':2,"
                 "'num_attention_heads':2,'intermediate_size':64,'intermediate_size_mlp':64,"
                 "'vocab_size':100,'num_local_experts':4,'num_experts_per_tok':1,"
                 "'no_rope_layers':[1,0,1]}}",
                 "/text_config/no_rope_layers", "each of 2 layers, got 3");
    expect_fault("{'hidden_size':64,'vocab_size':100,'ffn_hidden_size':32,"
                 "'mamba_moe_layers':['r','x']}",
                 "/mamba_moe_layers", "item 1");
    expect_fault("{'hidden_size':64,'vocab_size':100,'ffn_hidden_size':32,'num_layers':3,"
                 "'mamba_moe_layers':['r','8']}",
                 "/num_layers", "got 3");
}
END_TEST

START_TEST(text_that_is_not_json_is_a_syntax_fault)
{
    struct lq_model model;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_model_decode("it", "{\"model_type\":", &model, &err), LQ_ESYNTAX);
    ck_assert_int_eq(err.code, LQ_ESYNTAX);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_model_decode("it", "{\"model_type\":\"opt\"}", &model, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/hidden_size");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_config_faults");
    TCase *faults = tcase_create("faults");
    tcase_add_test(faults, an_unsupported_type_is_named_with_those_supported);
    tcase_add_test(faults, every_missing_size_is_named_at_once);
    tcase_add_test(faults, a_config_that_is_no_object_is_refused);
    tcase_add_loop_test(faults, absurd_values_are_faults_at_their_key, 0,
                        sizeof ABSURD / sizeof *ABSURD);
    tcase_add_test(faults, sizes_that_pass_alone_but_not_together_are_refused);
    tcase_add_test(faults, nested_and_listed_keys_are_checked_where_they_stand);
    tcase_add_test(faults, text_that_is_not_json_is_a_syntax_fault);
    suite_add_tcase(suite, faults);
    return run_suite(suite);
}
