/* Measured steps of tiny models: their parts, their bytes against sums counted by hand, how both
 * grow with layers, and what happens where memory ends. */
#include "kernels/measure/measure.h"
#include "kernels/measure/rig.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

enum { HIDDEN = 64, VOCABULARY = 4096, ROWS = 2, TOKENS = 16, ALL = ROWS * TOKENS };
enum { F32 = 4, HEADS = 4, KV_HEADS = 2, HEAD_SIZE = 16, INNER = 128, EXPERTS = 4, RANK = 8 };

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = RANK, .targets = LQ_TARGETS_ALL_LINEAR};
static const struct lq_method QLORA = {.kind = LQ_METHOD_QLORA,
                                       .rank = RANK,
                                       .targets = LQ_TARGETS_ALL_LINEAR,
                                       .quantization = LQ_QUANTIZATION_NF4_DQ};

static struct lq_rig rig;
static struct lq_measure_job job;
static struct lq_measured out;
static struct lq_error err;

/* A dense layer, `count` times. */
static struct lq_model dense(int64_t count)
{
    return (struct lq_model){
        .id = "dense",
        .hidden_size = HIDDEN,
        .vocab_size = VOCABULARY,
        .layer_kinds = 1,
        .layers = {{.count = count,
                    .mixer = {.kind = LQ_MIXER_ATTENTION,
                              .heads = HEADS,
                              .kv_heads = KV_HEADS,
                              .head_size = HEAD_SIZE},
                    .ffn = {.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = INNER},
                    .norm_parameters = 2 * HIDDEN}}};
}

/* Mamba layers and layers with experts, in turns. */
static struct lq_model hybrid(int64_t mambas, int64_t moes)
{
    struct lq_model model = dense(moes);
    model.layer_kinds = 2;
    model.layers[0].ffn = (struct lq_ffn){.kind = LQ_FFN_MOE,
                                          .gated = true,
                                          .intermediate_size = INNER,
                                          .experts = EXPERTS,
                                          .active_experts = 2};
    model.layers[1] = (struct lq_layer){.count = mambas,
                                        .mixer = {.kind = LQ_MIXER_MAMBA,
                                                  .inner_size = 128,
                                                  .state_size = 16,
                                                  .conv_size = 4,
                                                  .dt_rank = 4,
                                                  .small_parameters = 128 * (4 + 16 + 3)},
                                        .norm_parameters = HIDDEN};
    return model;
}

static void set_up(void)
{
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_rig_find(&(struct lq_device_choice){.backend = "cpu"}, &rig, &err), LQ_OK);
    ck_assert_int_eq(lq_rig_open(&rig, &err), LQ_OK);
    job = (struct lq_measure_job){.backend = rig.backend,
                                  .device = rig.device,
                                  .element = rig.element,
                                  .method = &FULL,
                                  .checkpointing = LQ_CHECKPOINTING_FULL,
                                  .batch_size = ROWS,
                                  .tokens = TOKENS,
                                  .budget_s = 1e-4,
                                  .rounds_max = 1};
}

static void tear_down(void)
{
    size_t now = 0;
    size_t peak = 0;
    rig.backend->usage(rig.device, false, &now, &peak);
    lq_rig_close(&rig);
    ck_assert_uint_eq(now, 0); /* whatever happened, all memory is given back */
}

static void measure(const struct lq_model *model)
{
    job.model = model;
    err = (struct lq_error){0};
    ck_assert_msg(lq_measure(&job, &out, &err) == LQ_OK, "%s", err.detail);
}

static double peak_of(const struct lq_model *model)
{
    measure(model);
    return out.peak_bytes;
}

START_TEST(a_step_is_its_forward_backward_and_optimizer)
{
    const struct lq_model model = hybrid(2, 2);
    job.budget_s = 0.05;
    bool agrees = false;
    /* medians of sums and sums of medians differ, more so on a loaded machine: now and then */
    for (int attempt = 0; attempt < 20 && !agrees; attempt++) {
        measure(&model);
        ck_assert_int_ge(out.step.samples, 5);
        ck_assert_double_gt(out.forward_s, 0.0);
        ck_assert_double_gt(out.optimizer_s, 0.0);
        ck_assert_double_le(out.step.least_s, out.step.median_s);
        ck_assert_double_le(out.step.median_s, out.step.p95_s);
        const double sum = out.forward_s + out.backward_s + out.optimizer_s;
        agrees = out.backward_s > out.forward_s && /* it recomputes forward first */
                 fabs(log(sum / out.step.median_s)) < log(1.5);
    }
    ck_assert(agrees);
}
END_TEST

