/* The work of a micro-batch of models that were counted by hand. Calls and the
 * optimizer are in test_work_calls.c, several devices in test_work_layout.c, seconds in
 * test_step_time.c. */
#include "core/finetune/work.h"
#include "core/finetune/work_traffic.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = 2, .targets = LQ_TARGETS_ATTENTION};
static const struct lq_method QLORA = {.kind = LQ_METHOD_QLORA,
                                       .rank = 2,
                                       .targets = LQ_TARGETS_EXPERTS,
                                       .quantization = LQ_QUANTIZATION_NF4};
static const struct lq_training PLAIN = {.accumulation_steps = 1};

static struct lq_work_table count_on(const struct lq_model *model, const struct lq_method *method,
                                     const struct lq_training *training,
                                     const struct lq_layout *layout)
{
    const struct lq_work_job job = {.model = model,
                                    .method = method,
                                    .training = training,
                                    .stack = &TINY_STACK,
                                    .layout = layout};
    return lq_work_count(&job);
}

static struct lq_work_table count_with(const struct lq_method *method,
                                       const struct lq_training *training)
{
    const struct lq_model model = tiny_moe();
    return count_on(&model, method, training, &LQ_LAYOUT_SINGLE);
}

static struct lq_work_table count(const struct lq_method *method,
                                  enum lq_checkpointing checkpointing)
{
    struct lq_training training = PLAIN;
    training.checkpointing = checkpointing;
    return count_with(method, &training);
}

#define FORWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_FORWARD])
#define AGAIN(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_RECOMPUTATION])
#define BACKWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_BACKWARD])

/* Cells of tiny_moe: attention 5 * 192, dense MLP 3 * 384, router 2 * 32, one expert in both layers
 * 2 * 288, all of them 2 * 4 * 288, head 10 * 8. */
enum { ATTENTION = 960, MLP = 1152, ROUTER = 64, ONE_EXPERT = 576, EXPERTS = 2304, HEAD = 80 };
enum { LAYERS = 5 };

START_TEST(full_tuning_runs_backward_at_twice_the_forward)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(FORWARD(w, ATTENTION).token_flop, 2.0 * ATTENTION);
    ck_assert_double_eq(BACKWARD(w, ATTENTION).token_flop, 4.0 * ATTENTION);
    ck_assert_double_eq(FORWARD(w, MLP).token_flop, 2.0 * MLP);
    ck_assert_double_eq(BACKWARD(w, MLP).token_flop, 4.0 * MLP);
    ck_assert_double_eq(FORWARD(w, ROUTER).token_flop, 2.0 * ROUTER);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).expert_token_flop, 2.0 * ONE_EXPERT);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).token_flop, 0.0);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).expert_token_flop, 4.0 * ONE_EXPERT);
    ck_assert_double_eq(FORWARD(w, HEAD).token_flop, 2.0 * HEAD);
    ck_assert_double_eq(BACKWARD(w, HEAD).token_flop, 4.0 * HEAD);
    ck_assert_double_eq(FORWARD(w, LORA).token_flop, 0.0);
    ck_assert_double_eq(AGAIN(w, MLP).token_flop, 0.0);
}
END_TEST

START_TEST(frozen_weights_need_no_weight_gradient)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(BACKWARD(w, ATTENTION).token_flop, 2.0 * ATTENTION);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).expert_token_flop, 2.0 * ONE_EXPERT);
    ck_assert_double_eq(BACKWARD(w, HEAD).token_flop, 2.0 * HEAD);
    struct lq_method trained = LORA;
    trained.train_embeddings = true;
    const struct lq_work_table t = count(&trained, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(BACKWARD(t, HEAD).token_flop, 4.0 * HEAD);
    ck_assert_double_eq(BACKWARD(t, ATTENTION).token_flop, 2.0 * ATTENTION);
}
END_TEST

