/* Sample logs cut off and with bytes changed: no import crashes, and none yields a number that no
 * run has. */
#include "tests/unit/check_main.h"
#include "tests/worker/import_fixture.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 7: cuts fall on every place of a repeated line. 100 changes of each file keep this under two
 * seconds with sanitizers. */
enum { CUT_STEP = 7, CHANGES = 100, TEXT_MAX = 16384 };

#define ALL                                                                                        \
    "gpu A40, source lab, model llama-2-7b, method lora, rank 8, targets q, gpu-count 1, "         \
    "gradient-checkpointing true, sequence-tokens 256, row-tokens 256"

static const struct {
    const char *folder;
    const char *name;
} SAMPLES_OF[] = {
    {"hf-lora", "trainer_state.json"},
    {"hf-lora", "adapter_config.json"},
    {"hf-lora", "all_results.json"},
    {"hf-full", "trainer_state.json"},
    {"hf-full", "training_args.json"},
    {"hf-full", "config.json"},
    {"hf-old", "trainer_state.json"},
    {"torchtune-lora", "log_1729843200.txt"},
    {"torchtune-lora", "torchtune_config.yaml"},
    {"llamafactory-qlora", "trainer_log.jsonl"},
    {"llamafactory-qlora", "training_args.yaml"},
    {"llamafactory-qlora", "all_results.json"},
    {".", "table.csv"},
};
enum { SAMPLE_COUNT = sizeof SAMPLES_OF / sizeof SAMPLES_OF[0] };

static size_t read_sample(const char *folder, const char *name, char data[TEXT_MAX])
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", SAMPLES, folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    const size_t size = fread(data, 1, TEXT_MAX, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_uint_lt(size, TEXT_MAX);
    return size;
}

/* A copy of a sample's folder. */
static void copy_folder(const char *from, const char *to)
{
    static char data[TEXT_MAX];
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        if (strcmp(SAMPLES_OF[i].folder, from) == 0) {
            const size_t size = read_sample(from, SAMPLES_OF[i].name, data);
            folder_write(to, SAMPLES_OF[i].name, data, size);
        }
    }
}

static void check_number(const char *json, const char *name)
{
    for (const char *at = strstr(json, name); at != NULL; at = strstr(at + 1, name)) {
        const double value = strtod(at + strlen(name), NULL);
        ck_assert_msg(isfinite(value) && value > 0.0 && value <= 1e15, "%s %s", name, json);
    }
}

static void import_changed(const char *folder, const char *name, const char *data, size_t size)
{
    static struct imported got;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    folder_write(folder, name, data, size);
    import_path(strcmp(name, "table.csv") == 0 ? path : folder, ALL, &got);
    ck_assert(got.code == LQ_OK || got.detail[0] != '\0');
    ck_assert(got.code == LQ_OK || got.points == 0);
    check_number(got.json, "\"queries_per_s\":");
    check_number(got.json, "\"step_time_s\":");
    check_number(got.json, "\"peak_memory_bytes\":");
    check_number(got.json, "\"batch_size\":");
    check_number(got.json, "\"sequence_tokens\":");
    check_number(got.json, "\"gpu_count\":");
}

START_TEST(cut_files_are_read_or_refused)
{
    static char data[TEXT_MAX];
    char folder[64];
    copy_folder(SAMPLES_OF[_i].folder, folder_make(folder));
    const size_t size = read_sample(SAMPLES_OF[_i].folder, SAMPLES_OF[_i].name, data);
    for (size_t cut = 0; cut < size; cut += CUT_STEP) {
        import_changed(folder, SAMPLES_OF[_i].name, data, cut);
    }
    folder_remove(folder);
}
END_TEST

START_TEST(changed_files_are_read_or_refused)
{
    static char data[TEXT_MAX];
    char folder[64];
    uint64_t state = UINT64_C(88172645463325252) + (unsigned)_i; /* xorshift64, Marsaglia 2003 */
    copy_folder(SAMPLES_OF[_i].folder, folder_make(folder));
    const size_t size = read_sample(SAMPLES_OF[_i].folder, SAMPLES_OF[_i].name, data);
    for (int change = 0; change < CHANGES; change++) {
        static char copy[TEXT_MAX];
        memcpy(copy, data, size);
        for (int i = 0; i <= change % 4; i++) {
            state ^= state << 13U;
            state ^= state >> 7U;
            state ^= state << 17U;
            static const char SHARP[] = "\0-9e\"{}[],:\n.";
            const size_t at = (size_t)(state % size);
            if (change % 2 == 0) {
                copy[at] = SHARP[(state >> 32U) % (sizeof SHARP - 1)];
            } else {
                const unsigned flipped = (unsigned char)copy[at] ^ (1U << ((state >> 40U) % 8U));
                copy[at] = (char)flipped;
            }
        }
        import_changed(folder, SAMPLES_OF[_i].name, copy, size);
    }
    folder_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import_fuzz");
    TCase *tests = tcase_create("fuzz");
    tcase_add_loop_test(tests, cut_files_are_read_or_refused, 0, SAMPLE_COUNT);
    tcase_add_loop_test(tests, changed_files_are_read_or_refused, 0, SAMPLE_COUNT);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
