/* Runs of LLaMA-Factory: trainer_log.jsonl, whose entries carry the time, and the arguments as
 * YAML. What it shares with the Hugging Face Trainer is read as that writes it. */
#include "kernels/import/arguments.h"
#include "kernels/import/config.h"
#include "kernels/import/rate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char LOG[] = "trainer_log.jsonl";

/* 20 s: elapsed_time is cut to whole seconds, so that a shorter window may be off by more than a
 * twentieth. The mean of the middle half evens that out, where a median would keep it. */
static const double WINDOW_S = 20.0;
/* 3: fewer windows have no middle half. */
enum { WINDOWS_MIN = 3 };

struct entry {
    double steps;
    double elapsed_s;
    double tokens; /* seen so far, padding included; 0 = not counted */
};

struct history {
    struct entry *entries;
    size_t count;
};

/* "1:02:03", "2 days, 1:02:03" (Python's timedelta) as seconds, or -1. */
static double read_elapsed(const char *text)
{
    double days = 0.0;
    double seconds = 0.0;
    char *end = NULL;
    const char *comma = strchr(text, ',');
    if (comma != NULL) {
        days = isdigit((unsigned char)*text) ? (double)strtol(text, &end, 10) : -1.0;
        if (days < 0.0 || strncmp(end, " day", 4) != 0) {
            return -1.0;
        }
        text = comma + 1 + strspn(comma + 1, " ");
    }
    for (int i = 0; i < 3; i++, text = end + 1) {
        if (!isdigit((unsigned char)*text)) {
            return -1.0;
        }
        seconds = 60.0 * seconds + (double)strtol(text, &end, 10);
        if (*end != (i < 2 ? ':' : '\0')) {
            return -1.0;
        }
    }
    return days * 86400.0 + seconds;
}

/* One line; entries of evaluations and of the end have no loss, and count no further steps. */
static enum lq_code read_entry(const char *name, size_t number, char *line, struct history *history,
                               struct lq_error *err)
{
    struct lq_log_document *document = NULL;
    char elapsed[64];
    struct entry entry = {.elapsed_s = -1.0};
    struct lq_error fault = {0};
    if (lq_log_document_parse(name, line, strlen(line), &document, &fault) != LQ_OK) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s: line %zu is no JSON, or cut off", name,
                       number);
    }
    const bool loss = lq_log_has(document, "/loss");
    const bool timed = lq_log_text(document, "/elapsed_time", elapsed, sizeof elapsed);
    const bool stepped = lq_log_number(document, "/current_steps", &entry.steps);
    (void)lq_log_number(document, "/total_tokens", &entry.tokens);
    lq_log_document_free(document);
    entry.elapsed_s = timed ? read_elapsed(elapsed) : -1.0;
    if (!stepped || entry.elapsed_s < 0.0) {
        return lq_fail(err, LQ_ESYNTAX, NULL,
                       "%.200s: line %zu has no current_steps and elapsed_time as LLaMA-Factory "
                       "writes them",
                       name, number);
    }
    const struct entry *last = history->count > 0 ? &history->entries[history->count - 1] : NULL;
    if (!loss ||
        (last != NULL && entry.steps <= last->steps && entry.elapsed_s >= last->elapsed_s)) {
        return LQ_OK;
    }
    if (last != NULL && (entry.steps < last->steps || entry.elapsed_s < last->elapsed_s)) {
        history->count = 0; /* started again into the same file: the last start counts */
    }
    history->entries[history->count++] = entry;
    return LQ_OK;
}

static enum lq_code read_history(const struct lq_import_source *source, struct history *history,
                                 struct lq_error *err)
{
    struct lq_import_text text;
    LQ_TRY(lq_import_read(source, LOG, &text, err));
    size_t lines = 1;
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n';
    }
    history->entries = calloc(lines, sizeof *history->entries);
    if (history->entries == NULL) {
        free(text.data);
        return lq_fail(err, LQ_EINTERNAL, NULL, "%.200s: out of memory", source->name);
    }
    enum lq_code code = LQ_OK;
    char *next = text.data;
    size_t number = 1;
    for (char *line; code == LQ_OK && (line = lq_import_line(&next, text.data + text.size)) != NULL;
         number++) {
        if (line[strspn(line, " \t\r")] != '\0') {
            code = read_entry(source->name, number, line, history, err);
        }
    }
    free(text.data);
    return code;
}

