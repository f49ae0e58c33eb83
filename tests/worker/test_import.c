/* Sample logs as points, every member of them. Bad input is in test_import_bad.c. */
#include "kernels/import/rate.h"
#include "tests/unit/check_main.h"
#include "tests/worker/import_fixture.h"

#include <string.h>

static struct imported got;

#define COMMON "gpu A40, source lab"

static void check_point(const char *json)
{
    ck_assert_msg(got.code == LQ_OK, "%s", got.detail);
    ck_assert_str_eq(got.json, json);
}

static void check_notice(const char *part)
{
    ck_assert_msg(strstr(got.notices, part) != NULL, "no \"%s\" in:\n%s", part, got.notices);
}

static void check_refused(const char *part)
{
    ck_assert_int_ne(got.code, LQ_OK);
    ck_assert_str_eq(got.json, "");
    ck_assert_msg(strstr(got.detail, part) != NULL, "no \"%s\" in: %s", part, got.detail);
}

START_TEST(trainer_state_tells_rate_without_evaluations)
{
    import_sample("hf-lora",
                  COMMON ", method qlora, gradient-checkpointing true, sequence-tokens 512", &got);
    /* 4.0 rows/s * 480 s / (480 s - 2 * 15 s) */
    check_point(
        "{\"model\":\"llama-3.1-8b\",\"gpu\":\"A40\",\"gpu_count\":1,\"method\":{\"kind\":"
        "\"qlora\","
        "\"rank\":16,\"targets\":[\"q\",\"v\"]},\"stack\":\"hf-2024\","
        "\"gradient_checkpointing\":true,\"gradient_accumulation_steps\":4,\"batch_size\":4,"
        "\"sequence_tokens\":512,\"queries_per_s\":4.26666666666667,\"source\":\"lab\","
        "\"note\":\"import: Hugging Face Trainer, mean of 120 steps in 450 s, start-up and saving "
        "included, evaluations (2, 30 s) not\"}\n");
    check_notice("gpu_count is 1");
    check_notice("precision: said nowhere; counts as bf16 unless --precision says otherwise");
}
END_TEST

START_TEST(whether_a_base_was_quantised_is_not_guessed)
{
    import_sample("hf-lora", COMMON, &got);
    check_refused("give --method --gradient-checkpointing --sequence-tokens");
}
END_TEST

START_TEST(full_tuning_with_nan_losses_and_tokens_seen)
{
    import_sample("hf-full/trainer_state.json", COMMON, &got);
    check_point(
        "{\"model\":\"qwen2.5-7b\",\"gpu\":\"A40\",\"gpu_count\":8,\"method\":{\"kind\":\"full\"},"
        "\"stack\":\"hf-2024\",\"precision\":\"bf16\",\"optimizer\":\"adamw\","
        "\"gradient_checkpointing\":true,\"layout\":{\"zero_stage\":3},"
        "\"gradient_accumulation_steps\":1,\"batch_size\":2,\"sequence_tokens\":1024,"
        "\"queries_per_s\":8.0,\"source\":\"lab\",\"note\":\"import: Hugging Face Trainer, mean of "
        "50 steps in 100 s, start-up and saving included, evaluations (0, 0 s) not\"}\n");
    check_notice("sequence_tokens: 1024, the mean row");
    check_notice("16 rows a step at batch size 2: gpu_count is 8");
}
END_TEST

START_TEST(old_transformers_print_steps_as_samples)
{
    const char *options = COMMON ", model opt-1.3b, method full, gradient-checkpointing false, "
                                 "gpu-count 2, batch-size 8, gradient-accumulation-steps 1, "
                                 "sequence-tokens 256";
    import_sample("hf-old", options, &got);
    /* 200 steps in 400 s of 16 rows each */
    ck_assert_msg(strstr(got.json, "\"queries_per_s\":8.0,") != NULL, "%s%s", got.detail, got.json);
}
END_TEST

