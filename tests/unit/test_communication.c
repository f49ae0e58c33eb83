/* Flows of small_moe() counted by hand: 8 layers of hidden 1024, 16 heads over 4 key-value heads of
 * 64, 8 experts with 2 active; micro-batches of 4096 tokens in bf16. */
#include "core/finetune/communication.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

enum { TOKENS = 4096, HIDDEN = 1024 };

static const struct lq_gpu BOARD = {
    .id = "board", .interconnect_bytes_per_s = 600e9, .pcie_generation = 4};
static const struct lq_network NETWORK = {.node_gpu_count = 8, .internode_bytes_per_s = 200e9};
static struct lq_model model;
static struct lq_training training;

static struct lq_communication_job job_of(const struct lq_layout *layout)
{
    model = small_moe();
    training = (struct lq_training){.accumulation_steps = 4};
    return (struct lq_communication_job){.model = &model,
                                         .gpu = &BOARD,
                                         .layout = layout,
                                         .network = &NETWORK,
                                         .training = &training,
                                         .active_experts = 2,
                                         .micro_batch_tokens = TOKENS,
                                         .weights_bytes = 8e9,
                                         .expert_weights_bytes = 6e9,
                                         .gradient_bytes = 4e9,
                                         .expert_gradient_bytes = 3e9,
                                         .updated_bytes = 2e9,
                                         .expert_updated_bytes = 1.5e9};
}

static struct lq_layout layout_of(int64_t data, int64_t tensor, int64_t pipeline, int64_t expert,
                                  int64_t context)
{
    const int64_t gpus = data * tensor * pipeline * context;
    return (struct lq_layout){.data = data,
                              .tensor = tensor,
                              .pipeline = pipeline,
                              .expert = expert,
                              .context = context,
                              .nodes = (gpus + 7) / 8};
}

/* The nth flow of a kind in a stage, or NULL. */
static const struct lq_flow *find(const struct lq_communication *c, enum lq_flow_kind kind,
                                  enum lq_flow_stage stage, int n)
{
    for (int i = 0; i < c->flow_count; i++) {
        if (c->flows[i].kind == kind && c->flows[i].stage == stage && n-- == 0) {
            return &c->flows[i];
        }
    }
    return NULL;
}

static const struct lq_flow *must_find(const struct lq_communication *c, enum lq_flow_kind kind,
                                       enum lq_flow_stage stage)
{
    const struct lq_flow *flow = find(c, kind, stage, 0);
    ck_assert_msg(flow != NULL, "no flow %s", LQ_FLOW_NAMES[kind]);
    return flow;
}

START_TEST(one_device_talks_to_nobody)
{
    const struct lq_communication_job job = job_of(&LQ_LAYOUT_SINGLE);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(c.flow_count, 0);
    ck_assert_double_eq(c.stretch, 1.0);
}
END_TEST

START_TEST(replicas_sum_their_gradients_once_a_step)
{
    const struct lq_layout layout = layout_of(8, 1, 1, 1, 1);
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(c.flow_count, 1);
    const struct lq_flow *f = must_find(&c, LQ_FLOW_GRADIENT_REDUCE, LQ_FLOW_BACKWARD);
    ck_assert_int_eq(f->collective, LQ_COLLECTIVE_ALL_REDUCE);
    ck_assert(f->per_step);
    ck_assert_int_eq(f->members, 8);
    ck_assert_double_eq(f->bytes, 4e9);
    ck_assert_double_eq(f->calls, 153.0); /* of 25 MiB */
    assert_close("time", f->time_s, 2.0 * 7 / 8 * 4e9 / 240e9 + 153 * (8.4e-6 + 14 * 3.4e-6), 1e-9);
}
END_TEST

