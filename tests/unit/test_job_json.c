/* Jobs: what each member means, what is taken where one is left out, and every fault's pointer. */
#include "core/finetune/network.h"
#include "server/json/job.h"
#include "server/json/lookup.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static struct lq_job_document document;
static struct lq_faults faults;

/* The least a job has, with `more` members. */
static json_t *job_with(const char *more)
{
    char text[2048];
    snprintf(text, sizeof text,
             "{\"model\": \"small-moe\", \"gpu\": \"S1\", "
             "\"dataset\": {\"queries\": 1000, \"lengths\": {\"name\": \"two\"}}%s%s}",
             more[0] != '\0' ? ", " : "", more);
    json_t *value = json_loads(text, 0, NULL); /* the later of two equal keys counts */
    ck_assert_msg(value != NULL, "bad test: %s", text);
    return value;
}

/* Decodes; `value` is released. */
static enum lq_code decode(json_t *value, const char *pointer)
{
    memset(&faults, 0, sizeof faults);
    const enum lq_code code = lq_job_decode(value, pointer, &TINY_LOOKUP, &document, &faults);
    json_decref(value);
    ck_assert_int_eq(code == LQ_OK, faults.count == 0);
    ck_assert(faults.count == 0 || code == faults.items[0].code);
    return code;
}

static void must_decode(const char *more)
{
    const enum lq_code code = decode(job_with(more), "");
    ck_assert_msg(code == LQ_OK, "%s: %s %s", more, faults.items[0].pointer,
                  faults.items[0].detail);
}

START_TEST(what_is_left_out_has_the_documented_defaults)
{
    must_decode("");
    const struct lq_job *job = &document.job;
    ck_assert_str_eq(job->model->id, "small-moe");
    ck_assert_str_eq(job->gpu->id, "S1");
    ck_assert_int_eq(job->gpu_count, 1);
    ck_assert_int_eq(job->method.kind, LQ_METHOD_LORA);
    ck_assert_int_eq(job->method.rank, 16);
    ck_assert_uint_eq(job->method.targets, LQ_TARGETS_ALL_LINEAR);
    ck_assert_int_eq(job->active_experts, 2);
    ck_assert_int_eq(job->training.precision, LQ_PRECISION_BF16);
    ck_assert_int_eq(job->training.optimizer, LQ_OPTIMIZER_ADAMW);
    ck_assert_int_eq(job->training.attention, LQ_ATTENTION_FLASH);
    ck_assert_int_eq(job->training.checkpointing, LQ_CHECKPOINTING_FULL);
    ck_assert(!job->training.master_weights);
    ck_assert_int_eq(job->training.accumulation_steps, 1);
    ck_assert_int_eq(job->batch_size, 0);
    ck_assert_double_eq(job->epochs, 1.0);
    ck_assert_int_eq(job->lengths->padding, LQ_PADDING_LONGEST);
    ck_assert_int_eq(job->lengths->padding_multiple, 8);
    ck_assert_int_eq(job->lengths->cutoff_tokens, 0);
    ck_assert_str_eq(job->stack, "hf-2024");
    ck_assert_int_eq(job->estimator, LQ_ESTIMATOR_DEFAULT);
    ck_assert_double_eq(job->confidence, 0.9);
    ck_assert_uint_eq(document.terms.provider_count, 0);
    ck_assert_double_eq(document.terms.usd_per_gpu_hour, 0.0);
    lq_job_release(&document);
}
END_TEST