START_TEST(every_kernel_that_ran_has_its_time)
{
    const struct lq_model model = hybrid(1, 1);
    job.method = &QLORA;
    measure(&model);
    static const enum lq_term RAN[] = {LQ_TERM_EMBEDDING,
                                       LQ_TERM_NORM,
                                       LQ_TERM_ATTENTION,
                                       LQ_TERM_ATTENTION_SCORES,
                                       LQ_TERM_ROUTER,
                                       LQ_TERM_EXPERT_MATMUL,
                                       LQ_TERM_EXPERT_DEQUANTIZATION,
                                       LQ_TERM_EXPERT_LORA,
                                       LQ_TERM_MAMBA_SCAN,
                                       LQ_TERM_EXPERT_PERMUTATION,
                                       LQ_TERM_MAMBA,
                                       LQ_TERM_LORA,
                                       LQ_TERM_DEQUANTIZATION,
                                       LQ_TERM_HEAD,
                                       LQ_TERM_OPTIMIZER};
    for (size_t i = 0; i < sizeof RAN / sizeof *RAN; i++) {
        ck_assert_msg(out.term_s[RAN[i]] > 0.0, "%s", LQ_TERM_NAMES[RAN[i]]);
    }
    ck_assert_double_eq(out.term_s[LQ_TERM_MLP], 0.0); /* no layer is dense */
}
END_TEST

/* Elements of one layer's matrices and norms. */
static double layer_weights(void)
{
    const double attention = 2.0 * HIDDEN * HEADS * HEAD_SIZE + 2.0 * HIDDEN * KV_HEADS * HEAD_SIZE;
    return attention + 3.0 * HIDDEN * INNER + 2.0 * HIDDEN;
}

/* Elements of one layer's adapters: rank * (rows + columns) of seven matrices. */
static double layer_adapters(void)
{
    const double q_and_o = 2.0 * (HIDDEN + HEADS * HEAD_SIZE);
    const double k_and_v = 2.0 * (HIDDEN + KV_HEADS * HEAD_SIZE);
    return RANK * (q_and_o + k_and_v + 3.0 * (HIDDEN + INNER));
}

/* Elements inside a dense layer that backward needs: three normalised or summed streams, q, k, v,
 * the mixed heads with a sum each, and gate, up and their product. */
static double layer_inner(void)
{
    const double heads = HEADS * HEAD_SIZE;
    return ALL * (3.0 * HIDDEN + 2.0 * heads + 2.0 * KV_HEADS * HEAD_SIZE + HEADS + 3.0 * INNER);
}

/* Bytes of the ends while they run, the fullest part of so wide a vocabulary: logits, the input,
 * its normalised form and three gradients, ids and losses. */
static double ends_running(void)
{
    return F32 * (ALL * (double)VOCABULARY + 4.0 * ALL * HIDDEN + 2.0 * ALL);
}

static double ends_weights(void)
{
    return 2.0 * VOCABULARY * HIDDEN + HIDDEN;
}

START_TEST(full_tuning_peaks_at_the_bytes_counted_by_hand)
{
    const struct lq_model model = dense(3);
    /* a weight, its gradient and two moments; the inputs of three layers and of the ends */
    const double states = 4.0 * F32 * (3.0 * layer_weights() + ends_weights());
    const double kept = 4.0 * F32 * ALL * HIDDEN;
    ck_assert_double_eq(peak_of(&model), states + kept + ends_running());
}
END_TEST

