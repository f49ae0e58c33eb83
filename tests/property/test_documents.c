/* Decoding what was encoded gives back the same: methods, and jobs over the shipped catalog. */
#include "server/api/lookup.h"
#include "server/json/job.h"
#include "server/json/layout.h"
#include "server/json/lookup.h"
#include "server/json/method.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <string.h>

enum { METHOD_CASES = 20000, JOB_CASES = 3000, STREAM = 30 };

static const struct lq_catalog *catalog;

/* A set of targets that a document can name: an MLP's matrices are never named without the
 * experts' of the same name. */
static uint32_t random_targets(void)
{
    uint32_t bits = (uint32_t)random_bits() & (LQ_TARGET_BIT(LQ_TARGET_COUNT) - 1u);
    bits |= (bits & LQ_TARGET_BIT(LQ_TARGET_GATE)) != 0 ? LQ_TARGET_BIT(LQ_TARGET_EXPERT_GATE) : 0;
    bits |= (bits & LQ_TARGET_BIT(LQ_TARGET_UP)) != 0 ? LQ_TARGET_BIT(LQ_TARGET_EXPERT_UP) : 0;
    bits |= (bits & LQ_TARGET_BIT(LQ_TARGET_DOWN)) != 0 ? LQ_TARGET_BIT(LQ_TARGET_EXPERT_DOWN) : 0;
    return bits != 0 ? bits : LQ_TARGET_BIT(LQ_TARGET_Q);
}

START_TEST(methods_survive_encoding_and_decoding)
{
    for (int i = 0; i < METHOD_CASES; i++) {
        random_case(STREAM, i);
        struct lq_method method = random_method();
        if (method.kind != LQ_METHOD_FULL) {
            method.targets = random_targets();
        }
        json_t *document = lq_method_encode(&method);
        struct lq_faults faults = {.count = 0};
        struct lq_method back;
        ck_assert_msg(lq_method_decode(document, "", &back, &faults), "case %d: %s %s", i,
                      faults.items[0].pointer, faults.items[0].detail);
        ck_assert_msg(
            back.kind == method.kind && back.rank == method.rank &&
                back.targets == method.targets && back.quantization == method.quantization &&
                back.train_embeddings == method.train_embeddings,
            "case %d: targets %x became %x", i, (unsigned)method.targets, (unsigned)back.targets);
        json_decref(document);
    }
}
END_TEST

static json_t *random_lengths(void)
{
    const int64_t tokens = random_between(1, 4000);
    switch (random_between(0, 4)) {
    case 0:
        return json_pack(
            "{s:s}", "name",
            catalog->datasets[random_between(0, (int64_t)catalog->dataset_count - 1)].id);
    case 1:
        return json_pack("{s:I}", "fixed_tokens", (json_int_t)tokens);
    case 2:
        return json_pack("{s:[[I,I],[I,I]]}", "histogram", (json_int_t)tokens,
                         (json_int_t)random_between(0, 50), (json_int_t)(tokens + 7),
                         (json_int_t)random_between(1, 50));
    case 3:
        return json_pack("{s:{s:I,s:I,s:I}}", "quantiles", "p50", (json_int_t)tokens, "p90",
                         (json_int_t)(tokens + random_between(0, 900)), "max",
                         (json_int_t)(tokens + 1000));
    default:
        return json_pack("{s:[I,I,I]}", "sample", (json_int_t)tokens,
                         (json_int_t)random_between(1, 4000), (json_int_t)random_between(1, 4000));
    }
}

/* Sets a member in about half of the cases. */
static void maybe(json_t *object, const char *name, json_t *value)
{
    if (random_flag()) {
        json_object_set_new(object, name, value);
    } else {
        json_decref(value);
    }
}

/* Groups that make up the devices, whatever their number and the model. */
static json_t *random_layout(int64_t gpu_count)
{
    if (random_flag()) {
        return json_string("auto");
    }
    const int64_t context = gpu_count % 2 == 0 ? random_between(1, 2) : 1;
    const int64_t stage = random_between(0, 3);
    json_t *o =
        json_pack("{s:I, s:I}", "context", (json_int_t)context, "zero_stage", (json_int_t)stage);
    maybe(o, "data", json_integer(gpu_count / context));
    if (stage > 0 && random_flag()) {
        json_object_set_new(o, "zero_group", json_integer(context));
    }
    return o;
}

static json_t *random_options(void)
{
    return lq_options_encode((uint32_t)random_between(0, (1 << LQ_OPTION_COUNT) - 1));
}

