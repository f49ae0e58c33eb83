/* Layouts a search finds are valid, and talking costs more the more there is to say and the slower
 * the line: over all models of the catalog. */
#include "core/finetune/communication.h"
#include "core/finetune/layout_search.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { CASES = 2000, STREAM = 31, LAYOUTS_MAX = 20000 };

static const struct lq_catalog *catalog;

struct random_spread {
    struct random_job random;
    struct lq_network network;
    struct lq_layout layout;
    struct lq_communication_job job;
};

/* One of the layouts of a random job, and what it sends. */
static void random_spread(struct random_spread *out)
{
    random_roomy(catalog, &out->random);
    struct lq_job *job = &out->random.job;
    job->gpu_count = random_between(1, 128);
    out->network = (struct lq_network){.node_gpu_count = (int64_t)1 << random_between(0, 4),
                                       .internode_bytes_per_s = random_flag() ? 50e9 : 0.0};
    struct lq_layout_space space = lq_layout_space(job->model, job->gpu_count, &out->network,
                                                   random_between(1, 100000), LQ_PARALLELISM_ALL);
    struct lq_layout next;
    int seen = 0;
    while (lq_layout_next(&space, &next)) {
        if (random_between(0, seen++) == 0) {
            out->layout = next;
        }
    }
    ck_assert_int_gt(seen, 0);
    const double weights = 2.0 * (double)lq_model_parameters(job->model, 0).total;
    const double experts = 2.0 * (double)lq_model_parameters(job->model, 0).experts;
    out->job =
        (struct lq_communication_job){.model = job->model,
                                      .gpu = job->gpu,
                                      .layout = &out->layout,
                                      .network = &out->network,
                                      .training = &job->training,
                                      .active_experts = job->active_experts,
                                      .micro_batch_tokens = (double)random_between(1, 100000),
                                      .weights_bytes = weights,
                                      .expert_weights_bytes = experts,
                                      .gradient_bytes = weights,
                                      .expert_gradient_bytes = experts,
                                      .updated_bytes = weights,
                                      .expert_updated_bytes = experts};
}

/* Seconds of all flows of a step, hidden or not. */
static double flows_s(const struct lq_communication_job *job)
{
    const struct lq_communication c = lq_communication_count(job);
    ck_assert_int_le(c.flow_count, LQ_FLOWS_MAX);
    double sum_s = 0.0;
    for (int i = 0; i < c.flow_count; i++) {
        const double times = c.flows[i].per_step ? 1.0 : (double)job->training->accumulation_steps;
        sum_s += times * c.flows[i].time_s;
    }
    return sum_s;
}

START_TEST(every_layout_found_is_valid_and_new)
{
    for (int i = 0; i < CASES / 4; i++) {
        random_case(STREAM, i);
        const struct lq_model *model =
            &catalog->models[random_between(0, (int64_t)catalog->model_count - 1)].model;
        const struct lq_network network = {.node_gpu_count = random_between(1, 16)};
        const int64_t gpus = random_between(1, 512);
        struct lq_layout_space space =
            lq_layout_space(model, gpus, &network, random_between(1, 200000), LQ_PARALLELISM_ALL);
        struct lq_layout layout;
        struct lq_layout last = {0};
        int n = 0;
        while (lq_layout_next(&space, &layout)) {
            struct lq_error err = {0};
            ck_assert_msg(lq_layout_check(&layout, model, gpus, &network, &err) == LQ_OK,
                          "case %d: %s on %d: %s %s", i, model->id, (int)gpus, err.pointer,
                          err.detail);
            ck_assert_int_ne(lq_layout_compare(&layout, &last), 0);
            last = layout;
            n++;
        }
        ck_assert_int_ge(n, 1);
        ck_assert_int_lt(n, LAYOUTS_MAX);
    }
}
END_TEST

/* Sizes as a request may have them: mostly small, now and then absurd. */
static int64_t random_size(void)
{
    return random_between(0, 20) == 0 ? (int64_t)random_bits() : random_between(0, 9);
}

static bool is_small(int64_t size)
{
    return size > 0 && size < 10;
}

static bool holds(const struct lq_layout *l, const struct lq_model *model, int64_t gpus,
                  const struct lq_network *network)
{
    const int64_t experts = lq_model_experts(model);
    const int64_t ranks = l->data * l->context;
    return lq_layout_gpus(l) == gpus && l->pipeline <= lq_model_layers(model) &&
           (l->expert == 1 || (experts % l->expert == 0 && l->data % l->expert == 0)) &&
           (l->zero_group == 0 || (ranks % l->zero_group == 0 && l->zero_stage > 0)) &&
           l->nodes * network->node_gpu_count >= gpus;
}

