/* Bytes, FLOPs and times of serving against counts by hand. */
#include "core/planning/serving.h"
#include "tests/unit/model_config_check.h"

#include <math.h>

static const struct lq_request_kind CHAT = {161.0, 338.0, 1.0};
static const struct lq_traffic TRAFFIC = {.kinds = &CHAT, .count = 1};
static const struct lq_serving_format BF16 = {.precision = LQ_PRECISION_BF16};

static const struct lq_gpu A100 = {.id = "A100-40GB-SXM",
                                   .memory_bytes = 42949672960.0,
                                   .memory_bandwidth_bytes_per_s = 1555e9,
                                   .fp32_flop_per_s = 19.5e12,
                                   .fp16_flop_per_s = 312e12,
                                   .interconnect_bytes_per_s = 600e9};

static const char LLAMA_2_7B[] = "{'model_type':'llama','hidden_size':4096,'num_hidden_layers':32,"
                                 "'num_attention_heads':32,'intermediate_size':11008,"
                                 "'vocab_size':32000}";
static const char LLAMA_31_8B[] =
    "{'model_type':'llama','hidden_size':4096,'num_hidden_layers':32,'num_attention_heads':32,"
    "'num_key_value_heads':8,'intermediate_size':14336,'vocab_size':128256}";
static const char DEEPSEEK_V3[] =
    "{'model_type':'deepseek_v3','hidden_size':7168,'num_hidden_layers':61,"
    "'num_attention_heads':128,'num_key_value_heads':128,'intermediate_size':18432,"
    "'moe_intermediate_size':2048,'n_routed_experts':256,'n_shared_experts':1,"
    "'num_experts_per_tok':8,'first_k_dense_replace':3,'moe_layer_freq':1,'q_lora_rank':1536,"
    "'kv_lora_rank':512,'qk_nope_head_dim':128,'qk_rope_head_dim':64,'v_head_dim':128,"
    "'vocab_size':129280}";
static const char GEMMA_3_12B[] =
    "{'model_type':'gemma3','tie_word_embeddings':true,'text_config':{"
    "'model_type':'gemma3_text','hidden_size':3840,'num_hidden_layers':48,"
    "'num_attention_heads':16,'num_key_value_heads':8,'head_dim':256,'intermediate_size':15360,"
    "'vocab_size':262208,'max_position_embeddings':131072,'sliding_window':1024}}";
static const char MAMBA_28B[] =
    "{'model_type':'mamba','hidden_size':2560,'num_hidden_layers':64,'intermediate_size':5120,"
    "'state_size':16,'conv_kernel':4,'time_step_rank':160,'vocab_size':50280}";
static const char MIXTRAL[] =
    "{'model_type':'mixtral','hidden_size':4096,'num_hidden_layers':32,'num_attention_heads':32,"
    "'num_key_value_heads':8,'intermediate_size':14336,'num_local_experts':8,"
    "'num_experts_per_tok':2,'vocab_size':32000}";

static struct lq_serving_load count(const char *config, const struct lq_serving_format *format,
                                    const struct lq_traffic *traffic)
{
    const struct lq_model model = decode(config);
    struct lq_serving_load load;
    lq_serving_count(&model, format, lq_serving_stack_find("vllm"), traffic, &load);
    return load;
}

/* Cache of one request of `tokens` tokens, all kinds of layers together. */
static double request_bytes(const struct lq_serving_load *load)
{
    double bytes = 0.0;
    for (size_t i = 0; i < load->cache_kinds; i++) {
        const struct lq_serving_cache *c = &load->cache[i];
        bytes += c->token_bytes * c->mean_tokens + c->state_bytes;
    }
    return bytes;
}

static double token_bytes(const struct lq_serving_load *load)
{
    double bytes = 0.0;
    for (size_t i = 0; i < load->cache_kinds; i++) {
        bytes += load->cache[i].token_bytes;
    }
    return bytes;
}

START_TEST(a_token_of_llama_2_7b_holds_512_kib)
{
    /* K and V, 32 layers, 32 heads of 128, 2 bytes */
    const struct lq_serving_load load = count(LLAMA_2_7B, &BF16, &TRAFFIC);
    ck_assert_double_eq(token_bytes(&load), 2.0 * 32 * 32 * 128 * 2);
    ck_assert_double_eq(request_bytes(&load), 524288.0 * (161.0 + 169.0));
}
END_TEST

