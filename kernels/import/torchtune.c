/* Runs of torchtune: the DiskLogger's lines of metrics, and the recipe's YAML. */
#include "kernels/import/config.h"
#include "kernels/import/file.h"
#include "kernels/import/rate.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* torchtune prints peaks in GiB (bytes / 1024^3, torchtune/training/memory.py, 0.2 to 0.6). */
static const double GIB = 1073741824.0;

struct metrics {
    double *tokens_per_s; /* of one GPU */
    size_t count;
    size_t lines; /* lines of the form that the logger writes */
    double peak_allocated;
};

/* The number behind "name:" on a line, or -1. */
static double metric(const char *line, const char *name)
{
    const size_t size = strlen(name);
    for (const char *at = strstr(line, name); at != NULL; at = strstr(at + 1, name)) {
        char *end = NULL;
        if ((at == line || at[-1] == ' ') && at[size] == ':') {
            const double value = strtod(at + size + 1, &end);
            const bool whole =
                end != at + size + 1 && (*end == '\0' || isspace((unsigned char)*end));
            return whole && isfinite(value) ? value : -1.0;
        }
    }
    return -1.0;
}

static bool is_step(const char *line)
{
    char *end = NULL;
    return strncmp(line, "Step ", 5) == 0 && isdigit((unsigned char)line[5]) &&
           strtol(line + 5, &end, 10) >= 0 && strncmp(end, " |", 2) == 0;
}

static enum lq_code read_line(const char *name, size_t number, const char *line,
                              struct metrics *metrics, struct lq_error *err)
{
    if (!is_step(line)) {
        return LQ_OK; /* other loggers' lines, where the output was saved with them */
    }
    metrics->lines++;
    const double rate = metric(line, "tokens_per_second_per_gpu");
    const double peak = metric(line, "peak_memory_alloc");
    if (strstr(line, "tokens_per_second_per_gpu:") != NULL && !(rate > 0.0)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: line %zu: tokens_per_second_per_gpu is no number above 0", name,
                       number);
    }
    if (rate > 0.0) {
        metrics->tokens_per_s[metrics->count++] = rate;
    }
    metrics->peak_allocated = fmax(metrics->peak_allocated, peak);
    return LQ_OK;
}

static enum lq_code read_metrics(const struct lq_import_source *source, struct metrics *metrics,
                                 struct lq_error *err)
{
    struct lq_import_text text;
    LQ_TRY(lq_import_read(source, NULL, &text, err));
    size_t lines = 1;
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n';
    }
    const bool cut = text.data[text.size - 1] != '\n';
    metrics->tokens_per_s = calloc(lines, sizeof *metrics->tokens_per_s);
    if (metrics->tokens_per_s == NULL) {
        free(text.data);
        return lq_fail(err, LQ_EINTERNAL, NULL, "%.200s: out of memory", source->name);
    }
    enum lq_code code = LQ_OK;
    char *next = text.data;
    size_t number = 1;
    for (char *line; code == LQ_OK && (line = lq_import_line(&next, text.data + text.size)) != NULL;
         number++) {
        if (cut && next == text.data + text.size) {
            break; /* a line without its end may have lost digits */
        }
        code = read_line(source->name, number, line, metrics, err);
    }
    free(text.data);
    return code;
}

static enum lq_code say_rate(const struct lq_import_source *source,
                             const struct lq_import_options *options, struct metrics *metrics,
                             struct lq_import_run *run, struct lq_error *err)
{
    if (metrics->lines == 0 || metrics->count == 0) {
        return lq_fail(err, LQ_ESYNTAX, NULL,
                       "%.200s: no whole line \"Step N | ... tokens_per_second_per_gpu:X\" as "
                       "torchtune's DiskLogger writes them",
                       source->name);
    }
    if (metrics->count < LQ_IMPORT_STEPS_MIN && !options->allow_short) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: only %zu logged steps, mostly start-up; --allow-short takes it "
                       "anyway",
                       source->name, metrics->count);
    }
    const struct lq_import_steady steady = lq_import_steady(metrics->tokens_per_s, metrics->count);
    run->rate.tokens_per_s_per_gpu = steady.median;
    if (metrics->peak_allocated > 0.0) {
        lq_fact_say(&run->facts, LQ_FACT_PEAK_MEMORY_BYTES, "peak_memory_alloc", "%.0f",
                    metrics->peak_allocated * GIB);
    }
    snprintf(run->note, sizeof run->note,
             "import: torchtune, median of %zu steps behind the first %zu; middle half %.5g to "
             "%.5g tokens/s per GPU",
             steady.used, steady.dropped, steady.low, steady.high);
    lq_notice(
        &run->notices,
        "rate: %.6g tokens/s per GPU, median of %zu logged steps behind the first %zu; middle "
        "half %.5g to %.5g",
        steady.median, steady.used, steady.dropped, steady.low, steady.high);
    return LQ_OK;
}