START_TEST(last_checkpoint_counts)
{
    const char *options = COMMON ", model llama-2-7b, method full, gradient-checkpointing true, "
                                 "gpu-count 2, sequence-tokens 256";
    import_sample("hf-checkpoints", options, &got);
    ck_assert_msg(strstr(got.json, "\"gradient_accumulation_steps\":2,") != NULL, "%s%s",
                  got.detail, got.json);
    check_notice("2 checkpoints: the last, checkpoint-200, is taken");
}
END_TEST

START_TEST(unfinished_run_has_no_rate)
{
    import_sample("hf-unfinished", COMMON, &got);
    check_refused("has not finished");
}
END_TEST

START_TEST(torchtune_log_and_recipe)
{
    import_sample("torchtune-lora", COMMON, &got);
    /* 4096 tokens/s over rows of 2048; 14.25 GiB */
    check_point(
        "{\"model\":\"llama-3.1-8b\",\"gpu\":\"A40\",\"gpu_count\":1,\"method\":{\"kind\":\"lora\","
        "\"rank\":8,\"targets\":[\"mlp\",\"q\",\"v\",\"o\"]},\"stack\":\"torchtune\","
        "\"precision\":\"bf16\",\"optimizer\":\"adamw\",\"gradient_checkpointing\":true,"
        "\"optimizations\":[\"chunked-loss\"],\"gradient_accumulation_steps\":8,\"batch_size\":2,"
        "\"sequence_tokens\":2048,\"queries_per_s\":2.0,\"peak_memory_bytes\":15300820992.0,"
        "\"measured_at\":\"2024-10-25T08:00:00Z\",\"source\":\"lab\",\"note\":\"import: torchtune, "
        "median of 18 steps behind the first 2; middle half 4086 to 4106 tokens/s per GPU\"}\n");
    check_notice("assumed: packed rows of 2048 tokens are full");
}
END_TEST

START_TEST(torchtune_rows_that_are_not_packed_need_their_tokens)
{
    import_sample("torchtune-full", COMMON, &got);
    check_refused("give --gpu-count --sequence-tokens --row-tokens");
    check_notice("depends on torchtune's version");
    import_sample("torchtune-full",
                  COMMON ", gpu-count 4, lengths alpaca, padding longest, row-tokens 161.2", &got);
    /* drops the first of ten: the median of 802 to 810, times 4 GPUs */
    check_point(
        "{\"model\":\"llama-2-7b\",\"gpu\":\"A40\",\"gpu_count\":4,\"method\":{\"kind\":\"full\"},"
        "\"stack\":\"torchtune\",\"precision\":\"bf16\",\"optimizer\":\"paged-adamw-8bit\","
        "\"gradient_checkpointing\":true,\"optimizations\":[\"optimizer-in-backward\"],"
        "\"layout\":{\"zero_stage\":3},\"gradient_accumulation_steps\":1,\"batch_size\":2,"
        "\"lengths\":{\"name\":\"alpaca\"},\"padding\":\"longest\","
        "\"queries_per_s\":20.0,\"peak_memory_bytes\":42412802048.0,"
        "\"measured_at\":\"2024-06-10T06:13:20Z\",\"source\":\"lab\",\"note\":\"import: torchtune, "
        "median of 9 steps behind the first 1; middle half 804 to 808 tokens/s per GPU\"}\n");
}
END_TEST

START_TEST(llamafactory_log_is_timed_by_itself)
{
    import_sample("llamafactory-qlora", COMMON, &got);
    check_point(
        "{\"model\":\"mistral-7b-v0.1\",\"gpu\":\"A40\",\"gpu_count\":1,\"method\":{\"kind\":"
        "\"qlora\",\"rank\":8,\"targets\":[\"all-linear\"],\"quantization\":\"nf4-dq\"},"
        "\"stack\":\"hf-2024\",\"precision\":\"bf16\",\"optimizer\":\"adamw\","
        "\"gradient_checkpointing\":true,\"gradient_accumulation_steps\":8,\"batch_size\":2,"
        "\"sequence_tokens\":256,\"queries_per_s\":4.55284552845528,\"source\":\"lab\","
        "\"note\":\"import: LLaMA-Factory, middle half of 26 windows behind step 40, 3.4 to 3.6 s "
        "a "
        "step\"}\n");
}
END_TEST