START_TEST(a_token_of_llama_31_8b_holds_a_quarter_of_it)
{
    const struct lq_serving_load load = count(LLAMA_31_8B, &BF16, &TRAFFIC);
    ck_assert_double_eq(token_bytes(&load), 2.0 * 32 * 8 * 128 * 2);
    ck_assert_double_eq(load.cache[0].shards, 8.0);
}
END_TEST

START_TEST(fp8_and_int8_halve_the_cache_and_fp32_doubles_it)
{
    struct lq_serving_format format = BF16;
    const double want[] = {131072.0, 131072.0, 262144.0, 65536.0, 65536.0};
    for (int i = 0; LQ_KV_PRECISION_NAMES[i] != NULL; i++) {
        format.kv_precision = (enum lq_kv_precision)i;
        const struct lq_serving_load load = count(LLAMA_31_8B, &format, &TRAFFIC);
        ck_assert_double_eq(token_bytes(&load), want[i]);
    }
}
END_TEST

START_TEST(a_token_of_deepseek_v3_holds_the_latent_and_the_rotary_key)
{
    const struct lq_serving_load load = count(DEEPSEEK_V3, &BF16, &TRAFFIC);
    ck_assert_double_eq(token_bytes(&load), 61.0 * (512 + 64) * 2);
    ck_assert_double_eq(load.cache[0].shards, 1.0);
    ck_assert_uint_eq(load.expert_kinds, 1);
    ck_assert_double_eq(load.experts[0].layers, 58.0);
    ck_assert_double_eq(load.experts[0].bytes, 58.0 * 3 * 2048 * 7168 * 2);
}
END_TEST

/* Five of six layers see 1024 tokens: 40 of 48. Prompt 2000, answer 400: full layers hold 2200. */
START_TEST(gemma_3_holds_no_more_than_its_windows)
{
    const struct lq_request_kind kind = {2000.0, 400.0, 1.0};
    const struct lq_traffic traffic = {.kinds = &kind, .count = 1};
    const struct lq_serving_load load = count(GEMMA_3_12B, &BF16, &traffic);
    const double layer = 2.0 * 8 * 256 * 2;
    ck_assert_double_eq_tol(request_bytes(&load), layer * (40 * 1024.0 + 8 * 2200.0), 1e-3);
    ck_assert_double_eq(token_bytes(&load), 48 * layer);
}
END_TEST

START_TEST(mamba_holds_the_same_whatever_the_length)
{
    const struct lq_request_kind book = {1e5, 1e4, 1.0};
    const struct lq_traffic traffic = {.kinds = &book, .count = 1};
    const struct lq_serving_load load = count(MAMBA_28B, &BF16, &TRAFFIC);
    const struct lq_serving_load longer = count(MAMBA_28B, &BF16, &traffic);
    ck_assert_double_eq(request_bytes(&load), 64.0 * 5120 * (16 + 4) * 2);
    ck_assert_double_eq(request_bytes(&longer), request_bytes(&load));
}
END_TEST

/* 46,702,792,704 parameters; a token reads all but six experts of each layer. */
START_TEST(mixtral_stores_all_experts_and_reads_those_visited)
{
    const struct lq_serving_load load = count(MIXTRAL, &BF16, &TRAFFIC);
    const double expert = 32.0 * 3 * 4096 * 14336 * 2;
    ck_assert_double_eq(load.stored_bytes, 2.0 * 46702792704.0);
    ck_assert_double_eq(load.experts[0].bytes, expert);
    const double rest = load.stored_bytes - 8 * expert - 2.0 * 32000 * 4096;
    ck_assert_double_eq(load.matrix_bytes + load.plain_bytes, rest);
}
END_TEST

/* Weights of the layers' matrices alone are quantised: 6,476,005,376 of Llama-2-7B's. */
START_TEST(quantisation_leaves_embedding_head_and_norms)
{
    const double linear = 6476005376.0;
    const double other = 6738415616.0 - linear;
    struct lq_serving_format format = BF16;
    const struct {
        enum lq_precision precision;
        enum lq_quantization quantization;
        double bytes;
    } cases[] = {{LQ_PRECISION_BF16, LQ_QUANTIZATION_INT8, 1.0},
                 {LQ_PRECISION_BF16, LQ_QUANTIZATION_INT4, 0.5 + 2.5 / 128},
                 {LQ_PRECISION_BF16, LQ_QUANTIZATION_NF4, 0.5 + 4.0 / 64},
                 {LQ_PRECISION_FP8, LQ_QUANTIZATION_NONE, 1.0}};
    for (int i = 0; i < 4; i++) {
        format.precision = cases[i].precision;
        format.quantization = cases[i].quantization;
        const struct lq_serving_load load = count(LLAMA_2_7B, &format, &TRAFFIC);
        ck_assert_double_eq(load.stored_bytes, linear * cases[i].bytes + 2.0 * other);
    }
}
END_TEST