static void append(char *list, size_t size, const char *more)
{
    const size_t at = strlen(list);
    snprintf(list + at, size - at, "%s", more);
}

static void say_method(struct lq_import_run *run, const struct lq_import_text *t, const char *from,
                       const char *component)
{
    struct lq_facts *facts = &run->facts;
    char modules[256] = "";
    double rank = 0.0;
    bool flag = false;
    const char *builder = strrchr(component, '.') != NULL ? strrchr(component, '.') + 1 : component;
    const bool qlora = strncmp(builder, "qlora_", 6) == 0 ||
                       (lq_import_setting_flag(t, "model.quantize_base", &flag) && flag);
    const bool lora = qlora || strncmp(builder, "lora_", 5) == 0;
    lq_fact_say(facts, LQ_FACT_METHOD, from, "%s", qlora ? "qlora" : lora ? "lora" : "full");
    if (!lora) {
        return;
    }
    if (qlora) { /* torchao's NF4Tensor quantises its scales too */
        lq_fact_say(facts, LQ_FACT_QUANTIZATION, from, "nf4-dq");
    }
    if (lq_import_setting_number(t, "model.lora_rank", &rank)) {
        lq_fact_say(facts, LQ_FACT_RANK, from, "%.15g", rank);
    }
    if (!lq_import_setting(t, "model.lora_attn_modules", modules, sizeof modules - 64)) {
        return;
    }
    if (lq_import_setting_flag(t, "model.apply_lora_to_mlp", &flag) && flag) {
        append(modules, sizeof modules, ",gate_proj,up_proj,down_proj");
    }
    if (lq_import_setting_flag(t, "model.apply_lora_to_output", &flag) && flag) {
        append(modules, sizeof modules, ",lm_head");
    }
    lq_import_say_targets(run, from, modules);
}

/* What the recipe switches on beyond the plain loop. */
static void say_optimizations(struct lq_import_run *run, const struct lq_import_text *t,
                              const char *from)
{
    static const struct {
        const char *key;
        const char *name;
    } SWITCHES[] = {{"compile", "compile"},
                    {"optimizer_in_bwd", "optimizer-in-backward"},
                    {"enable_activation_offloading", "offload-activations"},
                    {"fsdp_cpu_offload", "offload-optimizer"}};
    char list[LQ_FACT_TEXT_MAX] = "";
    char loss[128] = "";
    bool flag = false;
    size_t at = 0;
    for (size_t i = 0; i < sizeof SWITCHES / sizeof SWITCHES[0]; i++) {
        if (lq_import_setting_flag(t, SWITCHES[i].key, &flag) && flag) {
            at += (size_t)snprintf(list + at, sizeof list - at, "%s,", SWITCHES[i].name);
        }
    }
    /* CEWithChunkedOutputLoss until 0.5, LinearCrossEntropyLoss since */
    if (lq_import_setting(t, "loss._component_", loss, sizeof loss) &&
        (strstr(loss, "Chunked") != NULL || strstr(loss, "Linear") != NULL)) {
        snprintf(list + at, sizeof list - at, "chunked-loss");
    }
    lq_fact_say(&run->facts, LQ_FACT_OPTIMIZATIONS, from, "%s", list[0] != '\0' ? list : "none");
}

static void say_loop(struct lq_import_run *run, const struct lq_import_text *t, const char *from)
{
    struct lq_facts *facts = &run->facts;
    double number = 0.0;
    bool flag = false;
    char text[128];
    if (lq_import_setting_number(t, "batch_size", &number)) {
        lq_fact_say(facts, LQ_FACT_BATCH_SIZE, from, "%.15g", number);
    }
    const bool accumulates = lq_import_setting_number(t, "gradient_accumulation_steps", &number);
    lq_fact_say(facts, LQ_FACT_GRADIENT_ACCUMULATION_STEPS, from, "%.15g",
                accumulates ? number : 1.0); /* the recipes' default */
    const bool checkpoints =
        lq_import_setting_flag(t, "enable_activation_checkpointing", &flag) && flag;
    lq_fact_say(facts, LQ_FACT_GRADIENT_CHECKPOINTING, from, checkpoints ? "true" : "false");
    if (lq_import_setting(t, "dtype", text, sizeof text)) {
        lq_fact_say(facts, LQ_FACT_PRECISION, from, "%s", text);
    }
    if (lq_import_setting(t, "optimizer._component_", text, sizeof text)) {
        lq_import_say_optimizer(run, from, text);
    }
}