START_TEST(stage_1_scatters_gradients_and_gathers_what_was_updated)
{
    struct lq_layout layout = layout_of(8, 1, 1, 1, 1);
    layout.zero_stage = 1;
    struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(c.flow_count, 2);
    const struct lq_flow *scatter = must_find(&c, LQ_FLOW_GRADIENT_SCATTER, LQ_FLOW_BACKWARD);
    ck_assert(scatter->per_step);
    ck_assert_double_eq(scatter->calls, 4.0); /* of 1e9 bytes */
    const struct lq_flow *gather = must_find(&c, LQ_FLOW_UPDATE_GATHER, LQ_FLOW_UPDATE);
    ck_assert_double_eq(gather->bytes, 2e9);
    ck_assert_double_eq(gather->overlap, 0.0);
    job.bucket_bytes = 1e9 / 8.0;
    job.owner_broadcast_s = 0.5;
    const struct lq_communication other = lq_communication_count(&job);
    ck_assert_double_eq(must_find(&other, LQ_FLOW_GRADIENT_SCATTER, LQ_FLOW_BACKWARD)->calls, 32.0);
    assert_close("in turn", must_find(&other, LQ_FLOW_UPDATE_GATHER, LQ_FLOW_UPDATE)->time_s,
                 gather->time_s + 14 * (8.4e-6 + 7 * 3.4e-6) + 8 * 0.5, 1e-9);
}
END_TEST

START_TEST(stage_2_scatters_with_every_micro_batch)
{
    struct lq_layout layout = layout_of(8, 1, 1, 1, 1);
    layout.zero_stage = 2;
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert(!must_find(&c, LQ_FLOW_GRADIENT_SCATTER, LQ_FLOW_BACKWARD)->per_step);
    ck_assert(must_find(&c, LQ_FLOW_UPDATE_GATHER, LQ_FLOW_UPDATE)->per_step);
}
END_TEST

START_TEST(stage_3_gathers_weights_for_each_use)
{
    struct lq_layout layout = layout_of(16, 2, 1, 1, 2);
    layout.zero_stage = 3;
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    for (int stage = LQ_FLOW_FORWARD; stage <= LQ_FLOW_BACKWARD; stage++) {
        const struct lq_flow *f = must_find(&c, LQ_FLOW_WEIGHT_GATHER, (enum lq_flow_stage)stage);
        ck_assert(!f->per_step);
        ck_assert_int_eq(f->members, 32);
        ck_assert_double_eq(f->bytes, 4e9); /* of two tensor ranks */
        ck_assert_double_eq(f->calls, 9.0); /* 8 layers and the rest */
    }
    ck_assert(!must_find(&c, LQ_FLOW_GRADIENT_SCATTER, LQ_FLOW_BACKWARD)->per_step);
    ck_assert_ptr_null(find(&c, LQ_FLOW_UPDATE_GATHER, LQ_FLOW_UPDATE, 0));
}
END_TEST

START_TEST(shard_groups_reduce_shards_among_each_other)
{
    struct lq_layout layout = layout_of(32, 1, 1, 1, 1);
    layout.zero_stage = 1;
    layout.zero_group = 8;
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(must_find(&c, LQ_FLOW_GRADIENT_SCATTER, LQ_FLOW_BACKWARD)->members, 8);
    ck_assert_int_eq(must_find(&c, LQ_FLOW_UPDATE_GATHER, LQ_FLOW_UPDATE)->members, 8);
    const struct lq_flow *reduce = must_find(&c, LQ_FLOW_GRADIENT_REDUCE, LQ_FLOW_BACKWARD);
    ck_assert_int_eq(reduce->members, 4);
    ck_assert_double_eq(reduce->bytes, 0.5e9);
    /* each of 8 devices has an eighth of the node's network */
    assert_close("time", reduce->time_s, 2.0 * 3 / 4 * 0.5e9 / 22.5e9 + 4 * (8.4e-6 + 84e-6), 1e-3);
}
END_TEST