/* 90 % of 40 GiB less 13,476,831,232 bytes of weights and the rest of one longest request (169
 * tokens), over 330 tokens of 512 KiB. */
START_TEST(concurrent_requests_fill_the_memory)
{
    const struct lq_serving_load load = count(LLAMA_2_7B, &BF16, &TRAFFIC);
    const struct lq_serving_setup setup = {&A100, lq_serving_stack_find("vllm"), 1000, false};
    struct lq_serving s;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 1, &s, &err), LQ_OK);
    const double room = 0.9 * A100.memory_bytes - 13476831232.0 - 169 * 524288.0;
    ck_assert_double_eq(s.concurrent_requests, floor(room / (330 * 524288.0)));
    ck_assert(s.memory_limits);
    ck_assert_double_eq(s.weights_bytes, 13476831232.0);
    ck_assert_double_le(s.weights_bytes + s.cache_bytes, s.usable_bytes);
}
END_TEST

START_TEST(the_latent_of_mla_is_held_by_every_device)
{
    const struct lq_serving_load load = count(DEEPSEEK_V3, &BF16, &TRAFFIC);
    struct lq_gpu h200 = A100;
    h200.memory_bytes = 400e9; /* as large as need be */
    const struct lq_serving_setup setup = {&h200, lq_serving_stack_find("vllm"), 8, false};
    struct lq_serving s;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 8, &s, &err), LQ_OK);
    ck_assert_double_eq_tol(s.request_bytes, 330 * 70272.0, 1e-6);
    ck_assert_double_eq(s.concurrent_requests, 8.0);
    ck_assert(!s.memory_limits);
}
END_TEST

/* One request, the efficiencies alone: (13.2e9 bytes + 330 tokens' cache) / (0.83 * 1555e9). */
START_TEST(one_request_reads_the_weights_for_each_token)
{
    const struct lq_serving_load load = count(LLAMA_2_7B, &BF16, &TRAFFIC);
    const struct lq_serving_setup setup = {&A100, lq_serving_stack_find("roofline"), 1, false};
    struct lq_serving s;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 1, &s, &err), LQ_OK);
    const double bytes = 2.0 * (6738415616.0 - 131072000.0) + 330 * 524288.0;
    ck_assert_double_eq_tol(s.decode_s, bytes / (0.83 * 1555e9), 1e-12);
    ck_assert_int_eq(s.bound, LQ_BOUND_MEMORY);
    /* and one prompt in 338 iterations */
    ck_assert_double_eq_tol(s.prompt_s, s.prompt_latency_s / 338.0, 1e-12);
    ck_assert_double_eq_tol(s.tokens_per_s, 1.0 / (s.decode_s + s.prompt_s), 1e-9);
}
END_TEST

/* Two all-reduces in each of 32 layers: 10 us and 2 (G-1)/G of 8 KiB over 231 GB/s. */
START_TEST(tensor_parallel_devices_reduce_twice_per_layer)
{
    const struct lq_serving_load load = count(LLAMA_2_7B, &BF16, &TRAFFIC);
    const struct lq_serving_setup setup = {&A100, lq_serving_stack_find("gpt-fast"), 1, false};
    struct lq_serving s;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 4, &s, &err), LQ_OK);
    const double reduce = 10e-6 + 1.5 * 8192.0 / (0.77 * 300e9);
    const double prompt = 10e-6 + 1.5 * 8192.0 * 161.0 / (0.77 * 300e9);
    ck_assert_double_eq_tol(s.bound_s[LQ_BOUND_NETWORK], 64 * (reduce + prompt / 338.0), 1e-12);
}
END_TEST