START_TEST(every_member_is_taken)
{
    must_decode("\"gpu\": \"s1\", \"gpu_count\": 4, \"method\": \"full\", \"active_experts\": 8, "
                "\"precision\": \"fp8\", \"optimizer\": \"sgd\", \"attention\": \"eager\", "
                "\"master_weights\": true, \"gradient_checkpointing\": \"selective\", "
                "\"gradient_accumulation_steps\": 3, \"batch_size\": 2e1, \"epochs\": 2.5, "
                "\"stack\": \"TorchTune\", \"estimator\": \"xia2024-printed\", "
                "\"providers\": [\"Cheap-2024\"], \"confidence\": 0.5, \"layout\": {\"data\": 4}, "
                "\"dataset\": {\"lengths\": {\"fixed_tokens\": 500}, \"queries\": 2.9e6, "
                "\"cutoff_tokens\": 300, \"padding\": \"fixed\", \"padding_multiple\": 16}");
    const struct lq_job *job = &document.job;
    ck_assert_int_eq(job->gpu_count, 4);
    ck_assert_int_eq(job->method.kind, LQ_METHOD_FULL);
    ck_assert_int_eq(job->active_experts, 8);
    ck_assert_int_eq(job->training.precision, LQ_PRECISION_FP8);
    ck_assert_int_eq(job->training.optimizer, LQ_OPTIMIZER_SGD);
    ck_assert_int_eq(job->training.attention, LQ_ATTENTION_EAGER);
    ck_assert(job->training.master_weights);
    ck_assert_int_eq(job->training.checkpointing, LQ_CHECKPOINTING_SELECTIVE);
    ck_assert_int_eq(job->training.accumulation_steps, 3);
    ck_assert_int_eq(job->batch_size, 20);
    ck_assert_double_eq(job->epochs, 2.5);
    ck_assert_str_eq(job->stack, "torchtune");
    ck_assert_int_eq(job->estimator, LQ_ESTIMATOR_XIA2024_PRINTED);
    ck_assert_uint_eq(document.terms.provider_count, 1);
    ck_assert_str_eq(document.terms.providers[0], "cheap-2024");
    ck_assert_double_eq(job->confidence, 0.5);
    ck_assert_double_eq(job->queries, 2900000.0);
    ck_assert_int_eq(job->lengths->longest_tokens, 304); /* 300 in multiples of 16 */
    ck_assert_int_eq(job->fixed_tokens, 304);
    ck_assert_str_eq(job->lengths_id, "");
    lq_job_release(&document);
}
END_TEST

START_TEST(queries_come_from_the_lengths_where_they_tell)
{
    must_decode("\"dataset\": {\"lengths\": {\"name\": \"two\"}}");
    ck_assert_double_eq(document.job.queries, 4.0);
    ck_assert_str_eq(document.job.lengths_id, "two");
    ck_assert_int_eq(document.job.fixed_tokens, 0);
    lq_job_release(&document);
    must_decode("\"dataset\": {\"lengths\": {\"sample\": [5, 6, 7]}}");
    ck_assert_double_eq(document.job.queries, 3.0);
    lq_job_release(&document);
}
END_TEST

START_TEST(a_config_json_stands_in_for_a_model)
{
    must_decode("\"model\": {\"model_type\": \"llama\", \"hidden_size\": 64, "
                "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"vocab_size\": 100, "
                "\"intermediate_size\": 128}");
    ck_assert_ptr_eq(document.job.model, &document.inline_model);
    ck_assert_int_eq(document.job.model->hidden_size, 64);
    ck_assert_int_eq(document.job.active_experts, 0);
    lq_job_release(&document);
}
END_TEST

START_TEST(a_layout_is_completed_from_the_devices)
{
    must_decode("\"gpu_count\": 16, \"layout\": {\"tensor\": 2, \"expert\": 4, \"zero_stage\": 1}");
    const struct lq_layout *layout = &document.job.layout;
    ck_assert_int_eq(layout->data, 8);
    ck_assert_int_eq(layout->tensor, 2);
    ck_assert_int_eq(layout->expert, 4);
    ck_assert_int_eq(layout->pipeline, 1);
    ck_assert_int_eq(layout->context, 1);
    ck_assert_int_eq(layout->zero_stage, 1);
    ck_assert_int_eq(layout->nodes, 2);
    json_t *echo = lq_job_encode(&document);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(echo, "layout"), "data")),
                     8);
    ck_assert_int_eq(json_integer_value(json_object_get(echo, "node_gpu_count")), 8);
    ck_assert_double_eq(json_real_value(json_object_get(echo, "internode_gb_s")),
                        lq_network_inter_bytes_per_s(document.job.gpu, &document.job.network) /
                            1e9);
    json_decref(echo);
    lq_job_release(&document);
}
END_TEST

