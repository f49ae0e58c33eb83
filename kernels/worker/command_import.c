/* The command that turns training logs into points: its options, its report, where the points go.
 * How logs are read stands in import.c. */
#include "kernels/base/choice.h"
#include "kernels/base/stop.h"
#include "kernels/delivery/spool.h"
#include "kernels/import/import.h"
#include "kernels/worker/command.h"

#include <stdlib.h>
#include <string.h>

struct own {
    const char *fact[LQ_FACT_COUNT];
    const char *config;
    bool allow_short;
    bool dry_run;
};
_Static_assert(sizeof(struct own) <= LQ_OWN_OPTIONS_MAX, "options fit");

#define FACT(id, called, kind_of_value, meaning)                                                   \
    {                                                                                              \
        .name = (called), .takes = (kind_of_value), .help = (meaning), .kind = LQ_SETTING_TEXT,    \
        .offset = offsetof(struct own, fact) + (id) * sizeof(const char *)                         \
    }
static const struct lq_setting OPTIONS[] = {
    FACT(LQ_FACT_ACTIVE_EXPERTS, "active-experts", "N", "experts of each token; else the model's"),
    {.name = "allow-short",
     .help = "take runs of fewer than 5 steps too",
     .kind = LQ_SETTING_SWITCH,
     .offset = offsetof(struct own, allow_short)},
    FACT(LQ_FACT_ATTENTION, "attention", "flash|eager", "how scores are computed"),
    FACT(LQ_FACT_BATCH_SIZE, "batch-size", "N", "rows per GPU and micro-batch"),
    {.name = "config",
     .takes = "FILE",
     .help = "the run's YAML, where it does not lie beside its log",
     .kind = LQ_SETTING_TEXT,
     .offset = offsetof(struct own, config)},
    FACT(LQ_FACT_CUTOFF_TOKENS, "cutoff-tokens", "N", "longer rows were cut (with --lengths)"),
    FACT(LQ_FACT_DATASET, "dataset", "ID", "what was trained on; a label"),
    {.name = "dry-run",
     .help = "print the points, one a line; needs no server and no spool",
     .kind = LQ_SETTING_SWITCH,
     .offset = offsetof(struct own, dry_run)},
    FACT(LQ_FACT_GPU, "gpu", "ID", "id of the GPU; GET /v1/gpus lists them"),
    FACT(LQ_FACT_GPU_COUNT, "gpu-count", "N", "GPUs of the whole job"),
    FACT(LQ_FACT_GRADIENT_ACCUMULATION_STEPS, "gradient-accumulation-steps", "N",
         "micro-batches per optimizer step"),
    FACT(LQ_FACT_GRADIENT_CHECKPOINTING, "gradient-checkpointing", "true|false|selective",
         "whether activations were computed again"),
    FACT(LQ_FACT_LENGTHS, "lengths", "NAME", "data set whose row lengths were trained on"),
    FACT(LQ_FACT_MASTER_WEIGHTS, "master-weights", "true|false", "fp32 copies of 16-bit weights"),
    FACT(LQ_FACT_MEASURED_AT, "measured-at", "TIME", "in UTC: 2026-07-20T10:00:00Z"),
    FACT(LQ_FACT_METHOD, "method", "full|lora|qlora", "how the model was tuned"),
    FACT(LQ_FACT_MODEL, "model", "ID", "id of the model; GET /v1/models lists them"),
    FACT(LQ_FACT_OPTIMIZATIONS, "optimizations", "LIST",
         "none, or of compile,chunked-loss,optimizer-in-backward,offload-activations,"
         "offload-optimizer; else the stack's"),
    FACT(LQ_FACT_OPTIMIZER, "optimizer", "NAME",
         "adamw, adamw-8bit, paged-adamw-8bit, adafactor or sgd"),
    FACT(LQ_FACT_OUT_OF_MEMORY, "out-of-memory", "true|false",
         "it did not fit; in place of a rate"),
    FACT(LQ_FACT_PADDING, "padding", "longest|fixed|packed", "of rows of --lengths"),
    FACT(LQ_FACT_PADDING_MULTIPLE, "padding-multiple", "N", "rows are padded to a multiple of it"),
    FACT(LQ_FACT_PEAK_MEMORY_BYTES, "peak-memory-bytes", "BYTES", "most allocated on one GPU"),
    FACT(LQ_FACT_PRECISION, "precision", "bf16|fp16|fp32|fp8", "type of activations"),
    FACT(LQ_FACT_QUANTIZATION, "quantization", "none|nf4-dq|nf4|int4|int8", "of a frozen base"),
    FACT(LQ_FACT_QUERIES_PER_S, "queries-per-s", "RATE", "rows a second of the whole job"),
    FACT(LQ_FACT_RANK, "rank", "N", "of the adapters"),
    FACT(LQ_FACT_ROW_TOKENS, "row-tokens", "N",
         "mean tokens of a row as the log's rate counts them (torchtune, rows not packed)"),
    FACT(LQ_FACT_SEQUENCE_TOKENS, "sequence-tokens", "N", "tokens of a row, padding included"),
    FACT(LQ_FACT_SOURCE, "source", "ID", "who or what measured; required"),
    FACT(LQ_FACT_STACK, "stack", "ID", "training software; else hf-2024, torchtune by the format"),
    FACT(LQ_FACT_STEP_TIME_S, "step-time-s", "SECONDS", "of one micro-batch"),
    FACT(LQ_FACT_TARGETS, "targets", "LIST",
         "adapted matrices: q,v or attention or all-linear ..."),
    FACT(LQ_FACT_TRAIN_EMBEDDINGS, "train-embeddings", "true|false",
         "embedding and head trained in full beside adapters"),
    FACT(LQ_FACT_ZERO_STAGE, "zero-stage", "0|1|2|3", "what FSDP or DeepSpeed shard; FSDP: 3"),
};
#undef FACT