START_TEST(adapters_peak_at_the_bytes_counted_by_hand)
{
    const struct lq_model model = dense(3);
    const double weights = F32 * (3.0 * layer_weights() + ends_weights());
    const double adapters = 4.0 * F32 * 3.0 * layer_adapters();
    const double kept = 4.0 * F32 * ALL * HIDDEN;
    job.method = &LORA;
    ck_assert_double_eq(peak_of(&model), weights + adapters + kept + ends_running());
}
END_TEST

START_TEST(quantised_weights_take_half_a_byte_and_their_scales)
{
    static const double MATRICES[] = {HIDDEN * 64.0,  HIDDEN * 32.0,  HIDDEN * 32.0, HIDDEN * 64.0,
                                      HIDDEN * 128.0, HIDDEN * 128.0, HIDDEN * 128.0};
    double layer = F32 * (2.0 * HIDDEN + 4.0 * layer_adapters());
    for (size_t i = 0; i < sizeof MATRICES / sizeof *MATRICES; i++) {
        const double blocks = MATRICES[i] / 64.0;
        layer += MATRICES[i] / 2.0 + blocks + F32 * ceil(blocks / 256.0);
    }
    const struct lq_model two = dense(2);
    const struct lq_model three = dense(3);
    job.method = &QLORA;
    const double grown = peak_of(&three) - peak_of(&two);
    ck_assert_double_eq(grown, layer + F32 * ALL * HIDDEN);
}
END_TEST

START_TEST(a_layer_more_adds_its_weights_and_its_input)
{
    const struct lq_model one = dense(1);
    const struct lq_model two = dense(2);
    const struct lq_model many = dense(100);
    const double first = peak_of(&one);
    const double layer = peak_of(&two) - first;
    ck_assert_double_eq(layer, 4.0 * F32 * layer_weights() + F32 * ALL * HIDDEN);
    ck_assert_double_eq(peak_of(&many), first + 99.0 * layer);
}
END_TEST

START_TEST(without_checkpointing_a_layer_more_adds_what_is_inside_it)
{
    const struct lq_model one = dense(1);
    const struct lq_model two = dense(2);
    job.checkpointing = LQ_CHECKPOINTING_NONE;
    const double layer = peak_of(&two) - peak_of(&one);
    ck_assert_double_eq(layer, F32 * (4.0 * layer_weights() + ALL * HIDDEN + layer_inner()));
}
END_TEST

START_TEST(kinds_of_layers_grow_apart)
{
    const struct lq_model small = hybrid(1, 1);
    const struct lq_model mambas = hybrid(5, 1);
    const struct lq_model moes = hybrid(1, 5);
    const struct lq_model both = hybrid(5, 5);
    job.method = &LORA;
    const double least = peak_of(&small);
    const double more_mambas = peak_of(&mambas) - least;
    const double more_moes = peak_of(&moes) - least;
    ck_assert_double_gt(more_moes, more_mambas); /* experts weigh more */
    ck_assert_double_eq(peak_of(&both), least + more_mambas + more_moes);
}
END_TEST

START_TEST(a_larger_batch_keeps_more_and_never_less)
{
    const struct lq_model model = dense(2);
    double last = 0.0;
    for (int64_t batch = 1; batch <= 4; batch++) {
        job.batch_size = batch;
        const double peak = peak_of(&model);
        ck_assert_double_gt(peak, last);
        last = peak;
    }
}
END_TEST

START_TEST(the_load_of_experts_is_that_of_the_last_step)
{
    const struct lq_model model = hybrid(1, 1);
    measure(&model);
    ck_assert(out.has_load);
    ck_assert_uint_eq(out.load.experts, EXPERTS);
    double sum = 0.0;
    for (size_t e = 0; e < EXPERTS; e++) {
        sum += out.load.share[e];
    }
    ck_assert_double_eq_tol(sum, 1.0, 1e-9);
    const struct lq_model without = dense(1);
    measure(&without);
    ck_assert(!out.has_load);
}
END_TEST