START_TEST(the_best_layout_is_sought_where_none_is_given)
{
    must_decode("\"gpu_count\": 16, \"layout\": \"auto\", \"node_gpu_count\": 4, "
                "\"internode_gb_s\": 25");
    ck_assert_int_eq(document.job.layout.data, 0);
    ck_assert_int_eq(document.job.network.node_gpu_count, 4);
    ck_assert_double_eq(document.job.network.internode_bytes_per_s, 25e9);
    lq_job_release(&document);
}
END_TEST

START_TEST(an_expert_load_is_its_shares_or_their_variance)
{
    must_decode("\"expert_load\": [3, 1, 1, 1, 1, 1, 1, 1]");
    ck_assert_ptr_eq(document.job.expert_load, &document.expert_load);
    ck_assert_double_eq_tol(document.expert_load.share[0], 0.3, 1e-12);
    json_t *echo = lq_job_encode(&document);
    ck_assert_uint_eq(json_array_size(json_object_get(echo, "expert_load")), 8);
    json_decref(echo);
    lq_job_release(&document);
    must_decode("\"expert_load\": {\"variance\": 22.5}");
    ck_assert_double_eq(document.job.expert_load->variance, 22.5);
    ck_assert_uint_eq(document.job.expert_load->experts, 0);
    lq_job_release(&document);
    must_decode("");
    ck_assert_ptr_null(document.job.expert_load);
    lq_job_release(&document);
}
END_TEST

START_TEST(a_stack_has_options_of_its_own_unless_told_otherwise)
{
    must_decode("\"stack\": \"hf-2024\"");
    ck_assert_uint_eq(document.job.training.options, 0);
    lq_job_release(&document);
    must_decode("\"stack\": \"torchtune\"");
    ck_assert_uint_eq(document.job.training.options,
                      LQ_OPTION_BIT(LQ_OPTION_COMPILE) | LQ_OPTION_BIT(LQ_OPTION_CHUNKED_LOSS));
    lq_job_release(&document);
    must_decode("\"stack\": \"torchtune\", \"optimizations\": []");
    ck_assert_uint_eq(document.job.training.options, 0);
    lq_job_release(&document);
    must_decode("\"optimizations\": [\"offload-optimizer\"]");
    ck_assert_uint_eq(document.job.training.options, LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER));
    lq_job_release(&document);
}
END_TEST

START_TEST(null_is_as_good_as_left_out)
{
    must_decode("\"batch_size\": null, \"layout\": null, \"active_experts\": null, "
                "\"providers\": null, \"method\": null");
    ck_assert_int_eq(document.job.batch_size, 0);
    ck_assert_int_eq(document.job.method.kind, LQ_METHOD_LORA);
    lq_job_release(&document);
}
END_TEST