START_TEST(tensor_ranks_sum_twice_a_layer_and_direction)
{
    const struct lq_layout layout = layout_of(1, 4, 1, 1, 1);
    const struct lq_communication_job job = job_of(&layout);
    struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(c.flow_count, 2);
    const struct lq_flow *f = must_find(&c, LQ_FLOW_TENSOR, LQ_FLOW_FORWARD);
    ck_assert_double_eq(f->calls, 17.0);
    ck_assert_double_eq(f->bytes, 17.0 * TOKENS * HIDDEN * 2);
    ck_assert_double_eq(f->overlap, 0.0);
    ck_assert_double_eq(must_find(&c, LQ_FLOW_TENSOR, LQ_FLOW_BACKWARD)->bytes, f->bytes);
    training.checkpointing = LQ_CHECKPOINTING_FULL;
    training.precision = LQ_PRECISION_FP32;
    c = lq_communication_count(&job);
    ck_assert_double_eq(must_find(&c, LQ_FLOW_TENSOR, LQ_FLOW_FORWARD)->bytes,
                        17.0 * TOKENS * HIDDEN * 4);
    ck_assert_double_eq(must_find(&c, LQ_FLOW_TENSOR, LQ_FLOW_BACKWARD)->bytes,
                        34.0 * TOKENS * HIDDEN * 4);
}
END_TEST

START_TEST(pipelines_pass_activations_and_wait)
{
    const struct lq_layout layout = layout_of(1, 2, 4, 1, 1);
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    const struct lq_flow *f = must_find(&c, LQ_FLOW_PIPELINE, LQ_FLOW_FORWARD);
    ck_assert_double_eq(f->bytes, TOKENS * HIDDEN * 2 / 2.0);
    ck_assert_double_eq(must_find(&c, LQ_FLOW_TENSOR, LQ_FLOW_FORWARD)->calls, 5.0);
    assert_close("bubble", c.stretch, (4.0 + 3.0) / 4.0, 1e-12);
    assert_close("uneven", lq_pipeline_stretch(3, 6, 8), 8.0 / 6.0 * 9.0 / 8.0, 1e-12);
    ck_assert_double_eq(lq_pipeline_stretch(1, 1, 7), 1.0);
}
END_TEST

START_TEST(experts_send_tokens_there_and_back)
{
    const struct lq_layout layout = layout_of(8, 1, 1, 4, 1);
    struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    const struct lq_flow *f = must_find(&c, LQ_FLOW_EXPERT, LQ_FLOW_FORWARD);
    ck_assert_int_eq(f->members, 4);
    ck_assert_double_eq(f->calls, 16.0);
    ck_assert_double_eq(f->bytes, 16.0 * 2 * TOKENS * HIDDEN * 2);
    /* the rest of the weights has 8 replicas, an expert 2 */
    const struct lq_flow *rest = find(&c, LQ_FLOW_GRADIENT_REDUCE, LQ_FLOW_BACKWARD, 0);
    const struct lq_flow *experts = find(&c, LQ_FLOW_GRADIENT_REDUCE, LQ_FLOW_BACKWARD, 1);
    ck_assert_int_eq(rest->members, 8);
    ck_assert_double_eq(rest->bytes, 1e9);
    ck_assert_int_eq(experts->members, 2);
    ck_assert_double_eq(experts->bytes, 3e9 / 4.0);
    struct lq_expert_load load = {0};
    struct lq_error err = {0};
    const double tokens[] = {2, 2, 1, 1, 1, 1, 0, 0};
    ck_assert_int_eq(lq_expert_load_set(tokens, 8, 8, &load, &err), LQ_OK);
    job.expert_load = &load;
    const struct lq_communication busy = lq_communication_count(&job);
    assert_close("the busiest", must_find(&busy, LQ_FLOW_EXPERT, LQ_FLOW_FORWARD)->bytes,
                 2.0 * f->bytes, 1e-12);
}
END_TEST

START_TEST(expert_shards_are_fewer)
{
    struct lq_layout layout = layout_of(8, 1, 1, 4, 1);
    layout.zero_stage = 3;
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    const struct lq_flow *experts = find(&c, LQ_FLOW_WEIGHT_GATHER, LQ_FLOW_FORWARD, 1);
    ck_assert_int_eq(experts->members, 2);
    ck_assert_double_eq(experts->bytes, 1.5e9);
    layout.zero_group = 2; /* smaller than an expert group: experts have whole replicas */
    const struct lq_communication small = lq_communication_count(&job);
    ck_assert_ptr_null(find(&small, LQ_FLOW_WEIGHT_GATHER, LQ_FLOW_FORWARD, 1));
}
END_TEST

