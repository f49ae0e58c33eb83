/* What the importers refuse, and in which words: files that are not what they claim, runs that say
 * too little or nonsense, rows of tables. */
#include "kernels/document/point.h"
#include "kernels/import/config.h"
#include "kernels/import/file.h"
#include "tests/unit/check_main.h"
#include "tests/worker/import_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct imported got;

#define ALL                                                                                        \
    "gpu A40, source lab, stack hf-2024, model llama-2-7b, method full, gradient-checkpointing "   \
    "true, "                                                                                       \
    "gpu-count 1, batch-size 4, gradient-accumulation-steps 1, sequence-tokens 256"

/* Imports a file of that name and text alone in a folder. */
static void import_text(const char *name, const char *text, const char *options)
{
    char folder[64];
    char path[512];
    folder_write(folder_make(folder), name, text, strlen(text));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    import_path(path, options, &got);
    folder_remove(folder);
}

static void check_refused(enum lq_code code, const char *part)
{
    ck_assert_msg(got.code == code && strstr(got.detail, part) != NULL,
                  "wanted %d \"%s\", got %d: %s", (int)code, part, (int)got.code, got.detail);
    ck_assert_uint_eq(got.points, 0);
}

static const struct {
    const char *name;
    const char *text;
    enum lq_code code;
    const char *part;
} FILES[] = {
    {"trainer_state.json", "", LQ_ESYNTAX, "is empty"},
    {"trainer_state.json", "\xEF\xBB\xBF \r\n", LQ_ESYNTAX, "is empty"},
    {"trainer_state.json", "<!DOCTYPE html><html></html>", LQ_ESYNTAX, "web page (HTML)"},
    {"trainer_state.json", "{\"log_history\": [", LQ_ESYNTAX, "line 1: no JSON, or cut off"},
    {"trainer_state.json", "{}", LQ_EFIELD, "has not finished"},
    {"trainer_state.json", "[]", LQ_EFIELD, "has not finished"},
    {"trainer_state.json", "{\"global_step\": 60, \"log_history\": [{\"train_runtime\": NaN}]}",
     LQ_EFIELD, "has not finished"},
    {"trainer_state.json", "{\"global_step\": 60, \"log_history\": [{\"train_runtime\": -4}]}",
     LQ_EFIELD, "has not finished"},
    {"trainer_state.json", "{\"global_step\": 0, \"log_history\": [{\"train_runtime\": 9}]}",
     LQ_EFIELD, "a run of no steps"},
    {"trainer_state.json", "{\"global_step\": 4, \"log_history\": [{\"train_runtime\": 9}]}",
     LQ_EFIELD, "only 4 steps, mostly start-up; --allow-short"},
    {"trainer_state.json",
     "{\"global_step\": 9, \"log_history\": [{\"eval_runtime\": 10}, {\"train_runtime\": 9}]}",
     LQ_EFIELD, "contradict each other"},
    {"trainer_state.json",
     "{\"global_step\": 9, \"log_history\": [{\"train_runtime\": 5}, {\"train_runtime\": 9}]}",
     LQ_EFIELD, "was resumed"},
    {"all_results.json", "{\"eval_loss\": 1.5}", LQ_EFIELD, "has not finished"},
    {"state.json", "{\"log_history\": []}", LQ_ESYNTAX, "must be called as that calls it"},
    {"notes.txt", "nothing to see", LQ_ESYNTAX, "no format that is known"},
    {"notes.txt", "Step by step\n", LQ_ESYNTAX, "no whole line"},
    {"log_1.txt", "Step 1 | loss:1.0 tokens_per_second_per_gpu:5.0", LQ_ESYNTAX, "no whole line"},
    {"log_1.txt", "Step 1 | loss:1.0 lr:1e-5 \n", LQ_ESYNTAX, "no whole line"},
    {"log_1.txt", "Step 1 | tokens_per_second_per_gpu:nan \n", LQ_EFIELD,
     "line 1: tokens_per_second_per_gpu is no number above 0"},
    {"log_1.txt", "Step 1 | tokens_per_second_per_gpu:-5 \n", LQ_EFIELD, "no number above 0"},
    {"log_1.txt", "Step 1 | tokens_per_second_per_gpu:5 \n", LQ_EFIELD, "only 1 logged steps"},
    {"trainer_log.jsonl", "{\"current_steps\": 1, \"elapsed", LQ_ESYNTAX, "line 1 is no JSON"},
    {"trainer_log.jsonl", "{\"current_steps\": 1, \"loss\": 1}\n", LQ_ESYNTAX,
     "line 1 has no current_steps and elapsed_time"},
    {"trainer_log.jsonl", "{\"current_steps\": 1, \"loss\": 1, \"elapsed_time\": \"-1:00:00\"}\n",
     LQ_ESYNTAX, "line 1 has no current_steps and elapsed_time"},
    {"trainer_log.jsonl", "{\"current_steps\": 5, \"loss\": 1, \"elapsed_time\": \"0:01:00\"}\n",
     LQ_EFIELD, "1 entries up to step 5: too few"},
    {"trainer_log.jsonl",
     "{\"current_steps\": 5, \"loss\": 1, \"elapsed_time\": \"0:01:00\"}\n\n"
     "{\"current_steps\": 10, \"loss\": 1, \"elapsed_time\": \"0:01:05\"}\n",
     LQ_EFIELD, "5 s after the warm-up, in a log of whole seconds: too short; --allow-short"},
    {"a.csv", "# nothing\n", LQ_ESYNTAX, "no header"},
    {"a.csv", "model,speed\n", LQ_ESYNTAX, "line 1: no column is called \"speed\""},
    {"a.csv", "model,row_tokens\n", LQ_ESYNTAX, "no column is called \"row_tokens\""},
    {"a.csv", "gpu,model,gpu\n", LQ_ESYNTAX, "two columns \"gpu\""},
    {"a.csv", "model,gpu\n", LQ_ESYNTAX, "a header and no rows"},
    {"a.csv", "\"model\n", LQ_ESYNTAX, "line 1: a quote is not closed"},
    {"a.csv", "step_time_s,rank\n1,2\n1\n1,2,3\n\"1\"x,2\n1\"2,3\n", LQ_EFIELD,
     "4 bad rows, none imported: line 3: 1 fields where the header has 2; line 4: 3 fields where "
     "the header has 2; line 5: text beside quotes; line 6: a quote inside a field"},
    {"a.csv", "step_time_s\n-1\n", LQ_EFIELD,
     "line 2: this row: step_time_s must be a number above 0, got \"-1\" from line 2"},
    {"a.csv", "step_time_s\n0\n", LQ_EFIELD, "must be a number above 0"},
    {"a.csv", "step_time_s\nnan\n", LQ_EFIELD, "must be a number above 0"},
    {"a.csv", "step_time_s\n1e300\n", LQ_EFIELD, "step_time_s: must be from 1e-09 to 1e+09"},
    {"a.csv", "step_time_s,queries_per_s\n1,1\n", LQ_EFIELD, "exactly one of"},
    {"a.csv", "out_of_memory,peak_memory_bytes\ntrue,5\n", LQ_EFIELD, "memory ran out"},
    {"a.csv", "dataset\nx\n", LQ_EFIELD, "one of queries_per_s, step_time_s and out_of_memory"},
    {"a.csv", "step_time_s,active_experts\n1,1.5\n", LQ_EFIELD, "must be a whole number"},
    {"a.csv", "step_time_s,dataset\n1,a b\n", LQ_EFIELD, "must be letters, digits"},
    {"a.csv", "step_time_s,measured_at\n1,2026-07-20\n", LQ_EFIELD, "must be in UTC like"},
    {"a.csv", "step_time_s,optimizer\n1,lion\n", LQ_EFIELD,
     "must be one of adamw adamw-8bit paged-adamw-8bit adafactor sgd, got \"lion\""},
    {"a.csv", "step_time_s,optimizations\n1,fast\n", LQ_EFIELD, "none, or of compile"},
    {"a.csv", "step_time_s,zero_stage\n1,4\n", LQ_EFIELD, "must be 0, 1, 2 or 3"},
    {"a.csv", "step_time_s,master_weights\n1,yes\n", LQ_EFIELD, "must be true or false"},
    {"a.csv", "step_time_s,quantization\n1,nf4\n", LQ_EFIELD, "must be qlora"},
};