static const struct {
    const char *more;
    enum lq_code code;
    const char *pointer;
} BAD[] = {
    {"\"model\": 7", LQ_EFIELD, "/model"},
    {"\"model\": \"gpt-9\"", LQ_EREFERENCE, "/model"},
    {"\"model\": {\"model_type\": \"llama\", \"hidden_size\": 64, \"num_hidden_layers\": 2, "
     "\"num_attention_heads\": 4, \"vocab_size\": -1, \"intermediate_size\": 128}",
     LQ_EFIELD, "/model/vocab_size"},
    {"\"gpu\": 7", LQ_EFIELD, "/gpu"},
    {"\"gpu\": \"A41\"", LQ_EREFERENCE, "/gpu"},
    {"\"gpu\": \"a gpu\"", LQ_EFIELD, "/gpu"},
    {"\"gpu_count\": 0", LQ_EFIELD, "/gpu_count"},
    {"\"gpu_count\": -1", LQ_EFIELD, "/gpu_count"},
    {"\"gpu_count\": 1.5", LQ_EFIELD, "/gpu_count"},
    {"\"gpu_count\": 1e9", LQ_EFIELD, "/gpu_count"},
    {"\"method\": \"dora\"", LQ_EFIELD, "/method"},
    {"\"method\": {\"kind\": \"lora\", \"rank\": 0}", LQ_EFIELD, "/method/rank"},
    {"\"precision\": \"bf8\"", LQ_EFIELD, "/precision"},
    {"\"optimizer\": \"lion\"", LQ_EFIELD, "/optimizer"},
    {"\"attention\": \"xformers\"", LQ_EFIELD, "/attention"},
    {"\"master_weights\": \"yes\"", LQ_EFIELD, "/master_weights"},
    {"\"gradient_checkpointing\": \"full\"", LQ_EFIELD, "/gradient_checkpointing"},
    {"\"gradient_accumulation_steps\": 0", LQ_EFIELD, "/gradient_accumulation_steps"},
    {"\"active_experts\": 0", LQ_EFIELD, "/active_experts"},
    {"\"active_experts\": 9", LQ_EFIELD, "/active_experts"},
    {"\"model\": \"small-dense\", \"active_experts\": 1", LQ_EFIELD, "/active_experts"},
    {"\"dataset\": 7", LQ_EFIELD, "/dataset"},
    {"\"dataset\": {\"queries\": 5}", LQ_EFIELD, "/dataset/lengths"},
    {"\"dataset\": {\"lengths\": {\"fixed_tokens\": 5}}", LQ_EFIELD, "/dataset/queries"},
    {"\"dataset\": {\"queries\": 0, \"lengths\": {\"name\": \"two\"}}", LQ_EFIELD,
     "/dataset/queries"},
    {"\"dataset\": {\"queries\": 5, \"lengths\": {\"name\": \"ten\"}}", LQ_EREFERENCE,
     "/dataset/lengths/name"},
    {"\"dataset\": {\"queries\": 5, \"lengths\": {\"sample\": [0]}}", LQ_EFIELD,
     "/dataset/lengths/sample/0"},
    {"\"dataset\": {\"lengths\": {\"name\": \"two\"}, \"padding\": \"left\"}", LQ_EFIELD,
     "/dataset/padding"},
    {"\"dataset\": {\"lengths\": {\"name\": \"two\"}, \"padding\": \"packed\"}", LQ_EFIELD,
     "/dataset/cutoff_tokens"},
    {"\"dataset\": {\"lengths\": {\"name\": \"two\"}, \"cutoff_tokens\": 0}", LQ_EFIELD,
     "/dataset/cutoff_tokens"},
    {"\"dataset\": {\"lengths\": {\"name\": \"two\"}, \"padding_multiple\": 0}", LQ_EFIELD,
     "/dataset/padding_multiple"},
    {"\"dataset\": {\"lengths\": {\"name\": \"two\"}, \"shuffle\": true}", LQ_EFIELD,
     "/dataset/shuffle"},
    {"\"epochs\": 0", LQ_EFIELD, "/epochs"},
    {"\"epochs\": \"ten\"", LQ_EFIELD, "/epochs"},
    {"\"batch_size\": \"most\"", LQ_EFIELD, "/batch_size"},
    {"\"batch_size\": 0", LQ_EFIELD, "/batch_size"},
    {"\"batch_size\": 2.5", LQ_EFIELD, "/batch_size"},
    {"\"batch_size\": true", LQ_EFIELD, "/batch_size"},
    {"\"stack\": \"my stack\"", LQ_EFIELD, "/stack"}, /* unknown ones are fine, but for this */
    {"\"stack\": \"vllm\"", LQ_EFIELD, "/stack"},     /* trains nothing */
    {"\"estimator\": \"best\"", LQ_EFIELD, "/estimator"},
    {"\"providers\": []", LQ_EFIELD, "/providers"},
    {"\"providers\": \"cheap-2024\"", LQ_EFIELD, "/providers"},
    {"\"providers\": [\"cheap-2024\", 7]", LQ_EFIELD, "/providers/1"},
    {"\"providers\": [\"cheap-2024\", \"dear\"]", LQ_EREFERENCE, "/providers/1"},
    {"\"providers\": [\"cheap-2024\"], \"usd_per_gpu_hour\": 1", LQ_EFIELD, "/usd_per_gpu_hour"},
    {"\"usd_per_gpu_hour\": 0", LQ_EFIELD, "/usd_per_gpu_hour"},
    {"\"usd_per_gpu_hour\": -1", LQ_EFIELD, "/usd_per_gpu_hour"},
    {"\"confidence\": 1", LQ_EFIELD, "/confidence"},
    {"\"confidence\": 0", LQ_EFIELD, "/confidence"},
    {"\"layout\": \"manual\"", LQ_EFIELD, "/layout"},
    {"\"layout\": {\"rows\": 2}", LQ_EFIELD, "/layout/rows"},
    {"\"layout\": {\"tensor\": 2}", LQ_EFIELD, "/layout/tensor"},
    {"\"layout\": {\"tensor\": 0}", LQ_EFIELD, "/layout/tensor"},
    {"\"layout\": {\"zero_stage\": 4}", LQ_EFIELD, "/layout/zero_stage"},
    {"\"layout\": {\"zero_group\": 1}", LQ_EFIELD, "/layout/zero_group"},
    {"\"layout\": []", LQ_EFIELD, "/layout"},
    {"\"gpu_count\": 4, \"layout\": {\"data\": 2}", LQ_EFIELD, "/layout/data"},
    {"\"gpu_count\": 4, \"layout\": {\"expert\": 3}", LQ_EFIELD, "/layout/expert"},
    {"\"gpu_count\": 9, \"layout\": {\"pipeline\": 9}", LQ_EFIELD, "/layout/pipeline"},
    {"\"gpu_count\": 3, \"layout\": {\"tensor\": 3}", LQ_EFIELD, "/layout/tensor"},
    {"\"gpu_count\": 16, \"layout\": {\"nodes\": 1}", LQ_EFIELD, "/layout/nodes"},
    {"\"node_gpu_count\": 0", LQ_EFIELD, "/node_gpu_count"},
    {"\"internode_gb_s\": 0", LQ_EFIELD, "/internode_gb_s"},
    {"\"expert_load\": 7", LQ_EFIELD, "/expert_load"},
    {"\"expert_load\": [1, 2, 3]", LQ_EFIELD, "/expert_load"},
    {"\"expert_load\": [1, 1, 1, 1, 1, 1, 1, -1]", LQ_EFIELD, "/expert_load/7"},
    {"\"expert_load\": [0, 0, 0, 0, 0, 0, 0, 0]", LQ_EFIELD, "/expert_load"},
    {"\"expert_load\": {}", LQ_EFIELD, "/expert_load/variance"},
    {"\"expert_load\": {\"variance\": -1}", LQ_EFIELD, "/expert_load/variance"},
    {"\"expert_load\": {\"variance\": 1094}", LQ_EFIELD, "/expert_load/variance"},
    {"\"model\": \"small-dense\", \"expert_load\": [1]", LQ_EFIELD, "/expert_load"},
    {"\"model\": \"small-dense\", \"expert_load\": {\"variance\": 1}", LQ_EFIELD, "/expert_load"},
    {"\"optimizations\": \"compile\"", LQ_EFIELD, "/optimizations"},
    {"\"optimizations\": [\"compile\", \"magic\"]", LQ_EFIELD, "/optimizations/1"},
    {"\"optimizations\": [7]", LQ_EFIELD, "/optimizations/0"},
    {"\"batchsize\": 4", LQ_EFIELD, "/batchsize"},
};