START_TEST(what_passes_the_check_holds_together)
{
    int passed = 0;
    for (int i = 0; i < 20 * CASES; i++) {
        random_case(STREAM + 5, i);
        const struct lq_model *model =
            &catalog->models[random_between(0, (int64_t)catalog->model_count - 1)].model;
        const struct lq_network network = {.node_gpu_count = random_between(0, 8)};
        const struct lq_layout layout = {.data = random_size(),
                                         .tensor = random_size() / 4 + 1,
                                         .pipeline = random_size() / 4 + 1,
                                         .expert = random_size() / 8 + 1,
                                         .context = random_size() / 4 + 1,
                                         .zero_stage = (int)random_between(-1, 4),
                                         .zero_group = random_flag() ? 0 : random_size(),
                                         .nodes = random_size()};
        const bool small = is_small(layout.data) && is_small(layout.tensor) &&
                           is_small(layout.pipeline) && is_small(layout.context);
        const int64_t gpus = small ? lq_layout_gpus(&layout) : random_between(1, 64);
        struct lq_error err = {0};
        if (lq_layout_check(&layout, model, gpus, &network, &err) == LQ_OK) {
            ck_assert_msg(holds(&layout, model, gpus, &network), "case %d", i);
            passed++;
        } else {
            ck_assert_int_eq(err.code, LQ_EFIELD);
            ck_assert_msg(err.pointer[0] == '/' && err.detail[0] != '\0', "case %d", i);
        }
    }
    ck_assert_int_gt(passed, CASES);
}
END_TEST

START_TEST(times_are_finite_and_none_alone)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 1, i);
        static struct random_spread r;
        random_spread(&r);
        const double time_s = flows_s(&r.job);
        ck_assert_msg(isfinite(time_s) && time_s >= 0.0, "case %d: %s", i,
                      random_describe(&r.random.job));
        ck_assert_msg((time_s > 0.0) == (r.random.job.gpu_count > 1), "case %d: %s", i,
                      random_describe(&r.random.job));
        ck_assert_double_ge(lq_communication_count(&r.job).stretch, 1.0);
    }
}
END_TEST

START_TEST(more_to_say_takes_longer)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 2, i);
        static struct random_spread r;
        random_spread(&r);
        const double time_s = flows_s(&r.job);
        struct lq_communication_job more = r.job;
        more.micro_batch_tokens *= 2.0;
        ck_assert_msg(flows_s(&more) >= time_s, "case %d: tokens", i);
        more = r.job;
        more.weights_bytes *= 2.0;
        more.gradient_bytes *= 2.0;
        more.updated_bytes *= 2.0;
        ck_assert_msg(flows_s(&more) >= time_s, "case %d: weights", i);
        more = r.job;
        struct lq_expert_load load = {.variance = 4.0};
        more.expert_load = &load;
        ck_assert_msg(flows_s(&more) >= time_s, "case %d: load", i);
    }
}
END_TEST

START_TEST(faster_lines_never_take_longer)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 3, i);
        static struct random_spread r;
        random_spread(&r);
        const double time_s = flows_s(&r.job);
        struct lq_network wide = r.network;
        wide.internode_bytes_per_s = 2.0 * lq_network_inter_bytes_per_s(r.job.gpu, &r.network);
        struct lq_communication_job faster = r.job;
        faster.network = &wide;
        ck_assert_msg(flows_s(&faster) <= time_s, "case %d: network", i);
        struct lq_gpu linked = *r.job.gpu;
        linked.interconnect_bytes_per_s *= 4.0;
        faster = r.job;
        faster.gpu = &linked;
        wide.internode_bytes_per_s /= 2.0;
        faster.network = &wide;
        ck_assert_msg(flows_s(&faster) <= time_s, "case %d: links of %s", i, r.job.gpu->id);
    }
}
END_TEST

START_TEST(a_pipeline_wastes_less_the_more_micro_batches_it_has)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 4, i);
        const int64_t layers = random_between(1, 200);
        const int64_t stages = random_between(1, layers);
        const int64_t m = random_between(1, 64);
        const double stretch = lq_pipeline_stretch(stages, m, layers);
        ck_assert_double_ge(stretch, 1.0);
        ck_assert_double_le(lq_pipeline_stretch(stages, m + 1, layers), stretch);
        ck_assert_double_le(lq_pipeline_stretch(stages, m, layers * 2), stretch + 1e-12);
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("layout");
    TCase *tests = tcase_create("layout");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_layout_found_is_valid_and_new);
    tcase_add_test(tests, what_passes_the_check_holds_together);
    tcase_add_test(tests, times_are_finite_and_none_alone);
    tcase_add_test(tests, more_to_say_takes_longer);
    tcase_add_test(tests, faster_lines_never_take_longer);
    tcase_add_test(tests, a_pipeline_wastes_less_the_more_micro_batches_it_has);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