START_TEST(bad_file_is_refused_in_clear_words)
{
    import_text(FILES[_i].name, FILES[_i].text, ALL);
    check_refused(FILES[_i].code, FILES[_i].part);
}
END_TEST

START_TEST(binary_missing_and_huge_files)
{
    char folder[64];
    char path[512];
    folder_write(folder_make(folder), "trainer_state.json", "{\"a\0b\": 1}", 10);
    snprintf(path, sizeof path, "%s/trainer_state.json", folder);
    import_path(path, ALL, &got);
    check_refused(LQ_ESYNTAX, "binary");
    ck_assert_int_eq(truncate(path, (off_t)LQ_IMPORT_BYTES_MAX + 1), 0);
    import_path(path, ALL, &got);
    check_refused(LQ_EFILE, "larger than 64 MiB");
    import_path("/nowhere/at/all", ALL, &got);
    check_refused(LQ_EFILE, "cannot read /nowhere/at/all: No such file");
    ck_assert_int_eq(unlink(path), 0);
    import_path(folder, ALL, &got);
    check_refused(LQ_ESYNTAX, "a folder without trainer_log.jsonl");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    import_path(path, ALL, &got);
    check_refused(LQ_EFILE, "no regular file");
    folder_remove(folder);
}
END_TEST

START_TEST(short_run_is_taken_when_asked_for)
{
    const char *text = "{\"global_step\": 4, \"log_history\": [{\"train_runtime\": 8}]}";
    import_text("trainer_state.json", text, ALL ", allow-short");
    ck_assert_msg(strstr(got.json, "\"queries_per_s\":2.0,") != NULL, "%s", got.detail);
}
END_TEST

