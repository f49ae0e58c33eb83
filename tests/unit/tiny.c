/* See tiny.h. */
#include "tests/unit/tiny.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

static const struct lq_mixer TINY_ATTENTION = {
    .kind = LQ_MIXER_ATTENTION, .heads = 2, .kv_heads = 1, .head_size = 4};

struct lq_model tiny_dense(void)
{
    return (struct lq_model){
        .id = "tiny-dense",
        .type = "llama",
        .hidden_size = 8,
        .vocab_size = 10,
        .embedding_parameters = 80,
        .head_parameters = 80,
        .final_norm_parameters = 8,
        .layer_kinds = 1,
        .layers = {{.count = 3,
                    .mixer = TINY_ATTENTION,
                    .ffn = {.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 16},
                    .norm_parameters = 16}}};
}

struct lq_model tiny_moe(void)
{
    struct lq_model model = tiny_dense();
    snprintf(model.id, sizeof model.id, "tiny-moe");
    model.layer_kinds = 2;
    model.layers[1] = (struct lq_layer){.count = 2,
                                        .mixer = TINY_ATTENTION,
                                        .ffn = {.kind = LQ_FFN_MOE,
                                                .gated = true,
                                                .intermediate_size = 12,
                                                .experts = 4,
                                                .active_experts = 2},
                                        .norm_parameters = 16};
    return model;
}

struct lq_model tiny_mamba(void)
{
    struct lq_model model = tiny_dense();
    snprintf(model.id, sizeof model.id, "tiny-mamba");
    model.layers[0] = (struct lq_layer){.count = 2,
                                        .mixer = {.kind = LQ_MIXER_MAMBA,
                                                  .inner_size = 16,
                                                  .state_size = 3,
                                                  .conv_size = 4,
                                                  .dt_rank = 2},
                                        .norm_parameters = 8};
    return model;
}

const struct lq_stack TINY_STACK = {.id = "tiny",
                                    .matmul_efficiency = 0.5,
                                    .bandwidth_efficiency = 0.5,
                                    .dequantization_efficiency = 0.25,
                                    .call_s = 1.0,
                                    .input_row_s = 2.0,
                                    .context_bytes = 1000.0,
                                    .fragmentation = 0.25,
                                    .adapter_bytes = 4.0,
                                    .lora_input_bytes = 3.0,
                                    .head_bytes_per_logit = 5.0,
                                    .norm_bytes_per_element = 7.0};

struct lq_gpu tiny_gpu(void)
{
    return (struct lq_gpu){.id = "tiny",
                           .memory_bytes = 1e6,
                           .memory_bandwidth_bytes_per_s = 10.0,
                           .fp32_flop_per_s = 50.0,
                           .fp16_flop_per_s = 100.0,
                           .interconnect_bytes_per_s = 8.0};
}

static const struct lq_mixer SMALL_ATTENTION = {
    .kind = LQ_MIXER_ATTENTION, .heads = 16, .kv_heads = 4, .head_size = 64};

struct lq_model small_moe(void)
{
    return (struct lq_model){.id = "small-moe",
                             .type = "mixtral",
                             .hidden_size = 1024,
                             .vocab_size = 32000,
                             .context_tokens = 4096,
                             .embedding_parameters = 32768000,
                             .head_parameters = 32768000,
                             .final_norm_parameters = 1024,
                             .layer_kinds = 1,
                             .layers = {{.count = 8,
                                         .mixer = SMALL_ATTENTION,
                                         .ffn = {.kind = LQ_FFN_MOE,
                                                 .gated = true,
                                                 .intermediate_size = 2048,
                                                 .experts = 8,
                                                 .active_experts = 2},
                                         .norm_parameters = 2048}}};
}

static struct lq_model small_dense(void)
{
    struct lq_model model = small_moe();
    snprintf(model.id, sizeof model.id, "small-dense");
    model.layers[0].ffn =
        (struct lq_ffn){.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 4096};
    return model;
}

static const struct lq_gpu SMALL_GPU_AS_NEW = {.id = "S1",
                                               .memory_bytes = 24e9,
                                               .memory_is_reported = true,
                                               .memory_nominal_bytes = 24.0 * 1073741824.0,
                                               .memory_bandwidth_bytes_per_s = 600e9,
                                               .fp32_flop_per_s = 30e12,
                                               .fp16_flop_per_s = 120e12,
                                               .interconnect_bytes_per_s = 64e9};