START_TEST(packed_queries_are_said_by_the_step)
{
    const char *options = COMMON ", model llama-2-7b, method lora, rank 8, targets q+v, "
                                 "gradient-checkpointing true, gpu-count 2, batch-size 4, "
                                 "gradient-accumulation-steps 5, lengths alpaca, padding packed, "
                                 "cutoff-tokens 2048";
    import_sample("llamafactory-old", options, &got);
    /* 5 steps take 50 s: 10 s a step, 2 s a micro-batch */
    ck_assert_msg(strstr(got.json, "\"step_time_s\":2.0,") != NULL, "%s%s", got.detail, got.json);
    ck_assert_ptr_null(strstr(got.json, "queries_per_s"));
}
END_TEST

START_TEST(table_gives_a_point_per_row)
{
    import_sample("table.csv", "gradient-checkpointing selective", &got);
    check_point(
        "{\"model\":\"mixtral-8x7b\",\"gpu\":\"A40\",\"method\":{\"kind\":\"qlora\",\"rank\":16,"
        "\"targets\":[\"q\",\"v\"]},\"stack\":\"hf-2024\",\"gradient_checkpointing\":\"selective\","
        "\"batch_size\":4,\"sequence_tokens\":512,\"step_time_s\":2.5,"
        "\"peak_memory_bytes\":35000000000.0,\"source\":\"my-lab\"}\n"
        "{\"model\":\"llama-2-7b\",\"gpu\":\"A100-80GB-SXM\",\"method\":{\"kind\":\"full\"},"
        "\"stack\":\"torchtune\",\"gradient_checkpointing\":\"selective\",\"batch_size\":8,"
        "\"sequence_tokens\":2048,\"queries_per_s\":12.25,\"source\":\"my-lab\","
        "\"dataset\":\"alpaca\"}\n");
}
END_TEST

START_TEST(option_wins_with_a_notice)
{
    import_sample("torchtune-lora", COMMON ", rank 32, batch-size 2.0", &got);
    ck_assert_ptr_nonnull(strstr(got.json, "\"rank\":32,"));
    check_notice("rank: --rank says 32, torchtune_config.yaml says 8; taken is 32");
    ck_assert_ptr_null(strstr(got.notices, "batch_size:"));
}
END_TEST

START_TEST(factors_must_make_the_rows_that_the_log_counts)
{
    import_sample("hf-full", COMMON ", gpu-count 4", &got);
    check_refused("the log counts 16 rows a step, but --batch-size, --gradient-accumulation-steps "
                  "and --gpu-count make 8");
}
END_TEST

START_TEST(steady_part_leaves_out_the_warm_up)
{
    double values[] = {100.0, 90.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0};
    const struct lq_import_steady s = lq_import_steady(values, 11);
    ck_assert_uint_eq(s.dropped, 2);
    ck_assert_uint_eq(s.used, 9);
    ck_assert_double_eq(s.median, 5.0);
    ck_assert_double_eq(s.low, 3.0);
    ck_assert_double_eq(s.high, 7.0);
    ck_assert_double_eq(s.middle_mean, 5.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import");
    TCase *tests = tcase_create("samples");
    tcase_add_test(tests, trainer_state_tells_rate_without_evaluations);
    tcase_add_test(tests, whether_a_base_was_quantised_is_not_guessed);
    tcase_add_test(tests, full_tuning_with_nan_losses_and_tokens_seen);
    tcase_add_test(tests, old_transformers_print_steps_as_samples);
    tcase_add_test(tests, last_checkpoint_counts);
    tcase_add_test(tests, unfinished_run_has_no_rate);
    tcase_add_test(tests, torchtune_log_and_recipe);
    tcase_add_test(tests, torchtune_rows_that_are_not_packed_need_their_tokens);
    tcase_add_test(tests, llamafactory_log_is_timed_by_itself);
    tcase_add_test(tests, packed_queries_are_said_by_the_step);
    tcase_add_test(tests, table_gives_a_point_per_row);
    tcase_add_test(tests, option_wins_with_a_notice);
    tcase_add_test(tests, factors_must_make_the_rows_that_the_log_counts);
    tcase_add_test(tests, steady_part_leaves_out_the_warm_up);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