static json_t *random_document(void)
{
    const struct lq_model *model =
        &catalog->models[random_between(0, (int64_t)catalog->model_count - 1)].model;
    const char *gpu = catalog->gpus[random_between(0, (int64_t)catalog->gpu_count - 1)].gpu.id;
    const struct lq_method method = random_method();
    const struct lq_training t = random_training();
    const int64_t experts = lq_model_experts(model);
    json_t *o =
        json_pack("{s:s, s:s, s:{s:o, s:I}}", "model", model->id, "gpu", gpu, "dataset", "lengths",
                  random_lengths(), "queries", (json_int_t)random_between(1, 1000000));
    json_t *data = json_object_get(o, "dataset");
    json_object_set_new(data, "cutoff_tokens", json_integer(random_between(1, 4096)));
    maybe(data, "padding", json_string(LQ_PADDING_NAMES[random_between(0, 2)]));
    maybe(data, "padding_multiple", json_integer(random_between(1, 128)));
    const int64_t gpu_count = random_between(1, 64);
    json_object_set_new(o, "gpu_count", json_integer(gpu_count));
    maybe(o, "layout", random_layout(gpu_count));
    maybe(o, "node_gpu_count", json_integer(random_between(1, 16)));
    maybe(o, "internode_gb_s", json_real(1.0 + 400.0 * random_share()));
    maybe(o, "optimizations", random_options());
    maybe(o, "method", lq_method_encode(&method));
    maybe(o, "precision", json_string(LQ_PRECISION_NAMES[t.precision]));
    maybe(o, "optimizer", json_string(LQ_OPTIMIZER_NAMES[t.optimizer]));
    maybe(o, "attention", json_string(LQ_ATTENTION_NAMES[t.attention]));
    maybe(o, "master_weights", json_boolean(t.master_weights));
    maybe(o, "gradient_checkpointing", lq_checkpointing_encode(t.checkpointing));
    maybe(o, "gradient_accumulation_steps", json_integer(t.accumulation_steps));
    maybe(o, "batch_size",
          random_flag() ? json_string("max") : json_integer(random_between(1, 99)));
    maybe(o, "epochs", json_real(0.001 + 20.0 * random_share()));
    maybe(o, "confidence", json_real(0.02 + 0.9 * random_share()));
    maybe(o, "estimator", json_string(LQ_ESTIMATOR_NAMES[random_between(0, 3)]));
    if (experts > 0) {
        maybe(o, "active_experts", json_integer(random_between(1, experts)));
        maybe(o, "expert_load", json_pack("{s:f}", "variance", random_share()));
    }
    return o;
}

/* The job of an echo: `job` with every setting as it was echoed. */
static json_t *job_of_echo(const json_t *job, const json_t *echo)
{
    static const char *const DATA[] = {"queries", "padding", "padding_multiple", "cutoff_tokens"};
    json_t *again = json_deep_copy(job);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)echo, name, value)
    {
        json_t *into = again;
        for (int i = 0; i < 4; i++) {
            into = strcmp(DATA[i], name) == 0 ? json_object_get(again, "dataset") : into;
        }
        json_object_set(into, name, value);
    }
    return again;
}

/* A random method may name matrices that the random model lacks: the one refusal there may be. */
static bool lacks_targets(const struct lq_faults *faults)
{
    return faults->count == 1 && strcmp(faults->items[0].pointer, "/method/targets") == 0;
}

START_TEST(the_echo_of_a_job_is_the_same_job)
{
    const struct lq_lookup lookup = lq_catalog_lookup(catalog);
    int lacking = 0;
    for (int i = 0; i < JOB_CASES; i++) {
        random_case(STREAM + 1, i);
        json_t *job = random_document();
        static struct lq_job_document first;
        static struct lq_job_document second;
        struct lq_faults faults = {.count = 0};
        const enum lq_code code = lq_job_decode(job, "", &lookup, &first, &faults);
        if (code != LQ_OK && lacks_targets(&faults)) {
            lacking++;
            json_decref(job);
            lq_job_release(&first);
            continue;
        }
        ck_assert_msg(code == LQ_OK, "case %d: %s %s", i, faults.items[0].pointer,
                      faults.items[0].detail);
        json_t *echo = lq_job_encode(&first);
        json_t *again = job_of_echo(job, echo);
        ck_assert_msg(lq_job_decode(again, "", &lookup, &second, &faults) == LQ_OK,
                      "case %d: %s %s", i, faults.items[0].pointer, faults.items[0].detail);
        json_t *twice = lq_job_encode(&second);
        ck_assert_msg(json_equal(echo, twice), "case %d", i);
        ck_assert_msg(first.job.model == second.job.model && first.job.gpu == second.job.gpu &&
                          first.job.lengths->longest_tokens == second.job.lengths->longest_tokens &&
                          first.job.lengths->mean_tokens == second.job.lengths->mean_tokens,
                      "case %d", i);
        json_decref(twice);
        json_decref(again);
        json_decref(echo);
        json_decref(job);
        lq_job_release(&first);
        lq_job_release(&second);
    }
    ck_assert_int_lt(lacking, JOB_CASES / 4);
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("documents");
    TCase *tests = tcase_create("documents");
    tcase_add_test(tests, methods_survive_encoding_and_decoding);
    tcase_add_test(tests, the_echo_of_a_job_is_the_same_job);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