struct lq_gpu SMALL_GPU;

struct lq_job small_job(void)
{
    static struct lq_model model;
    static struct lq_lengths lengths;
    static struct lq_length_bin bin;
    const struct lq_length_bin raw = {512, 1.0};
    const struct lq_padding_rule rule = {LQ_PADDING_LONGEST, 0, 8};
    struct lq_error err = {0};
    model = small_moe();
    SMALL_GPU = SMALL_GPU_AS_NEW;
    ck_assert_int_eq(lq_lengths_prepare(&raw, 1, &rule, &bin, &lengths, &err), LQ_OK);
    return (struct lq_job){
        .model = &model,
        .gpu = &SMALL_GPU,
        .gpu_count = 1,
        .network = {.node_gpu_count = LQ_NODE_GPUS_DEFAULT},
        .method = {.kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR},
        .training = {.checkpointing = LQ_CHECKPOINTING_FULL, .accumulation_steps = 1},
        .active_experts = 2,
        .lengths = &lengths,
        .lengths_id = "",
        .fixed_tokens = 512,
        .queries = 1000.0,
        .epochs = 1.0,
        .stack = "hf-2024",
        .confidence = 0.9};
}

const struct lq_evidence NOTHING = {.fit_count = 0};

struct lq_estimate quote(const struct lq_job *job, const struct lq_evidence *evidence)
{
    struct lq_estimate out;
    struct lq_error err = {0};
    const enum lq_code code = lq_estimate(job, evidence, &out, &err);
    ck_assert_msg(code == LQ_OK, "%s %s %s", lq_code_slug(code), err.pointer, err.detail);
    return out;
}

struct lq_error refusal(const struct lq_job *job, const struct lq_evidence *evidence)
{
    struct lq_estimate out;
    struct lq_error err = {0};
    ck_assert_int_ne(lq_estimate(job, evidence, &out, &err), LQ_OK);
    return err;
}

bool warns(const struct lq_estimate *estimate, enum lq_warning warning)
{
    return (estimate->warnings & (1u << warning)) != 0;
}

static const struct lq_model *find_model(const void *context, const char *id)
{
    static struct lq_model moe;
    static struct lq_model dense;
    (void)context;
    moe = small_moe();
    dense = small_dense();
    if (strcasecmp(id, moe.id) == 0) {
        return &moe;
    }
    return strcasecmp(id, dense.id) == 0 ? &dense : NULL;
}

static const struct lq_gpu *find_gpu(const void *context, const char *id)
{
    (void)context;
    return strcasecmp(id, SMALL_GPU_AS_NEW.id) == 0 ? &SMALL_GPU_AS_NEW : NULL;
}

static const char *find_provider(const void *context, const char *id)
{
    (void)context;
    return strcasecmp(id, "cheap-2024") == 0 ? "cheap-2024" : NULL;
}

static const char *find_stack(const void *context, const char *id)
{
    (void)context;
    if (strcasecmp(id, "hf-2024") == 0) {
        return "hf-2024";
    }
    if (strcasecmp(id, "vllm") == 0) {
        return "vllm";
    }
    return strcasecmp(id, "torchtune") == 0 ? "torchtune" : NULL;
}

static bool find_lengths(const void *context, const char *id, struct lq_named_lengths *out)
{
    static const struct lq_length_bin BINS[] = {{100, 3.0}, {200, 1.0}};
    (void)context;
    *out = (struct lq_named_lengths){"two", BINS, 2, 4.0};
    return strcasecmp(id, "two") == 0;
}

const struct lq_lookup TINY_LOOKUP = {.model = find_model,
                                      .gpu = find_gpu,
                                      .provider = find_provider,
                                      .stack = find_stack,
                                      .lengths = find_lengths};

void assert_close(const char *what, double got, double want, double relative)
{
    ck_assert_msg(fabs(got - want) <= relative * fabs(want),
                  "%s: got %.12g, want %.12g (within %g)", what, got, want, relative);
}