START_TEST(adapters_that_a_point_cannot_say)
{
    static const char *const ADAPTERS[][2] = {{"{\"peft_type\": \"IA3\"}", "PEFT's IA3"},
                                              {"{\"use_dora\": true}", "DoRA"}};
    for (size_t i = 0; i < 2; i++) {
        char folder[64];
        const char *state = "{\"global_step\": 9, \"log_history\": [{\"train_runtime\": 8}]}";
        folder_write(folder_make(folder), "trainer_state.json", state, strlen(state));
        folder_write(folder, "adapter_config.json", ADAPTERS[i][0], strlen(ADAPTERS[i][0]));
        import_path(folder, ALL, &got);
        folder_remove(folder);
        check_refused(LQ_EFIELD, ADAPTERS[i][1]);
    }
}
END_TEST

static void check_model(const char *name, const char *id)
{
    struct lq_import_run run = {0};
    lq_import_say_model(&run, "a test", name);
    ck_assert_msg(lq_fact_is(&run.facts, LQ_FACT_MODEL, id), "%s: \"%s\"", name,
                  run.facts.value[LQ_FACT_MODEL].text);
    ck_assert_uint_eq(run.notices.count, id[0] == '\0' ? 1 : 0);
}

START_TEST(model_is_known_by_its_repository_and_by_no_path)
{
    check_model("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b");
    check_model("meta-llama/Llama-2-7b-chat-hf", "llama-2-7b");
    check_model("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b");
    check_model("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3");
    check_model("unsloth/Qwen2.5-7B-Instruct-bnb-4bit", "qwen2.5-7b");
    check_model("Qwen/Qwen3-8B-Base", "qwen3-8b");
    check_model("google/gemma-2-9b-it", "gemma-2-9b");
    check_model("torchtune.models.llama3_2.qlora_llama3_2_1b", "llama-3.2-1b");
    check_model("/home/u/models/Llama-2-7b-hf", "");
    check_model("./Llama-2-7b-hf", "");
    check_model("a/b/Llama-2-7b-hf", "");
    check_model("C:\\models\\Llama-2-7b-hf", "");
    check_model("someone/my-own-7b", "");
    check_model("", "");
}
END_TEST