START_TEST(context_ranks_pass_keys_and_values_around)
{
    const struct lq_layout layout = layout_of(1, 2, 1, 1, 4);
    const struct lq_communication_job job = job_of(&layout);
    const struct lq_communication c = lq_communication_count(&job);
    const struct lq_flow *f = must_find(&c, LQ_FLOW_CONTEXT, LQ_FLOW_FORWARD);
    ck_assert_int_eq(f->members, 4);
    /* 3 hops of a quarter of the tokens, 8 layers of 2 * 4 heads of 64, half of them each */
    ck_assert_double_eq(f->bytes, 3.0 * TOKENS / 4 * 8 * 512 * 2 / 2);
    ck_assert_double_eq(f->calls, 24.0);
    ck_assert_double_eq(must_find(&c, LQ_FLOW_CONTEXT, LQ_FLOW_BACKWARD)->bytes, 2.0 * f->bytes);
    /* context ranks hold whole weights: their gradients are summed, too */
    ck_assert_int_eq(must_find(&c, LQ_FLOW_GRADIENT_REDUCE, LQ_FLOW_BACKWARD)->members, 4);
}
END_TEST

START_TEST(offloaded_states_cross_the_bus)
{
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    const struct lq_communication_job job = job_of(&layout);
    training.options = LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(c.flow_count, 1);
    const struct lq_flow *f = must_find(&c, LQ_FLOW_HOST, LQ_FLOW_UPDATE);
    ck_assert_double_eq(f->bytes, 6e9);
    assert_close("time", f->time_s, 6e9 / (0.75 * 32e9), 1e-12);
    layout = layout_of(4, 1, 1, 1, 1);
    layout.zero_stage = 3;
    const struct lq_communication sharded = lq_communication_count(&job);
    ck_assert_double_eq(must_find(&sharded, LQ_FLOW_HOST, LQ_FLOW_UPDATE)->bytes, 1.5e9);
    ck_assert_double_eq(must_find(&sharded, LQ_FLOW_HOST, LQ_FLOW_FORWARD)->bytes, 2e9);
    ck_assert_double_eq(must_find(&sharded, LQ_FLOW_HOST, LQ_FLOW_BACKWARD)->bytes, 2e9);
}
END_TEST

START_TEST(every_flow_fits_the_list)
{
    struct lq_layout layout = layout_of(8, 2, 2, 2, 2);
    layout.zero_stage = 3;
    layout.zero_group = 8;
    const struct lq_communication_job job = job_of(&layout);
    training.options = LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER);
    const struct lq_communication c = lq_communication_count(&job);
    ck_assert_int_eq(c.flow_count, LQ_FLOWS_MAX);
    for (int i = 0; i < c.flow_count; i++) {
        ck_assert(isfinite(c.flows[i].time_s) && c.flows[i].time_s > 0.0);
    }
}
END_TEST

START_TEST(every_kind_and_collective_has_a_name)
{
    ck_assert_str_eq(LQ_FLOW_NAMES[LQ_FLOW_HOST], "host");
    ck_assert_ptr_null(LQ_FLOW_NAMES[LQ_FLOW_KIND_COUNT]);
    ck_assert_str_eq(LQ_COLLECTIVE_NAMES[LQ_COLLECTIVE_HOST_COPY], "host_copy");
    ck_assert_ptr_null(LQ_COLLECTIVE_NAMES[LQ_COLLECTIVE_HOST_COPY + 1]);
}
END_TEST