START_TEST(bad_members_are_refused_where_they_are_wrong)
{
    decode(job_with(BAD[_i].more), "/jobs/3");
    ck_assert_msg(faults.count == 1, "%s: %zu faults", BAD[_i].more, faults.count);
    ck_assert_int_eq(faults.items[0].code, BAD[_i].code);
    char pointer[LQ_POINTER_MAX];
    snprintf(pointer, sizeof pointer, "/jobs/3%s", BAD[_i].pointer);
    ck_assert_str_eq(faults.items[0].pointer, pointer);
    lq_job_release(&document);
}
END_TEST

START_TEST(all_bad_members_are_told_at_once)
{
    decode(job_with("\"gpu\": \"A41\", \"gpu_count\": 0, \"stack\": \"m e\", \"colour\": \"red\", "
                    "\"batch_size\": -1, \"dataset\": {\"lengths\": {\"sample\": [0, 0]}}"),
           "");
    ck_assert_uint_eq(faults.count, 7);
    lq_job_release(&document);
    decode(json_pack("{}"), "");
    ck_assert_uint_eq(faults.count, 3);
    lq_job_release(&document);
    decode(json_pack("[]"), "");
    ck_assert_int_eq(faults.items[0].code, LQ_EFIELD);
    lq_job_release(&document);
}
END_TEST