START_TEST(adapters_are_trained_beside_what_they_adapt)
{
    /* 2 FLOPs * rank 2 * 56 features of q, k, v, o * 5 layers, twice that in backward */
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(FORWARD(w, LORA).token_flop, 2.0 * 2.0 * 56.0 * LAYERS);
    ck_assert_double_eq(BACKWARD(w, LORA).token_flop, 2.0 * FORWARD(w, LORA).token_flop);
    /* casts of 32 elements in, a sum of 24 out */
    ck_assert_double_eq(FORWARD(w, LORA).token_bytes,
                        (32.0 * EAGER_ACCESSES.lora_input + 24.0 * EAGER_ACCESSES.lora_output) *
                            2.0 * LAYERS);
    ck_assert_double_eq(FORWARD(w, EXPERT_LORA).expert_token_flop, 0.0);
    /* an expert's three matrices of 8 and 12: per expert visited, in two layers */
    const struct lq_work_table e = count(&QLORA, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(FORWARD(e, EXPERT_LORA).expert_token_flop, 2.0 * 2.0 * 60.0 * 2.0);
    ck_assert_double_eq(FORWARD(e, EXPERT_LORA).expert_token_bytes,
                        (28.0 * EAGER_ACCESSES.lora_input + 32.0 * EAGER_ACCESSES.lora_output) *
                            2.0 * 2.0);
    ck_assert_double_eq(FORWARD(e, LORA).token_flop, 0.0);
}
END_TEST

START_TEST(full_checkpointing_runs_the_layers_once_more)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_FULL);
    const enum lq_term in_layers[] = {
        LQ_TERM_NORM,   LQ_TERM_ATTENTION,     LQ_TERM_ATTENTION_SCORES,   LQ_TERM_MLP,
        LQ_TERM_ROUTER, LQ_TERM_EXPERT_MATMUL, LQ_TERM_EXPERT_PERMUTATION, LQ_TERM_EXPERT_OVERHEAD};
    for (size_t i = 0; i < sizeof in_layers / sizeof in_layers[0]; i++) {
        const struct lq_work *stages = w.term[in_layers[i]];
        ck_assert_mem_eq(&stages[LQ_STAGE_RECOMPUTATION], &stages[LQ_STAGE_FORWARD],
                         sizeof stages[0]);
    }
    ck_assert_double_eq(AGAIN(w, HEAD).token_flop, 0.0); /* lies outside the layers */
    ck_assert_double_eq(AGAIN(w, EMBEDDING).token_bytes, 0.0);
    ck_assert_double_eq(BACKWARD(w, MLP).token_flop, 4.0 * MLP);
}
END_TEST

START_TEST(selective_checkpointing_runs_a_part_of_them_again)
{
    const struct lq_work_table none = count(&FULL, LQ_CHECKPOINTING_NONE);
    const struct lq_work_table some = count(&FULL, LQ_CHECKPOINTING_SELECTIVE);
    const struct lq_work_table full = count(&FULL, LQ_CHECKPOINTING_FULL);
    ck_assert_double_eq(AGAIN(none, MLP).token_flop, 0.0);
    ck_assert_double_gt(AGAIN(some, MLP).token_flop, 0.0);
    ck_assert_double_lt(AGAIN(some, MLP).token_flop, AGAIN(full, MLP).token_flop);
    ck_assert_double_lt(AGAIN(some, OVERHEAD).calls, AGAIN(full, OVERHEAD).calls);
}
END_TEST

START_TEST(causal_scores_cost_half_of_all_pairs)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_NONE);
    /* scores and their use: 2 * 2 FLOPs * 8 elements per pair, half masked, five layers */
    ck_assert_double_eq(FORWARD(w, ATTENTION_SCORES).score_flop, 16.0 * LAYERS);
    ck_assert_double_eq(BACKWARD(w, ATTENTION_SCORES).score_flop, 2.5 * 16.0 * LAYERS);
    ck_assert_double_eq(FORWARD(w, ATTENTION_SCORES).score_bytes, 0.0);
}
END_TEST

START_TEST(eager_attention_computes_all_scores_and_writes_them)
{
    struct lq_training eager = PLAIN;
    eager.attention = LQ_ATTENTION_EAGER;
    const struct lq_work_table w = count_with(&FULL, &eager);
    ck_assert_double_eq(FORWARD(w, ATTENTION_SCORES).score_flop, 32.0 * LAYERS);
    ck_assert_double_eq(BACKWARD(w, ATTENTION_SCORES).score_flop, 64.0 * LAYERS);
    /* 12 accesses of 2 bytes for each of 2 heads */
    ck_assert_double_eq(FORWARD(w, ATTENTION_SCORES).score_bytes, 2.0 * 12.0 * 2.0 * LAYERS);
}
END_TEST