/* Where the steady part begins: behind the first tenth of the steps, and the first entry. */
static size_t warm_up(const struct history *history)
{
    const struct entry *e = history->entries;
    const double end = e[0].steps + 0.1 * (e[history->count - 1].steps - e[0].steps);
    size_t first = 0;
    while (first + 2 < history->count && e[first].steps < end) {
        first++;
    }
    return first;
}

/* Seconds per step of consecutive windows of at least WINDOW_S; the count of them. */
static size_t cut_windows(const struct history *history, size_t first, double *step_s)
{
    size_t count = 0;
    size_t begin = first;
    for (size_t i = first + 1; i < history->count; i++) {
        const struct entry *from = &history->entries[begin];
        const struct entry *to = &history->entries[i];
        if (to->elapsed_s - from->elapsed_s >= WINDOW_S) {
            step_s[count++] = (to->elapsed_s - from->elapsed_s) / (to->steps - from->steps);
            begin = i;
        }
    }
    return count;
}

static enum lq_code say_rate(const struct lq_import_source *source,
                             const struct lq_import_options *options, const struct history *history,
                             struct lq_import_run *run, struct lq_error *err)
{
    const struct entry *e = history->entries;
    const struct entry *last = history->count > 0 ? &e[history->count - 1] : NULL;
    if (history->count < 2 || (last->steps < LQ_IMPORT_STEPS_MIN && !options->allow_short)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: %zu entries up to step %.0f: too few to tell training from "
                       "start-up%s",
                       source->name, history->count, last != NULL ? last->steps : 0.0,
                       history->count < 2 ? "" : "; --allow-short takes it anyway");
    }
    const size_t first = warm_up(history);
    const double span_s = last->elapsed_s - e[first].elapsed_s;
    if (!(span_s > 0.0) || (span_s < WINDOW_S && !options->allow_short)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: %.0f s after the warm-up, in a log of whole seconds: too short%s",
                       source->name, span_s, span_s > 0.0 ? "; --allow-short takes it anyway" : "");
    }
    double *step_s = calloc(history->count, sizeof *step_s);
    if (step_s == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "%.200s: out of memory", source->name);
    }
    const size_t windows = cut_windows(history, first, step_s);
    const double mean_s = span_s / (last->steps - e[first].steps);
    const struct lq_import_steady steady =
        windows >= WINDOWS_MIN
            ? lq_import_median(step_s, windows)
            : (struct lq_import_steady){
                  .middle_mean = mean_s, .low = mean_s, .high = mean_s, .used = 1};
    free(step_s);
    run->rate.steps_per_s = 1.0 / steady.middle_mean;
    run->rate.padded_tokens_per_step =
        last->tokens > 0.0 ? (last->tokens - e[first].tokens) / (last->steps - e[first].steps)
                           : 0.0;
    snprintf(run->note, sizeof run->note,
             "import: LLaMA-Factory, middle half of %zu windows behind step %.0f, %.4g to "
             "%.4g s a step",
             steady.used, e[first].steps, steady.low, steady.high);
    lq_notice(&run->notices,
              "rate: %.5g s a step from %s, middle half of %zu windows behind step %.0f, "
              "%.4g to %.4g s",
              steady.middle_mean, LOG, steady.used, e[first].steps, steady.low, steady.high);
    return LQ_OK;
}

static void say_method(struct lq_import_run *run, const struct lq_import_arguments *a)
{
    char type[32] = "lora"; /* its default */
    char text[512];
    double bits = 0.0;
    double rank = 0.0;
    (void)lq_argument_text(a, "finetuning_type", type, sizeof type);
    const bool quantized = lq_argument_number(a, "quantization_bit", &bits) && bits > 0.0;
    if (strcmp(type, "lora") != 0) {
        lq_fact_say(&run->facts, LQ_FACT_METHOD, a->from, "%s", type);
        return;
    }
    lq_fact_say(&run->facts, LQ_FACT_METHOD, a->from, quantized ? "qlora" : "lora");
    if (quantized) { /* bitsandbytes, its default method: nf4 with double quantisation */
        lq_fact_say(&run->facts, LQ_FACT_QUANTIZATION, a->from, bits > 4.0 ? "int8" : "nf4-dq");
    }
    lq_fact_say(&run->facts, LQ_FACT_RANK, a->from, "%.15g",
                lq_argument_number(a, "lora_rank", &rank) ? rank : 8.0); /* its default */
    if (!lq_argument_text(a, "lora_target", text, sizeof text)) {
        memcpy(text, "all", 4); /* its default */
    }
    lq_import_say_targets(run, a->from, text);
}