/* The echo as a job again: its data's members go back into `dataset`. */
static json_t *job_of_echo(json_t *echo)
{
    json_t *job = json_pack("{s:s, s:s, s:{s:{s:s}}}", "model", "small-moe", "gpu", "S1", "dataset",
                            "lengths", "name", "two");
    static const char *const DATA[] = {"queries", "padding", "padding_multiple", "cutoff_tokens"};
    for (int i = 0; i < 4; i++) {
        json_object_set(json_object_get(job, "dataset"), DATA[i], json_object_get(echo, DATA[i]));
        ck_assert_int_eq(json_object_del(echo, DATA[i]), 0);
    }
    json_object_update(job, echo);
    return job;
}

START_TEST(the_echo_decodes_to_the_same_job)
{
    static const char *const JOBS[] = {
        "",
        "\"method\": {\"kind\": \"qlora\", \"rank\": 4, \"targets\": [\"router\"]}, "
        "\"batch_size\": 7, \"epochs\": 2.25, \"gpu_count\": 2, \"stack\": \"torchtune\"",
        "\"method\": \"full\", \"gradient_checkpointing\": false, \"master_weights\": true, "
        "\"attention\": \"eager\", \"optimizer\": \"adafactor\", \"precision\": \"fp32\"",
        "\"dataset\": {\"lengths\": {\"name\": \"two\"}, \"padding\": \"packed\", "
        "\"cutoff_tokens\": 2048, \"padding_multiple\": 1}, \"confidence\": 0.75, "
        "\"providers\": [\"cheap-2024\"], \"estimator\": \"measured\", \"active_experts\": 5",
    };
    must_decode(JOBS[_i]);
    json_t *echo = lq_job_encode(&document);
    lq_job_release(&document);
    json_t *kept = json_deep_copy(echo);
    const enum lq_code code = decode(job_of_echo(echo), "");
    ck_assert_msg(code == LQ_OK, "%s %s", faults.items[0].pointer, faults.items[0].detail);
    json_t *again = lq_job_encode(&document);
    ck_assert(json_equal(again, kept));
    lq_job_release(&document);
    json_decref(again);
    json_decref(kept);
    json_decref(echo);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_json");
    TCase *tests = tcase_create("job_json");
    tcase_add_test(tests, what_is_left_out_has_the_documented_defaults);
    tcase_add_test(tests, every_member_is_taken);
    tcase_add_test(tests, queries_come_from_the_lengths_where_they_tell);
    tcase_add_test(tests, a_config_json_stands_in_for_a_model);
    tcase_add_test(tests, null_is_as_good_as_left_out);
    tcase_add_test(tests, a_layout_is_completed_from_the_devices);
    tcase_add_test(tests, the_best_layout_is_sought_where_none_is_given);
    tcase_add_test(tests, an_expert_load_is_its_shares_or_their_variance);
    tcase_add_test(tests, a_stack_has_options_of_its_own_unless_told_otherwise);
    tcase_add_loop_test(tests, bad_members_are_refused_where_they_are_wrong, 0,
                        sizeof BAD / sizeof BAD[0]);
    tcase_add_test(tests, all_bad_members_are_told_at_once);
    tcase_add_loop_test(tests, the_echo_decodes_to_the_same_job, 0, 4);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