START_TEST(what_does_not_fit_leaves_the_device_as_it_was)
{
    const struct lq_model model = hybrid(1, 1);
    const double before = peak_of(&model);
    job.batch_size = 1000000; /* 128 GB for every activation of a layer */
    job.tokens = 512;
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_measure(&job, &out, &err), LQ_ENOFIT);
    ck_assert_str_ne(err.detail, "");
    size_t now = 1;
    size_t peak = 0;
    rig.backend->usage(rig.device, false, &now, &peak);
    ck_assert_uint_eq(now, 0);
    job.batch_size = ROWS;
    job.tokens = TOKENS;
    ck_assert_double_eq(peak_of(&model), before);
}
END_TEST

START_TEST(more_rows_than_an_index_counts_do_not_fit)
{
    const struct lq_model model = dense(1);
    job.model = &model;
    job.batch_size = 1000000;
    job.tokens = 16777216;
    ck_assert_int_eq(lq_measure(&job, &out, &err), LQ_ENOFIT);
    ck_assert_ptr_nonnull(strstr(err.detail, "more than the"));
}
END_TEST

START_TEST(sizes_that_no_kernel_takes_are_refused)
{
    struct lq_model model = dense(1);
    job.model = &model;
    model.layers[0].mixer.head_size = 1026;
    ck_assert_int_eq(lq_measure(&job, &out, &err), LQ_EIMPOSSIBLE);
    ck_assert_ptr_nonnull(
        strstr(err.detail, "the size of a head must be 1..1024 to be measured, not 1026"));
    model = hybrid(1, 1);
    model.layers[1].mixer.state_size = 257;
    ck_assert_int_eq(lq_measure(&job, &out, &err), LQ_EIMPOSSIBLE);
    model.layers[1].mixer.state_size = 16;
    model.layers[1].mixer.conv_size = 17;
    ck_assert_int_eq(lq_measure(&job, &out, &err), LQ_EIMPOSSIBLE);
}
END_TEST

START_TEST(heads_that_have_no_pairs_to_rotate_are_measured)
{
    struct lq_model model = dense(1);
    for (int64_t size = 1; size <= 3; size++) {
        model.layers[0].mixer.head_size = size;
        measure(&model);
    }
    for (int64_t rope = 0; rope <= 3; rope++) {
        model.layers[0].mixer = (struct lq_mixer){.kind = LQ_MIXER_MLA,
                                                  .heads = 2,
                                                  .kv_rank = 8,
                                                  .nope_size = 4,
                                                  .rope_size = rope,
                                                  .value_size = 4};
        measure(&model);
    }
}
END_TEST

START_TEST(rounds_are_repeated_until_two_agree_or_as_often_as_may_be)
{
    const struct lq_model model = dense(1);
    job.rounds_max = 4;
    measure(&model);
    ck_assert_int_ge(out.rounds, 2); /* it takes two to agree */
    ck_assert_int_le(out.rounds, 4);
    job.rounds_max = 1;
    measure(&model);
    ck_assert_int_eq(out.rounds, 1);
    ck_assert(out.is_noisy); /* nothing to agree with */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_measure");
    TCase *tc = tcase_create("measure");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_step_is_its_forward_backward_and_optimizer);
    tcase_add_test(tc, every_kernel_that_ran_has_its_time);
    tcase_add_test(tc, full_tuning_peaks_at_the_bytes_counted_by_hand);
    tcase_add_test(tc, adapters_peak_at_the_bytes_counted_by_hand);
    tcase_add_test(tc, quantised_weights_take_half_a_byte_and_their_scales);
    tcase_add_test(tc, a_layer_more_adds_its_weights_and_its_input);
    tcase_add_test(tc, without_checkpointing_a_layer_more_adds_what_is_inside_it);
    tcase_add_test(tc, kinds_of_layers_grow_apart);
    tcase_add_test(tc, a_larger_batch_keeps_more_and_never_less);
    tcase_add_test(tc, the_load_of_experts_is_that_of_the_last_step);
    tcase_add_test(tc, what_does_not_fit_leaves_the_device_as_it_was);
    tcase_add_test(tc, more_rows_than_an_index_counts_do_not_fit);
    tcase_add_test(tc, sizes_that_no_kernel_takes_are_refused);
    tcase_add_test(tc, heads_that_have_no_pairs_to_rotate_are_measured);
    tcase_add_test(tc, rounds_are_repeated_until_two_agree_or_as_often_as_may_be);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