static void say_arguments(struct lq_import_run *run, const struct lq_import_arguments *a)
{
    char text[512];
    double tokens = 0.0;
    lq_import_say_arguments(run, a);
    say_method(run, a);
    if (lq_argument_text(a, "model_name_or_path", text, sizeof text)) {
        lq_import_say_model(run, a->from, text);
    }
    /* it switches checkpointing on by itself */
    lq_fact_say(&run->facts, LQ_FACT_GRADIENT_CHECKPOINTING, a->from, "%s",
                lq_argument_flag(a, "disable_gradient_checkpointing") ? "false" : "true");
    /* Transformers' default, which it leaves as it is */
    lq_fact_say(&run->facts, LQ_FACT_GRADIENT_ACCUMULATION_STEPS, a->from, "1");
    if (lq_argument_number(a, "cutoff_len", &tokens) && tokens > 0.0) {
        if (lq_argument_flag(a, "packing") || lq_argument_flag(a, "neat_packing")) {
            lq_fact_say(&run->facts, LQ_FACT_SEQUENCE_TOKENS, a->from, "%.15g", tokens);
        }
        lq_fact_say(&run->facts, LQ_FACT_CUTOFF_TOKENS, a->from, "%.15g", tokens);
    }
    lq_fact_say(&run->facts, LQ_FACT_STACK, a->from, "%s",
                lq_argument_flag(a, "use_unsloth") ? "unsloth-2024" : "hf-2024");
}

/* The batch size, and how many rows a step has, as Transformers write them. */
static enum lq_code read_results(const struct lq_import_source *source, struct lq_import_run *run,
                                 struct lq_error *err)
{
    struct lq_log_document *document = NULL;
    double batch = 0.0;
    double rows = 0.0;
    double steps = 0.0;
    if (lq_import_exists(source, "trainer_state.json")) {
        LQ_TRY(lq_import_parse(source, "trainer_state.json", &document, err));
        if (lq_log_number(document, "/train_batch_size", &batch)) {
            lq_fact_say(&run->facts, LQ_FACT_BATCH_SIZE, "trainer_state.json", "%.15g", batch);
        }
        lq_log_document_free(document);
    }
    if (lq_import_exists(source, "all_results.json")) {
        LQ_TRY(lq_import_parse(source, "all_results.json", &document, err));
        /* three printed decimals: below 0.05 steps a second they tell no ratio */
        if (lq_log_number(document, "/train_samples_per_second", &rows) &&
            lq_log_number(document, "/train_steps_per_second", &steps) && rows > 0.0 &&
            steps >= 0.05) {
            run->rate.rows_per_step = rows / steps;
        }
        lq_log_document_free(document);
    }
    return LQ_OK;
}

enum lq_code lq_import_llamafactory(const struct lq_import_source *source,
                                    const struct lq_import_options *options,
                                    struct lq_import_run *run, struct lq_error *err)
{
    static const char *const SETTINGS[] = {"training_args.yaml", "train_args.yaml",
                                           "llamafactory.yaml", NULL};
    struct history history = {0};
    struct lq_import_text settings = {0};
    char from[48];
    run->format = "LLaMA-Factory";
    enum lq_code code = read_history(source, &history, err);
    code = code == LQ_OK ? say_rate(source, options, &history, run, err) : code;
    free(history.entries);
    LQ_TRY(code);
    LQ_TRY(lq_import_settings(source, options->config, SETTINGS, &settings, from, err));
    if (settings.data != NULL) {
        const struct lq_import_arguments arguments = {.yaml = &settings, .from = from};
        say_arguments(run, &arguments);
    }
    free(settings.data);
    LQ_TRY(read_results(source, run, err));
    LQ_TRY(lq_import_say_configs(source, run, err));
    lq_fact_say(&run->facts, LQ_FACT_STACK, "the format", "hf-2024");
    return LQ_OK;
}
