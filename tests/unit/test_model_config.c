/* What decoding makes of a config.json: exact counts and the shape of the layers. */
#include "tests/unit/model_config_check.h"

static int64_t total_of(const char *quoted)
{
    struct lq_model model = decode(quoted);
    return lq_model_parameters(&model, 0).total;
}

/* Families that the catalog has no model of. Expected: the number of weights in the published
 * checkpoint, recalled, not re-read; each agrees with the sum by hand. */
static const struct {
    const char *config;
    int64_t total;
} CHECKPOINTS[] = {
    {"{'model_type':'gpt2','n_embd':768,'n_layer':12,'n_head':12,'n_positions':1024,"
     "'vocab_size':50257}",
     124439808},
    {"{'model_type':'phi','hidden_size':2560,'num_hidden_layers':32,'num_attention_heads':32,"
     "'num_key_value_heads':null,'intermediate_size':10240,'vocab_size':51200}",
     2779683840},
    {"{'model_type':'phi3','hidden_size':3072,'num_hidden_layers':32,'num_attention_heads':32,"
     "'num_key_value_heads':32,'intermediate_size':8192,'vocab_size':32064}",
     3821079552},
    {"{'model_type':'gemma','hidden_size':3072,'num_hidden_layers':28,'num_attention_heads':16,"
     "'num_key_value_heads':16,'head_dim':256,'intermediate_size':24576,'vocab_size':256000}",
     8537680896},
    {"{'model_type':'starcoder2','hidden_size':3072,'num_hidden_layers':30,"
     "'num_attention_heads':24,'num_key_value_heads':2,'intermediate_size':12288,"
     "'vocab_size':49152,'use_bias':true}",
     3030371328},
    {"{'model_type':'cohere','hidden_size':8192,'num_hidden_layers':40,'num_attention_heads':64,"
     "'num_key_value_heads':64,'intermediate_size':22528,'vocab_size':256000}",
     34980831232},
    {"{'model_type':'olmo','hidden_size':4096,'num_hidden_layers':32,'num_attention_heads':32,"
     "'intermediate_size':11008,'vocab_size':50304,'tie_word_embeddings':false}",
     6888095744},
    {"{'model_type':'olmo2','hidden_size':4096,'num_hidden_layers':32,'num_attention_heads':32,"
     "'intermediate_size':11008,'vocab_size':100352,'tie_word_embeddings':false}",
     7298617344},
    {"{'model_type':'opt','hidden_size':1024,'word_embed_proj_dim':512,'num_hidden_layers':24,"
     "'num_attention_heads':16,'ffn_dim':4096,'vocab_size':50272,"
     "'max_position_embeddings':2048,'do_layer_norm_before':false}",
     331196416},
    {"{'model_type':'falcon','hidden_size':2048,'num_hidden_layers':24,'num_attention_heads':32,"
     "'vocab_size':50304,'multi_query':false,'parallel_attn':false,'bias':true,'alibi':true}",
     1311625216},
    {"{'model_type':'deepseek_v2','hidden_size':5120,'num_hidden_layers':60,"
     "'num_attention_heads':128,'intermediate_size':12288,'moe_intermediate_size':1536,"
     "'n_routed_experts':160,'n_shared_experts':2,'num_experts_per_tok':6,"
     "'first_k_dense_replace':1,'vocab_size':102400}",
     235741434880},
    /* As published: Gemma 3 leaves heads, head size and vocabulary to its class. */
    {"{'model_type':'gemma3','text_config':{'model_type':'gemma3_text','hidden_size':2560,"
     "'intermediate_size':10240,'num_hidden_layers':34,'sliding_window':1024},"
     "'vision_config':{'hidden_size':1152},'mm_tokens_per_image':256}",
     3880263168},
    /* As published: Zyphra's file names neither type nor experts nor ties. */
    {"{'num_layers':4,'hidden_size':1152,'state_size':16,'conv_dimension':4,'vocab_size':50304,"
     "'expansion_factor':2,'mamba_moe_layers':['r','8','r','8'],'ffn_hidden_size':3072,"
     "'bias':false,'add_bias_linear':false,'swiglu':true}",
     /* embedding and last norm, 2 Mamba blocks, 2 MoE blocks, each with its norm */
     50304LL * 1152 + 1152 +
         2 * (4608LL * 1152 + 2304 * 5 + 104LL * 2304 + 72LL * 2304 + 2304 + 2304 * 17LL +
              1152LL * 2304 + 1152) +
         2 * (8LL * 3 * 1152 * 3072 + 8 * 1152 + 8 + 1152)},
};