START_TEST(latent_attention_scores_keys_and_values_of_their_own_widths)
{
    struct lq_model model = tiny_dense();
    model.layers[0].mixer = (struct lq_mixer){.kind = LQ_MIXER_MLA,
                                              .heads = 2,
                                              .kv_rank = 3,
                                              .nope_size = 4,
                                              .rope_size = 1,
                                              .value_size = 6};
    const struct lq_work_table w = count_on(&model, &FULL, &PLAIN, &LQ_LAYOUT_SINGLE);
    /* 2 FLOPs for each of 4 + 1 + 6 elements of 2 heads, half masked, three layers */
    ck_assert_double_eq(FORWARD(w, ATTENTION_SCORES).score_flop, 22.0 * 3.0);
    const double touched =
        2.0 * 10.0 * EAGER_ACCESSES.query_key + 2.0 * 12.0 * EAGER_ACCESSES.value;
    ck_assert_double_eq(FORWARD(w, ATTENTION).token_bytes, touched * 2.0 * 3.0);
}
END_TEST

START_TEST(weights_are_read_whole_in_every_pass)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_FULL);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).weight_bytes, 2.0 * EXPERTS);
    ck_assert_double_eq(AGAIN(w, EXPERT_MATMUL).weight_bytes, 2.0 * EXPERTS);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).weight_bytes, 2.0 * EXPERTS);
    ck_assert_double_eq(FORWARD(w, ATTENTION).weight_bytes, 2.0 * ATTENTION);
    ck_assert_double_eq(FORWARD(w, HEAD).weight_bytes, 2.0 * HEAD);
    ck_assert_double_eq(FORWARD(w, DEQUANTIZATION).stream_bytes, 0.0);
    struct lq_training wide = PLAIN;
    wide.precision = LQ_PRECISION_FP32;
    ck_assert_double_eq(FORWARD(count_with(&LORA, &wide), MLP).weight_bytes, 4.0 * MLP);
}
END_TEST

START_TEST(quantised_weights_are_read_small_and_written_large_then_read_as_any)
{
    const struct lq_work_table w = count(&QLORA, LQ_CHECKPOINTING_NONE);
    const double per_cell = 0.5625 + 2.0;
    ck_assert_double_eq(FORWARD(w, EXPERT_DEQUANTIZATION).stream_bytes, EXPERTS * per_cell);
    ck_assert_double_eq(BACKWARD(w, EXPERT_DEQUANTIZATION).stream_bytes, EXPERTS * per_cell);
    ck_assert_double_eq(FORWARD(w, DEQUANTIZATION).stream_bytes,
                        (ATTENTION + MLP + ROUTER) * per_cell);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).weight_bytes, 2.0 * EXPERTS);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).expert_token_flop, 2.0 * ONE_EXPERT);
}
END_TEST

START_TEST(elements_are_touched_as_often_as_the_tables_say)
{
    const struct lq_accesses *a = &EAGER_ACCESSES;
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_NONE);
    /* two normalisations of 8 elements in each layer */
    ck_assert_double_eq(FORWARD(w, NORM).token_bytes,
                        2.0 * 2.0 * 8.0 * (a->norm + a->residual) * LAYERS);
    /* q and k of 8 + 4, v and the output of 4 + 8 */
    ck_assert_double_eq(FORWARD(w, ATTENTION).token_bytes,
                        2.0 * 12.0 * (a->query_key + a->value) * LAYERS);
    ck_assert_double_eq(FORWARD(w, MLP).token_bytes, 2.0 * 16.0 * a->gated * 3.0);
    ck_assert_double_eq(FORWARD(w, EXPERT_PERMUTATION).expert_token_bytes,
                        2.0 * (12.0 * a->gated + 8.0 * a->permuted) * 2.0);
    ck_assert_double_eq(FORWARD(w, ROUTER).token_bytes, 2.0 * 4.0 * 2.0 * a->norm * 2.0);
    ck_assert_double_eq(FORWARD(w, HEAD).token_bytes, 2.0 * 10.0 * a->logit);
    ck_assert_double_eq(BACKWARD(w, HEAD).token_bytes, FORWARD(w, HEAD).token_bytes);
    ck_assert_double_eq(FORWARD(w, EMBEDDING).token_bytes, 2.0 * 2.0 * 8.0);
    const enum lq_term twice[] = {LQ_TERM_NORM, LQ_TERM_ATTENTION, LQ_TERM_MLP, LQ_TERM_ROUTER};
    for (int i = 0; i < 4; i++) {
        const struct lq_work *stages = w.term[twice[i]];
        ck_assert_double_eq(stages[LQ_STAGE_BACKWARD].token_bytes,
                            BACKWARD_PASSES * stages[LQ_STAGE_FORWARD].token_bytes);
    }
}
END_TEST