static const char NOTES[] =
    "Reads, from files or folders:\n"
    "  Hugging Face Trainer  trainer_state.json or all_results.json; beside them config.json,\n"
    "                        adapter_config.json, training_args.json, README.md (model card).\n"
    "                        The mean of the run less its evaluations; start-up is in it.\n"
    "  LLaMA-Factory         trainer_log.jsonl; beside it its YAML, all_results.json. The mean of\n"
    "                        the middle half of windows of 20 s behind the first tenth.\n"
    "  torchtune             log_*.txt of the DiskLogger; beside it torchtune_config.yaml. The\n"
    "                        median of the logged steps behind the first tenth.\n"
    "  CSV (*.csv)           a header of the options' names with _ for - (all but row_tokens,\n"
    "                        config and the switches), a point per row; what is empty has the\n"
    "                        API's defaults: model,gpu,method,rank,stack,batch_size,\n"
    "                        sequence_tokens,queries_per_s,source. Lines with # in front are\n"
    "                        comments.\n"
    "In a folder of checkpoint-N the last counts. What no file says must be said by options; "
    "where\n"
    "both speak and differ, the option is taken and the difference told. Row lengths are never\n"
    "guessed. Models are known by the names of their repositories, never by a local path. A bad\n"
    "file gives no point; others go on, and the exit code is 65.\n";

/* Where the points of one call go. */
struct sink {
    FILE *tell;             /* the report: standard error where points go to standard output */
    struct lq_spool *spool; /* NULL: print */
    const char *path;
    size_t points; /* of the path */
    size_t total;
    bool failed; /* the spool, not an input */
};

static void tell_notices(const struct sink *sink, const struct lq_notices *notices)
{
    for (size_t i = 0; i < notices->count && i < LQ_NOTICES_MAX; i++) {
        fprintf(sink->tell, "%s: note: %s\n", sink->path, notices->text[i]);
    }
    if (notices->count > LQ_NOTICES_MAX) {
        fprintf(sink->tell, "%s: note: and %zu more\n", sink->path,
                notices->count - LQ_NOTICES_MAX);
    }
}

/* What was recognised, and what was taken from where. */
static void tell_run(const struct sink *sink, const struct lq_import_run *run)
{
    fprintf(sink->tell, "%s: %s:", sink->path, run->format);
    for (int i = 0; i < LQ_FACT_COUNT; i++) {
        const struct lq_fact_value *value = &run->facts.value[i];
        if (value->text[0] != '\0') {
            fprintf(sink->tell, " %s %s (%s)", LQ_FACT_NAMES[i], value->text, value->from);
        }
    }
    fputc('\n', sink->tell);
}