START_TEST(published_files_give_the_checkpoints_number_of_weights)
{
    ck_assert_int_eq(total_of(CHECKPOINTS[_i].config), CHECKPOINTS[_i].total);
}
END_TEST

START_TEST(unknown_keys_of_published_files_do_not_matter)
{
    ck_assert_int_eq(total_of(llama(",'quantization_config':{'bits':4,'modules':[1,{}]},"
                                    "'rope_scaling':null,'torch_dtype':'float16',"
                                    "'bos_token_id':[1,2],'transformers_version':'4.44.0'")),
                     6738415616);
}
END_TEST

START_TEST(null_counts_as_absent_and_heads_default_to_all)
{
    struct lq_model model = decode(llama(",'num_key_value_heads':null,'head_dim':null"));
    ck_assert_int_eq(model.layers[0].mixer.kv_heads, 32);
    ck_assert_int_eq(model.layers[0].mixer.head_size, 128);
    ck_assert(!model.tied_embeddings);
}
END_TEST

START_TEST(counts_may_be_written_as_reals_without_a_fraction)
{
    ck_assert_int_eq(total_of("{'model_type':'llama','hidden_size':4.096e3,"
                              "'num_hidden_layers':32.0,'num_attention_heads':32,"
                              "'intermediate_size':11008,'vocab_size':3.2e4}"),
                     6738415616);
}
END_TEST

START_TEST(biases_count_where_the_file_switches_them_on)
{
    int64_t plain = total_of(llama(""));
    ck_assert_int_eq(total_of(llama(",'attention_bias':true")) - plain, 32LL * 4 * 4096);
    ck_assert_int_eq(total_of(llama(",'mlp_bias':true")) - plain, 32LL * (2 * 11008 + 4096));
}
END_TEST

START_TEST(tying_the_head_saves_one_embedding)
{
    ck_assert_int_eq(total_of(llama("")) - total_of(llama(",'tie_word_embeddings':true")),
                     32000LL * 4096);
}
END_TEST

START_TEST(experts_scale_with_the_top_k)
{
    struct lq_model model = decode(mixtral(",'num_local_experts':8,'num_experts_per_tok':2"));
    struct lq_parameters two = lq_model_parameters(&model, 0);
    struct lq_parameters all = lq_model_parameters(&model, 8);
    ck_assert_int_eq(two.total, 46702792704);
    ck_assert_int_eq(two.active, 12879925248);
    ck_assert_int_eq(all.active, all.total);
    ck_assert_int_eq(two.experts, 32LL * 8 * 3 * 4096 * 14336);
    ck_assert_int_eq(two.router, 32LL * 8 * 4096);
    ck_assert_int_eq(two.linear + two.embedding + two.head + two.rest, two.total);
}
END_TEST

/* `count` layers of kind `i`, with that window and feed-forward part. */
static void expect_layers(const struct lq_model *model, int i, int64_t count, int64_t window,
                          enum lq_ffn_kind ffn)
{
    ck_assert_int_lt(i, model->layer_kinds);
    ck_assert_int_eq(model->layers[i].count, count);
    ck_assert_int_eq(model->layers[i].mixer.window_tokens, window);
    ck_assert_int_eq(model->layers[i].ffn.kind, ffn);
}

START_TEST(gemma_3_has_one_full_layer_in_six)
{
    struct lq_model model = decode("{'model_type':'gemma3_text','hidden_size':1152,"
                                   "'num_hidden_layers':26,'num_attention_heads':4,"
                                   "'num_key_value_heads':1,'intermediate_size':6912,"
                                   "'vocab_size':262144,'sliding_window':512}");
    ck_assert_str_eq(model.type, "gemma3_text");
    ck_assert(model.tied_embeddings);
    ck_assert_int_eq(model.layer_kinds, 2);
    expect_layers(&model, 0, 22, 512, LQ_FFN_DENSE);
    expect_layers(&model, 1, 4, 0, LQ_FFN_DENSE);
}
END_TEST