/* GPUs and sharding by the recipe's name, where the file has it, or the kind of checkpoint. */
static void say_devices(struct lq_import_run *run, const struct lq_import_text *t, const char *from)
{
    char recipe[128] = "";
    (void)lq_import_setting(t, "recipe", recipe, sizeof recipe);
    (void)lq_import_setting(t, "recipe._component_", recipe, sizeof recipe);
    if (strstr(recipe, "single_device") != NULL || strstr(recipe, "SingleDevice") != NULL) {
        lq_fact_say(&run->facts, LQ_FACT_GPU_COUNT, from, "1");
    } else if (strstr(recipe, "istributed") != NULL) { /* FSDP2, which shards weights too */
        lq_fact_say(&run->facts, LQ_FACT_ZERO_STAGE, from, "3");
    }
}

/* Packed rows are full, and the log's tokens are theirs; otherwise versions differ: until 0.3 they
 * count padded tokens, since 0.4 labels that are trained on. */
static void say_rows(struct lq_import_run *run, const struct lq_import_text *t, const char *from)
{
    double tokens = 0.0;
    bool packed = false;
    bool trained = true;
    if (!lq_import_setting_number(t, "tokenizer.max_seq_len", &tokens)) {
        (void)lq_import_setting_number(t, "max_seq_len", &tokens);
    }
    if (!lq_import_setting_flag(t, "dataset.packed", &packed)) {
        (void)lq_import_setting_flag(t, "packed", &packed);
    }
    (void)lq_import_setting_flag(t, "dataset.train_on_input", &trained);
    if (!packed || !(tokens > 0.0)) {
        lq_notice(&run->notices,
                  "rows are not packed, or how long is not said: whether the log "
                  "counts padding depends on torchtune's version (until 0.3 it does)");
        return;
    }
    lq_fact_say(&run->facts, LQ_FACT_SEQUENCE_TOKENS, from, "%.15g", tokens);
    if (!trained) {
        lq_notice(&run->notices, "dataset.train_on_input is False: torchtune since 0.4 counts the "
                                 "tokens of answers only");
        return;
    }
    lq_fact_say(&run->facts, LQ_FACT_ROW_TOKENS, from, "%.15g", tokens);
    lq_notice(&run->notices,
              "assumed: packed rows of %.15g tokens are full, so that tokens counted "
              "with and without padding are the same",
              tokens);
}

/* log_1718000000.txt: the DiskLogger names its file after the time it begins. */
static void say_time(struct lq_import_run *run, const char *log)
{
    char *end = NULL;
    const long long seconds = strncmp(log, "log_", 4) == 0 ? strtoll(log + 4, &end, 10) : 0;
    struct tm utc;
    char text[32];
    /* from 2001 to 2286: ten digits */
    if (seconds >= 1000000000 && seconds <= 9999999999 && strcmp(end, ".txt") == 0) {
        const time_t time = (time_t)seconds;
        if (gmtime_r(&time, &utc) != NULL &&
            strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0) {
            lq_fact_say(&run->facts, LQ_FACT_MEASURED_AT, "the log's name", "%s", text);
        }
    }
}

enum lq_code lq_import_torchtune(const struct lq_import_source *source,
                                 const struct lq_import_options *options, struct lq_import_run *run,
                                 struct lq_error *err)
{
    static const char *const SETTINGS[] = {"torchtune_config.yaml", "../torchtune_config.yaml",
                                           "config.yaml", NULL};
    struct metrics metrics = {0};
    struct lq_import_text settings = {0};
    char from[48];
    char component[128];
    run->format = "torchtune";
    enum lq_code code = read_metrics(source, &metrics, err);
    code = code == LQ_OK ? say_rate(source, options, &metrics, run, err) : code;
    free(metrics.tokens_per_s);
    LQ_TRY(code);
    LQ_TRY(lq_import_settings(source, options->config, SETTINGS, &settings, from, err));
    if (settings.data != NULL) {
        if (lq_import_setting(&settings, "model._component_", component, sizeof component)) {
            lq_import_say_model(run, from, component);
            say_method(run, &settings, from, component);
        }
        say_loop(run, &settings, from);
        say_optimizations(run, &settings, from);
        say_devices(run, &settings, from);
        say_rows(run, &settings, from);
    }
    free(settings.data);
    say_time(run, source->log);
    lq_fact_say(&run->facts, LQ_FACT_STACK, "the format", "torchtune");
    return LQ_OK;
}