static enum lq_code take(void *context, const char *json, const struct lq_import_run *run,
                         struct lq_error *err)
{
    struct sink *sink = context;
    tell_notices(sink, &run->notices);
    if (json == NULL) {
        return LQ_OK;
    }
    if (!run->table) {
        tell_run(sink, run);
    }
    if (sink->spool == NULL) {
        puts(json);
    } else {
        const enum lq_code code = lq_spool_append(sink->spool, json, err);
        sink->failed = code != LQ_OK;
        LQ_TRY(code);
    }
    sink->points++;
    return LQ_OK;
}

static int import_all(struct sink *sink, const struct lq_import_options *options, int argc,
                      char *const *argv)
{
    int status = LQ_EXIT_OK;
    for (int i = 0; i < argc && !lq_stop_asked(); i++) {
        struct lq_error err = {0};
        char shown[LQ_IMPORT_NOTE_MAX];
        snprintf(shown, sizeof shown, "%s", argv[i]);
        lq_text_clean(shown);
        sink->path = shown;
        sink->points = 0;
        const enum lq_code code = lq_import_path(argv[i], options, take, sink, &err);
        sink->total += sink->points;
        if (code != LQ_OK) {
            status = lq_command_fail(sink->failed ? LQ_EXIT_FILE : LQ_EXIT_DATA, &err);
        } else {
            fprintf(sink->tell, "%s: %zu point%s\n", sink->path, sink->points,
                    sink->points == 1 ? "" : "s");
        }
        if (sink->failed) {
            break;
        }
    }
    return status;
}

static int import_into_spool(const struct lq_settings *settings,
                             const struct lq_import_options *options, int argc, char *const *argv)
{
    struct sink sink = {.tell = stdout};
    char dir[LQ_SPOOL_DIR_MAX];
    const int opened = lq_command_open_spool(settings, dir, &sink.spool);
    if (opened != LQ_EXIT_OK) {
        return opened;
    }
    const int status = import_all(&sink, options, argc, argv);
    lq_spool_close(sink.spool);
    if (sink.total == 0 || lq_stop_asked()) {
        return status == LQ_EXIT_OK && lq_stop_asked() ? LQ_EXIT_INTERRUPTED : status;
    }
    const int delivered = LQ_COMMAND_DELIVER.run(settings, NULL, 0, NULL);
    return status != LQ_EXIT_OK ? status : delivered;
}

static int run(const struct lq_settings *settings, const void *own_options, int argc,
               char *const *argv)
{
    const struct own *own = own_options;
    struct lq_import_options options = {.config = own->config, .allow_short = own->allow_short};
    struct lq_error err = {0};
    if (argc == 0) {
        (void)lq_fail(&err, LQ_EFIELD, NULL, "import takes files or folders; see --help");
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    for (int i = 0; i < LQ_FACT_COUNT; i++) {
        char from[LQ_FACT_FROM_MAX];
        if (own->fact[i] == NULL) {
            continue;
        }
        if (strlen(own->fact[i]) >= LQ_FACT_TEXT_MAX) {
            (void)lq_fail(&err, LQ_EFIELD, NULL, "--%s takes at most %d bytes", LQ_FACT_OPTIONS[i],
                          LQ_FACT_TEXT_MAX - 1);
            return lq_command_fail(LQ_EXIT_USAGE, &err);
        }
        snprintf(from, sizeof from, "--%s", LQ_FACT_OPTIONS[i]);
        lq_fact_say(&options.facts, (enum lq_fact)i, from, "%s", own->fact[i]);
    }
    if (own->dry_run) {
        struct sink sink = {.tell = stderr};
        return import_all(&sink, &options, argc, argv);
    }
    return import_into_spool(settings, &options, argc, argv);
}

const struct lq_command LQ_COMMAND_IMPORT = {
    .name = "import",
    .summary = "turn training logs and tables of measurements into points and send them",
    .arguments = "PATH...",
    .notes = NOTES,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof OPTIONS[0],
    .own_size = sizeof(struct own),
    .run = run,
};
