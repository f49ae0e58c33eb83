/* Small layers of every kind, opened on the CPU. */
#include "tests/kernels/layer_fixture.h"

#include "tests/kernels/subject.h"

/* Widths are such that every matrix has a whole number of nf4's scales: 16,384 weights each. */
struct lq_model dense(void)
{
    return (struct lq_model){
        .hidden_size = 128,
        .vocab_size = 256,
        .layer_kinds = 1,
        .layers = {
            {.count = 1,
             .mixer = {.kind = LQ_MIXER_ATTENTION, .heads = 4, .kv_heads = 4, .head_size = 32},
             .ffn = {.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 256},
             .norm_parameters = 256}}};
}

struct lq_model moe(void)
{
    struct lq_model model = dense();
    model.layers[0].ffn = (struct lq_ffn){.kind = LQ_FFN_MOE,
                                          .gated = true,
                                          .intermediate_size = 128,
                                          .experts = 128, /* so that the router is a block, too */
                                          .active_experts = 32,
                                          .shared_size = 128};
    return model;
}

struct lq_model mamba(void)
{
    struct lq_model model = dense();
    model.layers[0].mixer = (struct lq_mixer){.kind = LQ_MIXER_MAMBA,
                                              .inner_size = 256,
                                              .state_size = 16,
                                              .conv_size = 4,
                                              .dt_rank = 64,
                                              .small_parameters = 256 * (4 + 16 + 3)};
    return model;
}

struct lq_model mla(void)
{
    struct lq_model model = dense();
    model.layers[0].mixer = (struct lq_mixer){.kind = LQ_MIXER_MLA,
                                              .heads = 4,
                                              .q_rank = 48,
                                              .kv_rank = 40,
                                              .nope_size = 16,
                                              .rope_size = 8,
                                              .value_size = 24};
    return model;
}

const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
const struct lq_method LORA = {.kind = LQ_METHOD_LORA, .rank = 8, .targets = LQ_TARGETS_ALL_LINEAR};
const struct lq_method QLORA = {.kind = LQ_METHOD_QLORA,
                                .rank = 8,
                                .targets = LQ_TARGETS_ALL_LINEAR,
                                .quantization = LQ_QUANTIZATION_NF4_DQ};

struct lq_device *device;
struct lq_space space;
struct lq_training_layer *layer;

void open_layer(const struct lq_model *model, const struct lq_method *method,
                enum lq_checkpointing checkpointing, int64_t rows, int64_t tokens)
{
    const struct lq_layer_job job = {.model = model,
                                     .method = method,
                                     .checkpointing = checkpointing,
                                     .rows = rows,
                                     .tokens = tokens,
                                     .seed = 11};
    lq_space_open(&space, lq_cpu_backend(), device, LQ_ELEMENT_F32);
    OK(lq_layer_open(&space, &job, 0, &layer, &err));
}

void close_layer(void)
{
    lq_layer_close(layer);
    layer = NULL;
    lq_space_close(&space);
}

void set_up(void)
{
    device = open_device(2);
}

void tear_down(void)
{
    if (layer != NULL) {
        close_layer();
    }
    release_all();
}