START_TEST(flows_hide_behind_what_is_computed_beside_them)
{
    const struct lq_communication c = {
        .flow_count = 5,
        .flows = {{.stage = LQ_FLOW_FORWARD, .time_s = 4.0, .overlap = 0.5},
                  {.stage = LQ_FLOW_BACKWARD, .time_s = 4.0, .overlap = 0.5},
                  {.stage = LQ_FLOW_BACKWARD, .time_s = 4.0},
                  {.stage = LQ_FLOW_BACKWARD, .time_s = 4.0, .overlap = 0.5, .per_step = true},
                  {.stage = LQ_FLOW_UPDATE, .time_s = 4.0, .overlap = 0.5}}};
    double exposed_s[LQ_FLOWS_MAX];
    lq_communication_expose(&c, 1.0, 3.0, exposed_s);
    const double expected[] = {3.0, 2.0, 4.0, 3.0, 4.0};
    for (int i = 0; i < c.flow_count; i++) {
        ck_assert_double_eq(exposed_s[i], expected[i]);
    }
}
END_TEST

/* The fall of tokens/s with the devices: InternLM-7B (7.32e9 weights, bf16) on 8..1024 A100 with 4
 * x 200 Gbit/s a node (assumed), 4 micro-batches of 4096 tokens, ZeRO-1 in groups of 8
 * (internevo.csv rows 9-14): what the flows add to the step of 8 devices explains the difference
 * within 3 % of the step. From 512 on stragglers cost more than any flow. */
START_TEST(flows_explain_how_a_7b_scales_to_256_devices)
{
    static const struct {
        int64_t gpus;
        double tokens_per_s;
    } rows[] = {{8, 4078}, {16, 3939}, {32, 3919}, {64, 3944}, {128, 3928}, {256, 3920}};
    const struct lq_network network = {.node_gpu_count = 8, .internode_bytes_per_s = 100e9};
    double alone_s = 0.0;
    double flows_alone_s = 0.0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lq_layout layout = layout_of(rows[i].gpus, 1, 1, 1, 1);
        layout.zero_stage = 1;
        layout.zero_group = 8;
        struct lq_communication_job job = job_of(&layout);
        job.network = &network;
        job.expert_gradient_bytes = 0.0;
        job.gradient_bytes = 2 * 7.32e9;
        job.updated_bytes = 2 * 7.32e9;
        const struct lq_communication c = lq_communication_count(&job);
        double flows_s = 0.0;
        double exposed_s[LQ_FLOWS_MAX];
        lq_communication_expose(&c, 0.3, 0.6, exposed_s);
        for (int k = 0; k < c.flow_count; k++) {
            flows_s += exposed_s[k];
        }
        const double step_s = 4.0 * 4096.0 / rows[i].tokens_per_s;
        if (i == 0) {
            alone_s = step_s;
            flows_alone_s = flows_s;
        }
        assert_close("step", alone_s + flows_s - flows_alone_s, step_s, 0.03);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("communication");
    TCase *tests = tcase_create("communication");
    tcase_add_test(tests, one_device_talks_to_nobody);
    tcase_add_test(tests, replicas_sum_their_gradients_once_a_step);
    tcase_add_test(tests, stage_1_scatters_gradients_and_gathers_what_was_updated);
    tcase_add_test(tests, stage_2_scatters_with_every_micro_batch);
    tcase_add_test(tests, stage_3_gathers_weights_for_each_use);
    tcase_add_test(tests, shard_groups_reduce_shards_among_each_other);
    tcase_add_test(tests, tensor_ranks_sum_twice_a_layer_and_direction);
    tcase_add_test(tests, pipelines_pass_activations_and_wait);
    tcase_add_test(tests, experts_send_tokens_there_and_back);
    tcase_add_test(tests, expert_shards_are_fewer);
    tcase_add_test(tests, context_ranks_pass_keys_and_values_around);
    tcase_add_test(tests, offloaded_states_cross_the_bus);
    tcase_add_test(tests, every_flow_fits_the_list);
    tcase_add_test(tests, every_kind_and_collective_has_a_name);
    tcase_add_test(tests, flows_hide_behind_what_is_computed_beside_them);
    tcase_add_test(tests, flows_explain_how_a_7b_scales_to_256_devices);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
