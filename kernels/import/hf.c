/* Runs of the Hugging Face Trainer: trainer_state.json, *_results.json and what lies beside them.
 * LLaMA-Factory, which writes them too, has its own log and file. */
#include "kernels/import/arguments.h"
#include "kernels/import/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char STATE[] = "trainer_state.json";
static const char ARGUMENTS[] = "training_args.json";
static const char CARD[] = "README.md";

/* What a finished run says about itself. 0 = not said. */
struct summary {
    double runtime_s;
    double samples_per_s;
    double steps_per_s;
    double steps;
    double tokens;
    double evaluation_s; /* of runtime_s */
    size_t evaluations;
    size_t endings; /* how often train() ended: once more with each resumption */
    char from[256];
};

static void read_summary(const struct lq_log_document *document, const char *at,
                         struct summary *summary)
{
    char pointer[96];
    snprintf(pointer, sizeof pointer, "%s/train_runtime", at);
    (void)lq_log_number(document, pointer, &summary->runtime_s);
    snprintf(pointer, sizeof pointer, "%s/train_samples_per_second", at);
    (void)lq_log_number(document, pointer, &summary->samples_per_s);
    snprintf(pointer, sizeof pointer, "%s/train_steps_per_second", at);
    (void)lq_log_number(document, pointer, &summary->steps_per_s);
}

/* The history: the last ending, and the evaluations before it, whose time it counts in. */
static void read_history(const struct lq_log_document *document, struct summary *summary)
{
    double evaluation_s = 0.0;
    size_t evaluations = 0;
    const size_t n = lq_log_count(document, "/log_history");
    for (size_t i = 0; i < n; i++) {
        char at[48];
        char pointer[96];
        double seconds = 0.0;
        snprintf(at, sizeof at, "/log_history/%zu", i);
        snprintf(pointer, sizeof pointer, "%s/eval_runtime", at);
        if (lq_log_number(document, pointer, &seconds) && seconds > 0.0) {
            evaluation_s += seconds;
            evaluations++;
        }
        snprintf(pointer, sizeof pointer, "%s/train_runtime", at);
        if (lq_log_has(document, pointer)) {
            read_summary(document, at, summary);
            summary->evaluation_s = evaluation_s;
            summary->evaluations = evaluations;
            summary->endings++;
        }
    }
    (void)lq_log_number(document, "/global_step", &summary->steps);
    (void)lq_log_number(document, "/num_input_tokens_seen", &summary->tokens);
}

static enum lq_code read_state(const struct lq_import_source *source, struct lq_import_run *run,
                               struct summary *summary, struct lq_error *err)
{
    struct lq_log_document *document = NULL;
    double batch = 0.0;
    LQ_TRY(lq_import_parse(source, STATE, &document, err));
    read_history(document, summary);
    if (lq_log_number(document, "/train_batch_size", &batch)) {
        lq_fact_say(&run->facts, LQ_FACT_BATCH_SIZE, STATE, "%.15g", batch);
    }
    snprintf(summary->from, sizeof summary->from, "%s", STATE);
    lq_log_document_free(document);
    return LQ_OK;
}

static enum lq_code read_results(const struct lq_import_source *source, struct summary *summary,
                                 struct lq_error *err)
{
    static const char *const NAMES[] = {"train_results.json", "all_results.json", NULL};
    const char *name = strstr(source->log, "_results.json") != NULL ? source->log : NULL;
    for (size_t i = 0; name == NULL && NAMES[i] != NULL; i++) {
        name = lq_import_exists(source, NAMES[i]) ? NAMES[i] : NULL;
    }
    if (name == NULL) {
        return LQ_OK;
    }
    struct lq_log_document *document = NULL;
    LQ_TRY(lq_import_parse(source, name, &document, err));
    read_summary(document, "", summary);
    if (!(summary->tokens > 0.0)) {
        (void)lq_log_number(document, "/num_input_tokens_seen", &summary->tokens);
    }
    snprintf(summary->from, sizeof summary->from, "%s", name);
    lq_log_document_free(document);
    return LQ_OK;
}

static enum lq_code read_arguments(const struct lq_import_source *source, struct lq_import_run *run,
                                   struct summary *summary, struct lq_error *err)
{
    if (!lq_import_exists(source, ARGUMENTS)) {
        return LQ_OK;
    }
    struct lq_log_document *document = NULL;
    char counted[32];
    bool flag = false;
    LQ_TRY(lq_import_parse(source, ARGUMENTS, &document, err));
    const struct lq_import_arguments arguments = {.json = document, .from = ARGUMENTS};
    lq_import_say_arguments(run, &arguments);
    if (lq_log_flag(document, "/gradient_checkpointing", &flag)) {
        lq_fact_say(&run->facts, LQ_FACT_GRADIENT_CHECKPOINTING, ARGUMENTS, "%s",
                    flag ? "true" : "false");
    }
    if (lq_log_text(document, "/include_num_input_tokens_seen", counted, sizeof counted) &&
        strcmp(counted, "non_padding") == 0) {
        summary->tokens = 0.0; /* says nothing about padded rows */
    }
    if (lq_log_flag(document, "/torch_compile", &flag) && flag) {
        lq_fact_say(&run->facts, LQ_FACT_OPTIMIZATIONS, ARGUMENTS, "compile");
    }
    lq_log_document_free(document);
    return LQ_OK;
}