START_TEST(layer_types_overrule_the_familys_pattern)
{
    struct lq_model model =
        decode("{'model_type':'gemma2','hidden_size':64,'num_hidden_layers':3,"
               "'num_attention_heads':2,'intermediate_size':64,'vocab_size':100,"
               "'layer_types':['full_attention','full_attention','sliding_attention']}");
    expect_layers(&model, 0, 2, 0, LQ_FFN_DENSE);
    expect_layers(&model, 1, 1, 4096, LQ_FFN_DENSE);
}
END_TEST

START_TEST(llama_4_interleaves_experts_and_chunks)
{
    struct lq_model model =
        decode("{'model_type':'llama4','text_config':{'hidden_size':512,'num_hidden_layers':8,"
               "'num_attention_heads':8,'num_key_value_heads':4,'head_dim':64,"
               "'intermediate_size':128,'intermediate_size_mlp':256,'num_local_experts':16,"
               "'num_experts_per_tok':1,'interleave_moe_layer_step':2,'vocab_size':1000,"
               "'attention_chunk_size':64,'max_position_embeddings':4096}}");
    ck_assert_int_eq(model.layer_kinds, 3);
    expect_layers(&model, 0, 4, 64, LQ_FFN_DENSE);
    expect_layers(&model, 1, 2, 64, LQ_FFN_MOE);
    expect_layers(&model, 2, 2, 0, LQ_FFN_MOE);
    ck_assert_int_eq(model.layers[0].ffn.intermediate_size, 256);
    ck_assert_int_eq(model.layers[1].ffn.shared_size, 128);
}
END_TEST

START_TEST(llama_4_layers_flagged_without_rotary_positions_see_everything)
{
    struct lq_model model =
        decode("{'model_type':'llama4_text','hidden_size':64,'num_hidden_layers':3,"
               "'num_attention_heads':2,'intermediate_size':64,'intermediate_size_mlp':64,"
               "'vocab_size':100,'num_local_experts':4,'num_experts_per_tok':1,"
               "'interleave_moe_layer_step':1,'no_rope_layers':[1,0,1]}");
    expect_layers(&model, 0, 2, 8192, LQ_FFN_MOE);
    expect_layers(&model, 1, 1, 0, LQ_FFN_MOE);
}
END_TEST

START_TEST(biases_of_latent_attention_sit_on_the_compressions_and_the_output)
{
    static const char PLAIN[] =
        "{'model_type':'deepseek_v2','hidden_size':256,'num_hidden_layers':2,"
        "'num_attention_heads':4,'intermediate_size':64,'vocab_size':100,'q_lora_rank':96,"
        "'kv_lora_rank':48,'qk_rope_head_dim':16,'moe_intermediate_size':32,'n_routed_experts':4,"
        "'num_experts_per_tok':2,'attention_bias':%s}";
    char text[sizeof PLAIN + 8];
    int64_t total[2];
    for (int on = 0; on < 2; on++) {
        snprintf(text, sizeof text, PLAIN, on == 1 ? "true" : "false");
        struct lq_model model = decode(text);
        total[on] = lq_model_parameters(&model, 0).total;
    }
    /* in each of two layers: both ranks, the rotary part of the key, and the hidden size */
    ck_assert_int_eq(total[1] - total[0], 2 * (96 + 48 + 16 + 256));
}
END_TEST

START_TEST(jamba_mixes_mamba_attention_and_experts)
{
    struct lq_model model =
        decode("{'model_type':'jamba','hidden_size':4096,'num_hidden_layers':32,"
               "'num_attention_heads':32,'num_key_value_heads':8,'intermediate_size':14336,"
               "'num_experts':16,'num_experts_per_tok':2,'vocab_size':65536,"
               "'mamba_dt_rank':'auto'}");
    ck_assert_int_eq(model.layer_kinds, 3);
    ck_assert_int_eq(model.layers[0].mixer.kind, LQ_MIXER_MAMBA);
    ck_assert_int_eq(model.layers[0].mixer.dt_rank, 256);
    expect_layers(&model, 0, 12, 0, LQ_FFN_DENSE);
    expect_layers(&model, 1, 16, 0, LQ_FFN_MOE);
    expect_layers(&model, 2, 4, 0, LQ_FFN_DENSE);
    ck_assert_int_eq(model.layers[2].mixer.kind, LQ_MIXER_ATTENTION);
    ck_assert_int_eq(lq_model_parameters(&model, 0).total, 51570323328);
}
END_TEST