START_TEST(a_network_without_gate_touches_less)
{
    struct lq_model model = tiny_dense();
    model.layers[0].ffn.gated = false;
    const struct lq_work_table w = count_on(&model, &FULL, &PLAIN, &LQ_LAYOUT_SINGLE);
    ck_assert_double_eq(FORWARD(w, MLP).token_bytes, 2.0 * 16.0 * EAGER_ACCESSES.plain * 3.0);
    ck_assert_double_eq(FORWARD(w, MLP).token_flop, 2.0 * 2.0 * 8.0 * 16.0 * 3.0);
    ck_assert_double_eq(FORWARD(w, EXPERT_PERMUTATION).expert_token_bytes, 0.0);
}
END_TEST

START_TEST(shared_experts_are_seen_by_every_token)
{
    struct lq_model model = tiny_moe();
    model.layers[1].ffn.shared_size = 6;
    const struct lq_work_table w = count_on(&model, &FULL, &PLAIN, &LQ_LAYOUT_SINGLE);
    ck_assert_double_eq(FORWARD(w, SHARED_EXPERT).token_flop, 2.0 * 3.0 * 8.0 * 6.0 * 2.0);
    ck_assert_double_eq(FORWARD(w, SHARED_EXPERT).token_bytes,
                        2.0 * 6.0 * EAGER_ACCESSES.gated * 2.0);
    ck_assert_double_eq(FORWARD(w, SHARED_EXPERT).expert_token_flop, 0.0);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).expert_token_flop, 2.0 * ONE_EXPERT);
}
END_TEST