/* The model card that the Trainer writes lists its settings as "- name: value". */
static void read_card(const struct lq_import_source *source, struct lq_import_run *run)
{
    static const struct {
        const char *name;
        enum lq_fact fact;
    } COUNTS[] = {{"train_batch_size", LQ_FACT_BATCH_SIZE},
                  {"gradient_accumulation_steps", LQ_FACT_GRADIENT_ACCUMULATION_STEPS},
                  {"num_devices", LQ_FACT_GPU_COUNT}};
    struct lq_import_text card = {0};
    struct lq_error unread = {0};
    if (!lq_import_exists(source, CARD) || lq_import_read(source, CARD, &card, &unread) != LQ_OK) {
        return; /* any file may be called so */
    }
    double count = 0.0;
    char base[256];
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        if (lq_import_setting_number(&card, COUNTS[i].name, &count)) {
            lq_fact_say(&run->facts, COUNTS[i].fact, CARD, "%.15g", count);
        }
    }
    if (lq_import_setting(&card, "base_model", base, sizeof base)) {
        lq_import_say_model(run, CARD, base);
    }
    free(card.data);
}

static enum lq_code check_summary(const struct lq_import_source *source,
                                  const struct lq_import_options *options, const struct summary *s,
                                  struct lq_error *err)
{
    const double train_s = s->runtime_s - s->evaluation_s;
    if (s->endings > 1) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s was resumed: its rates count all steps over the time of the last "
                       "part; write the rate of one part into a CSV file",
                       source->name);
    }
    if (!(s->runtime_s > 0.0)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: no train_runtime above 0: the run has not finished, and the steps "
                       "of its history carry no times",
                       source->name);
    }
    if (!(train_s > 0.0)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: %.4g s of evaluation in a run of %.4g s: the times contradict each "
                       "other",
                       source->name, s->evaluation_s, s->runtime_s);
    }
    const double steps = s->steps > 0.0 ? s->steps : round(s->steps_per_s * s->runtime_s);
    if (!(steps >= 1.0)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: a run of no steps, or neither global_step nor "
                       "train_steps_per_second says how many",
                       source->name);
    }
    if (steps < LQ_IMPORT_STEPS_MIN && !options->allow_short) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: only %.0f steps, mostly start-up; --allow-short takes it anyway",
                       source->name, steps);
    }
    return LQ_OK;
}

/* 0.5 rows/s: below it three printed decimals are off by more than 0.1 %. */
static const double PRINTED_ENOUGH = 0.5;

static void say_rate(struct lq_import_run *run, const struct summary *s)
{
    const double train_s = s->runtime_s - s->evaluation_s;
    const double steps = s->steps > 0.0 ? s->steps : round(s->steps_per_s * s->runtime_s);
    struct lq_import_rate *rate = &run->rate;
    rate->steps_per_s = steps / train_s;
    /* Transformers before 4.6 had no train_steps_per_second, and printed steps as samples */
    if (s->samples_per_s > 0.0 && s->steps_per_s > 0.0) {
        const double rows = s->samples_per_s * s->runtime_s;
        rate->rows_per_step = rows / steps;
        rate->rows_per_s = s->samples_per_s >= PRINTED_ENOUGH ? rows / train_s : 0.0;
        rate->padded_tokens_per_row = s->tokens > 0.0 ? s->tokens / rows : 0.0;
    }
    rate->padded_tokens_per_step = s->tokens > 0.0 ? s->tokens / steps : 0.0;
    snprintf(run->note, sizeof run->note,
             "import: Hugging Face Trainer, mean of %.0f steps in %.6g s, start-up and saving "
             "included, evaluations (%zu, %.6g s) not",
             steps, train_s, s->evaluations, s->evaluation_s);
    lq_notice(&run->notices,
              "rate: mean of the whole run from %.80s, %.0f steps in %.6g s: start-up and saving "
              "are in it, evaluations (%zu, %.4g s) are not",
              s->from, steps, train_s, s->evaluations, s->evaluation_s);
}

enum lq_code lq_import_hf(const struct lq_import_source *source,
                          const struct lq_import_options *options, struct lq_import_run *run,
                          struct lq_error *err)
{
    struct summary summary = {0};
    run->format = "Hugging Face Trainer";
    if (lq_import_exists(source, STATE)) {
        LQ_TRY(read_state(source, run, &summary, err));
    }
    if (!(summary.runtime_s > 0.0)) {
        LQ_TRY(read_results(source, &summary, err));
    }
    LQ_TRY(check_summary(source, options, &summary, err));
    LQ_TRY(read_arguments(source, run, &summary, err));
    read_card(source, run);
    LQ_TRY(lq_import_say_configs(source, run, err));
    lq_fact_say(&run->facts, LQ_FACT_STACK, "the format", "hf-2024");
    say_rate(run, &summary);
    return LQ_OK;
}