START_TEST(target_modules_become_targets)
{
    struct lq_import_run run = {0};
    lq_import_say_targets(&run, "a test", "['model.layers.0.self_attn.q_proj', query_key_value]");
    ck_assert_str_eq(run.facts.value[LQ_FACT_TARGETS].text, "q,q,k,v");
    run = (struct lq_import_run){0};
    lq_import_say_targets(&run, "a test", "in_proj,out_proj");
    ck_assert_str_eq(run.facts.value[LQ_FACT_TARGETS].text, "in_proj,out_proj");
    run = (struct lq_import_run){0};
    lq_import_say_targets(&run, "a test", "q_proj,^model.*$");
    ck_assert_str_eq(run.facts.value[LQ_FACT_TARGETS].text, "");
    ck_assert_uint_eq(run.notices.count, 1);
}
END_TEST

static void check_setting(const char *text, const char *path, const char *value)
{
    char copy[512];
    char out[64] = "";
    snprintf(copy, sizeof copy, "%s", text);
    const struct lq_import_text lines = {copy, strlen(copy)};
    const bool found = lq_import_setting(&lines, path, out, sizeof out);
    ck_assert_msg(found == (value != NULL) && strcmp(out, value != NULL ? value : "") == 0,
                  "%s in %s: \"%s\"", path, text, out);
}

START_TEST(settings_are_read_from_the_flat_part_of_yaml)
{
    check_setting("a: 1\nb: 'x # y' # z\r\n", "b", "x # y");
    check_setting("m:\n  r: 8 # eight\n  s: 9\nr: 7\n", "m.r", "8");
    check_setting("m:\n  r: 8\nr: 7\n", "r", "7");
    check_setting("m:\n  n:\n    r: 8\n", "m.r", NULL);
    check_setting("n:\n  r: 8\nm:\n", "m.r", NULL);
    check_setting("l:\n- a\n- 'b'\nc: d\n", "l", "[a, b]");
    check_setting("m:\n  l:\n    - a\n    - b\n  c: d\n", "m.l", "[a, b]");
    check_setting("l: [a,\n b]\n", "l", "[a,\n b]");
    check_setting("- num_devices: 4\n", "num_devices", "4");
    check_setting("ab: 1\n", "a", NULL);
    check_setting("a:1\n", "a", NULL);
    check_setting("-\n:\na:\n", "a", NULL);
    check_setting("", "a", NULL);
}
END_TEST

START_TEST(numbers_that_are_none_make_no_point)
{
    char *json = NULL;
    const double bad[] = {(double)NAN, HUGE_VAL, -1.0, 1e10};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lq_error err = {0};
        struct lq_measured_point point = lq_measured_point_new();
        memcpy(point.model, "m", 2);
        memcpy(point.gpu, "g", 2);
        memcpy(point.stack, "s", 2);
        point.method = 0;
        point.batch_size = 1;
        point.sequence_tokens = 1;
        point.step_time_s = bad[i];
        ck_assert_int_eq(lq_point_write(&point, &json, &err), LQ_EFIELD);
        ck_assert_str_eq(err.pointer, "/step_time_s");
    }
    ck_assert_ptr_null(json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import_bad");
    TCase *tests = tcase_create("bad");
    tcase_add_loop_test(tests, bad_file_is_refused_in_clear_words, 0,
                        sizeof FILES / sizeof FILES[0]);
    tcase_add_test(tests, binary_missing_and_huge_files);
    tcase_add_test(tests, short_run_is_taken_when_asked_for);
    tcase_add_test(tests, adapters_that_a_point_cannot_say);
    tcase_add_test(tests, model_is_known_by_its_repository_and_by_no_path);
    tcase_add_test(tests, target_modules_become_targets);
    tcase_add_test(tests, settings_are_read_from_the_flat_part_of_yaml);
    tcase_add_test(tests, numbers_that_are_none_make_no_point);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