START_TEST(trained_embeddings_scatter_their_gradient_into_the_whole_table)
{
    const struct lq_work_table frozen = count(&LORA, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(BACKWARD(frozen, EMBEDDING).token_bytes, 0.0);
    ck_assert_double_eq(BACKWARD(frozen, EMBEDDING).stream_bytes, 0.0);
    const struct lq_work_table full = count(&FULL, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(BACKWARD(full, EMBEDDING).token_bytes,
                        BACKWARD_PASSES * FORWARD(full, EMBEDDING).token_bytes);
    ck_assert_double_eq(BACKWARD(full, EMBEDDING).stream_bytes, 2.0 * HEAD);
}
END_TEST

START_TEST(a_mamba_layer_projects_touches_and_scans)
{
    const struct lq_model model = tiny_mamba();
    const struct lq_work_table w = count_on(&model, &FULL, &PLAIN, &LQ_LAYOUT_SINGLE);
    /* in 32 x 8, x 8 x 16, dt 16 x 2, out 8 x 16; scan 9 * 3 and convolution 2 * 4 per channel */
    ck_assert_double_eq(FORWARD(w, MAMBA).token_flop, 2.0 * 2.0 * (256.0 + 128.0 + 32.0 + 128.0));
    ck_assert_double_eq(FORWARD(w, MAMBA_SCAN).token_flop, 2.0 * 16.0 * (27.0 + 8.0));
    ck_assert_double_eq(BACKWARD(w, MAMBA_SCAN).token_flop,
                        BACKWARD_PASSES * FORWARD(w, MAMBA_SCAN).token_flop);
    ck_assert_double_eq(FORWARD(w, MAMBA).token_bytes, 2.0 * 2.0 * 16.0 * EAGER_ACCESSES.mamba);
    ck_assert_double_eq(FORWARD(w, NORM).token_bytes,
                        2.0 * 2.0 * 8.0 * (EAGER_ACCESSES.norm + EAGER_ACCESSES.residual));
    const struct lq_calls *k = &EAGER_CALLS;
    assert_close("calls", FORWARD(w, OVERHEAD).calls,
                 2.0 * (k->mamba + 4.0 * k->linear + k->norm) + k->head, 1e-12);
    ck_assert_double_eq(FORWARD(w, ATTENTION_SCORES).score_flop, 0.0);
    ck_assert_double_eq(FORWARD(w, MLP).token_flop, 0.0);
}
END_TEST

START_TEST(each_term_has_its_kind)
{
    const enum lq_term moe[] = {LQ_TERM_ROUTER,
                                LQ_TERM_EXPERT_MATMUL,
                                LQ_TERM_SHARED_EXPERT,
                                LQ_TERM_EXPERT_DEQUANTIZATION,
                                LQ_TERM_EXPERT_PERMUTATION,
                                LQ_TERM_EXPERT_LORA,
                                LQ_TERM_EXPERT_OVERHEAD,
                                LQ_TERM_EXPERT_EXCHANGE};
    const enum lq_term network[] = {LQ_TERM_ALL_REDUCE,       LQ_TERM_WEIGHT_GATHER,
                                    LQ_TERM_TENSOR_PARALLEL,  LQ_TERM_EXPERT_EXCHANGE,
                                    LQ_TERM_CONTEXT_EXCHANGE, LQ_TERM_HOST_TRANSFER,
                                    LQ_TERM_PIPELINE};
    int mixtures = 0;
    int flows = 0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        const enum lq_term term = (enum lq_term)t;
        mixtures += lq_term_is_moe(term) ? 1 : 0;
        flows += lq_term_is_network(term) ? 1 : 0;
        ck_assert(!lq_term_is_routed(term) || lq_term_is_moe(term));
        ck_assert_ptr_nonnull(LQ_TERM_NAMES[t]);
        for (int u = 0; u < t; u++) {
            ck_assert_str_ne(LQ_TERM_NAMES[t], LQ_TERM_NAMES[u]);
        }
    }
    for (int i = 0; i < 8; i++) {
        ck_assert(lq_term_is_moe(moe[i]));
    }
    for (int i = 0; i < 7; i++) {
        ck_assert(lq_term_is_network(network[i]));
    }
    ck_assert_int_eq(mixtures, 8);
    ck_assert_int_eq(flows, 7);
    ck_assert(!lq_term_is_routed(LQ_TERM_ROUTER) && !lq_term_is_routed(LQ_TERM_SHARED_EXPERT));
    ck_assert(!lq_term_is_network(LQ_TERM_COUNT));
    ck_assert_ptr_null(LQ_TERM_NAMES[LQ_TERM_COUNT]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work");
    TCase *tests = tcase_create("work");
    tcase_add_test(tests, full_tuning_runs_backward_at_twice_the_forward);
    tcase_add_test(tests, frozen_weights_need_no_weight_gradient);
    tcase_add_test(tests, adapters_are_trained_beside_what_they_adapt);
    tcase_add_test(tests, full_checkpointing_runs_the_layers_once_more);
    tcase_add_test(tests, selective_checkpointing_runs_a_part_of_them_again);
    tcase_add_test(tests, causal_scores_cost_half_of_all_pairs);
    tcase_add_test(tests, eager_attention_computes_all_scores_and_writes_them);
    tcase_add_test(tests, latent_attention_scores_keys_and_values_of_their_own_widths);
    tcase_add_test(tests, weights_are_read_whole_in_every_pass);
    tcase_add_test(tests, quantised_weights_are_read_small_and_written_large_then_read_as_any);
    tcase_add_test(tests, elements_are_touched_as_often_as_the_tables_say);
    tcase_add_test(tests, a_network_without_gate_touches_less);
    tcase_add_test(tests, shared_experts_are_seen_by_every_token);
    tcase_add_test(tests, trained_embeddings_scatter_their_gradient_into_the_whole_table);
    tcase_add_test(tests, a_mamba_layer_projects_touches_and_scans);
    tcase_add_test(tests, each_term_has_its_kind);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