START_TEST(mamba_takes_an_automatic_rank)
{
    struct lq_model model = decode("{'model_type':'mamba','hidden_size':2560,"
                                   "'num_hidden_layers':64,'vocab_size':50280,"
                                   "'time_step_rank':'auto'}");
    ck_assert_int_eq(model.layers[0].mixer.dt_rank, 160);
    ck_assert_int_eq(model.layers[0].ffn.kind, LQ_FFN_NONE);
    ck_assert_int_eq(lq_model_parameters(&model, 0).total, 2768345600);
}
END_TEST

START_TEST(blackmamba_takes_topk_before_num_experts_per_tok)
{
    const char *config = "{'hidden_size':64,'vocab_size':100,'mamba_moe_layers':['r','8'],"
                         "'ffn_hidden_size':32,'num_experts_per_tok':1,'topk':2}";
    struct lq_model model = decode(config);
    ck_assert_str_eq(model.type, "blackmamba");
    ck_assert_int_eq(lq_model_active_experts(&model), 2);
    ck_assert_int_eq(lq_model_experts(&model), 8);
}
END_TEST

START_TEST(a_null_query_rank_means_a_full_query_and_no_key_the_familys_rank)
{
#define DEEPSEEK_V2                                                                                \
    "{'model_type':'deepseek_v2','hidden_size':256,'num_hidden_layers':2,"                         \
    "'num_attention_heads':4,'intermediate_size':64,'vocab_size':100,"                             \
    "'moe_intermediate_size':32,'n_routed_experts':4,'num_experts_per_tok':2"
    struct lq_model full = decode(DEEPSEEK_V2 ",'q_lora_rank':null}");
    ck_assert_int_eq(full.layers[0].mixer.q_rank, 0);
    struct lq_model low = decode(DEEPSEEK_V2 "}");
    ck_assert_int_eq(low.layers[0].mixer.q_rank, 1536);
}
END_TEST

START_TEST(qwen_layers_without_experts_are_dense)
{
    struct lq_model model =
        decode("{'model_type':'qwen3_moe','hidden_size':64,'num_hidden_layers':4,"
               "'num_attention_heads':2,'intermediate_size':96,'vocab_size':100,"
               "'num_experts':4,'num_experts_per_tok':2,'moe_intermediate_size':16,"
               "'decoder_sparse_step':2,'mlp_only_layers':[3]}");
    expect_layers(&model, 0, 3, 0, LQ_FFN_DENSE);
    expect_layers(&model, 1, 1, 0, LQ_FFN_MOE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_config");
    TCase *shape = tcase_create("shape");
    tcase_add_loop_test(shape, published_files_give_the_checkpoints_number_of_weights, 0,
                        sizeof CHECKPOINTS / sizeof *CHECKPOINTS);
    tcase_add_test(shape, unknown_keys_of_published_files_do_not_matter);
    tcase_add_test(shape, null_counts_as_absent_and_heads_default_to_all);
    tcase_add_test(shape, counts_may_be_written_as_reals_without_a_fraction);
    tcase_add_test(shape, biases_count_where_the_file_switches_them_on);
    tcase_add_test(shape, tying_the_head_saves_one_embedding);
    tcase_add_test(shape, experts_scale_with_the_top_k);
    tcase_add_test(shape, gemma_3_has_one_full_layer_in_six);
    tcase_add_test(shape, layer_types_overrule_the_familys_pattern);
    tcase_add_test(shape, llama_4_interleaves_experts_and_chunks);
    tcase_add_test(shape, llama_4_layers_flagged_without_rotary_positions_see_everything);
    tcase_add_test(shape, biases_of_latent_attention_sit_on_the_compressions_and_the_output);
    tcase_add_test(shape, jamba_mixes_mamba_attention_and_experts);
    tcase_add_test(shape, mamba_takes_an_automatic_rank);
    tcase_add_test(shape, blackmamba_takes_topk_before_num_experts_per_tok);
    tcase_add_test(shape, a_null_query_rank_means_a_full_query_and_no_key_the_familys_rank);
    tcase_add_test(shape, qwen_layers_without_experts_are_dense);
    suite_add_tcase(suite, shape);
    return run_suite(suite);
}