START_TEST(expert_parallel_devices_hold_whole_experts)
{
    const struct lq_serving_load load = count(MIXTRAL, &BF16, &TRAFFIC);
    struct lq_gpu large = A100;
    large.memory_bytes = 100e9;
    struct lq_serving_setup setup = {&large, lq_serving_stack_find("vllm"), 4, true};
    struct lq_serving whole;
    struct lq_serving split;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 3, &whole, &err), LQ_OK);
    setup.expert_parallel = false;
    ck_assert_int_eq(lq_serving_at(&load, &setup, 3, &split, &err), LQ_OK);
    /* 3 of 8 experts in place of 8/3 */
    ck_assert_double_eq_tol(whole.weights_bytes - split.weights_bytes,
                            (3.0 - 8.0 / 3.0) * load.experts[0].bytes, 1.0);
    ck_assert_double_ne(whole.bound_s[LQ_BOUND_NETWORK], split.bound_s[LQ_BOUND_NETWORK]);
}
END_TEST

START_TEST(devices_that_take_turns_add_memory_and_no_speed)
{
    const struct lq_serving_load load = count(LLAMA_2_7B, &BF16, &TRAFFIC);
    const struct lq_serving_setup setup = {&A100, lq_serving_stack_find("hf-2023"), 4, false};
    struct lq_serving one;
    struct lq_serving four;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 1, &one, &err), LQ_OK);
    ck_assert_int_eq(lq_serving_at(&load, &setup, 4, &four, &err), LQ_OK);
    ck_assert_double_eq_tol(four.tokens_per_s, one.tokens_per_s, 1e-9);
    ck_assert_double_eq_tol(four.weights_bytes, one.weights_bytes / 4, 1e-3);
}
END_TEST

START_TEST(a_model_that_does_not_fit_is_told_the_missing_bytes)
{
    const struct lq_serving_load load = count(MIXTRAL, &BF16, &TRAFFIC);
    const struct lq_serving_setup setup = {&A100, lq_serving_stack_find("vllm"), 4, false};
    struct lq_serving s;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 2, &s, &err), LQ_ENOFIT);
    ck_assert_str_eq(err.pointer, "/gpu_count");
    char missing[32];
    snprintf(missing, sizeof missing, "%.0f bytes",
             46702792704.0 + 499 * 131072.0 / 2 - 0.9 * A100.memory_bytes);
    ck_assert_msg(strstr(err.detail, missing) != NULL, "%s in %s", missing, err.detail);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_serving_best(&load, &setup, 2, &s, &err), LQ_ENOFIT);
    ck_assert_str_eq(err.pointer, "/max_serving_gpu_count");
    ck_assert_msg(strstr(err.detail, "4 of them would hold it") != NULL, "%s", err.detail);
    ck_assert_int_eq(lq_serving_fewest(&load, &setup), 4);
}
END_TEST

START_TEST(a_gpu_without_rates_is_refused)
{
    const struct lq_serving_load load = count(LLAMA_2_7B, &BF16, &TRAFFIC);
    struct lq_gpu blank = A100;
    blank.memory_bandwidth_bytes_per_s = 0.0;
    const struct lq_serving_setup setup = {&blank, lq_serving_stack_find("vllm"), 4, false};
    struct lq_serving s;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_serving_at(&load, &setup, 1, &s, &err), LQ_ENUMBER);
    ck_assert_str_eq(err.pointer, "/gpu");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serving");
    TCase *tests = tcase_create("serving");
    tcase_add_test(tests, a_token_of_llama_2_7b_holds_512_kib);
    tcase_add_test(tests, a_token_of_llama_31_8b_holds_a_quarter_of_it);
    tcase_add_test(tests, fp8_and_int8_halve_the_cache_and_fp32_doubles_it);
    tcase_add_test(tests, a_token_of_deepseek_v3_holds_the_latent_and_the_rotary_key);
    tcase_add_test(tests, gemma_3_holds_no_more_than_its_windows);
    tcase_add_test(tests, mamba_holds_the_same_whatever_the_length);
    tcase_add_test(tests, mixtral_stores_all_experts_and_reads_those_visited);
    tcase_add_test(tests, quantisation_leaves_embedding_head_and_norms);
    tcase_add_test(tests, concurrent_requests_fill_the_memory);
    tcase_add_test(tests, the_latent_of_mla_is_held_by_every_device);
    tcase_add_test(tests, one_request_reads_the_weights_for_each_token);
    tcase_add_test(tests, tensor_parallel_devices_reduce_twice_per_layer);
    tcase_add_test(tests, expert_parallel_devices_hold_whole_experts);
    tcase_add_test(tests, devices_that_take_turns_add_memory_and_no_speed);
    tcase_add_test(tests, a_model_that_does_not_fit_is_told_the_missing_bytes);
    tcase_add_test(tests, a_gpu_without_rates_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
