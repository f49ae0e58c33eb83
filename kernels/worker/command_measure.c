/* The command that measures a model's training step and posts what it finds. */
#include "kernels/base/stop.h"
#include "kernels/delivery/client.h"
#include "kernels/delivery/deliver.h"
#include "kernels/document/catalog.h"
#include "kernels/worker/calibrate.h"
#include "kernels/worker/command.h"
#include "kernels/worker/device_settings.h"
#include "kernels/worker/find_model.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH_MOST = 16777216, BATCH_MOST = 1000000 };

struct own {
    const char *active_experts;
    struct lq_device_choice on;
    const char *batch_sizes;
    const char *config;
    const char *gpu;
    const char *methods;
    const char *model;
    const char *model_file;
    const char *sequence_tokens;
    const char *source;
    const char *targets;
    int checkpointing;
    int64_t rank;
    int64_t rounds;
    int64_t suggested;
    double seconds;
    double skew;
    bool dry_run;
};

static const char *const CHECKPOINTING[] = {"none", "full", NULL};

#define AT(member) .offset = offsetof(struct own, member)
#define TEXT(called, value, otherwise, meaning, member)                                            \
    {                                                                                              \
        .name = (called), .takes = (value), .help = (meaning), .fallback = (otherwise),            \
        .kind = LQ_SETTING_TEXT, AT(member)                                                        \
    }
static const struct lq_setting SETTINGS[] = {
    TEXT("active-experts", "LIST", NULL, "experts of each token; else the model's own",
         active_experts),
    LQ_DEVICE_SETTINGS(struct own, on),
    TEXT("batch-sizes", "LIST", "1,2,4", "rows of a step", batch_sizes),
    {.name = "checkpointing",
     .takes = "none|full",
     .help = "whether layers are computed again before backward",
     .fallback = "full",
     .kind = LQ_SETTING_CHOICE,
     AT(checkpointing),
     .names = CHECKPOINTING},
    TEXT("model-config", "FILE", NULL,
         "a config.json to put into the catalog as --model first (scope catalog:write)", config),
    {.name = "dry-run",
     .help = "print the points, one a line, in place of keeping and sending them",
     .kind = LQ_SETTING_SWITCH,
     AT(dry_run)},
    TEXT("gpu", "ID", NULL, "the device's id in the catalog; else made of its name (see probe)",
         gpu),
    TEXT("methods", "LIST", "lora", "of full, lora, qlora", methods),
    TEXT("model", "ID", NULL, "id of the model in the catalog", model),
    TEXT("model-file", "FILE", NULL,
         "the model as GET /v1/models/ID answered it: nothing is asked of a server", model_file),
    {.name = "rank",
     .takes = "N",
     .help = "of the adapters",
     .fallback = "16",
     .kind = LQ_SETTING_COUNT,
     AT(rank),
     .min = 1,
     .max = 4096},
    {.name = "rounds",
     .takes = "N",
     .help = "of samples at most; two must agree within 10 %, else the point is marked as noisy",
     .fallback = "5",
     .kind = LQ_SETTING_COUNT,
     AT(rounds),
     .min = 1,
     .max = 20},
    {.name = "seconds",
     .takes = "S",
     .help = "of sampling each kind of layer in a round; five samples are taken at least",
     .fallback = "2",
     .kind = LQ_SETTING_NUMBER,
     AT(seconds),
     .min = 0.01,
     .max = 3600.0},
    TEXT("sequence-tokens", "LIST", "512", "tokens of a row, padding included", sequence_tokens),
    {.name = "skew",
     .takes = "S",
     .help =
         "uneven routing: 0 is even, 1 gives the first of 8 experts three times the last's load",
     .fallback = "0",
     .kind = LQ_SETTING_NUMBER,
     AT(skew),
     .min = 0.0,
     .max = 10.0},
    TEXT("source", "ID", "llmquote-worker", "who measures", source),
    {.name = "suggested",
     .takes = "N",
     .help = "take up to N points that the server's estimates suggest, in place of the grid",
     .fallback = "0",
     .kind = LQ_SETTING_COUNT,
     AT(suggested),
     .min = 0,
     .max = 100},
    TEXT("targets", "LIST", "all-linear", "adapted matrices: q,v or attention or experts,router",
         targets),
};
#undef TEXT
#undef AT

static enum lq_code read_axes(const struct own *own, struct lq_calibration_plan *plan,
                              struct lq_error *err)
{
    struct lq_sweep_axes *axes = &plan->axes;
    LQ_TRY(lq_choices_read("methods", own->methods, LQ_METHOD_NAMES, &axes->methods, err));
    LQ_TRY(lq_counts_read("batch-sizes", own->batch_sizes, 1, BATCH_MOST, &axes->batch_sizes, err));
    LQ_TRY(lq_counts_read("sequence-tokens", own->sequence_tokens, 1, LENGTH_MOST, &axes->tokens,
                          err));
    if (own->active_experts != NULL) {
        LQ_TRY(lq_counts_read("active-experts", own->active_experts, 1, LQ_EXPERTS_MAX,
                              &axes->active_experts, err));
    } else {
        axes->active_experts = (struct lq_counts){.count = 1}; /* 0: the model's own */
    }
    return lq_targets_read("targets", own->targets, &plan->targets, err);
}

/* Asks for more experts than there are only as far as the model has them. */
static enum lq_code check_experts(const struct lq_calibration_plan *plan, struct lq_error *err)
{
    for (int i = 0; i < plan->axes.active_experts.count; i++) {
        LQ_TRY(lq_model_check_active(plan->model, plan->axes.active_experts.value[i], err));
    }
    return LQ_OK;
}

/* A point of a GPU that the catalog has not would be refused after minutes of measuring. */
static enum lq_code check_gpu(const struct own *own, struct lq_client *client, const char *gpu,
                              struct lq_error *err)
{
    char path[LQ_ID_MAX + 32];
    struct lq_http_answer answer;
    struct lq_error missing = {0};
    snprintf(path, sizeof path, "/v1/gpus/%s", gpu);
    if (own->dry_run || own->model_file != NULL) {
        return LQ_OK;
    }
    const enum lq_code code = lq_client_call(client, "GET", path, NULL, &answer, &missing);
    if (code == LQ_OK) {
        lq_http_answer_free(&answer);
        return LQ_OK;
    }
    if (code == LQ_ENOTFOUND) {
        return lq_fail(err, LQ_EREFERENCE, NULL,
                       "the server's catalog has no GPU %s; `llmquote-worker probe --register%s%s` "
                       "puts it there",
                       gpu, own->gpu != NULL ? " --gpu " : "", own->gpu != NULL ? own->gpu : "");
    }
    return lq_fail(err, code, NULL, "%s", missing.detail);
}

static void print_sum(const struct lq_calibration_sum *sum)
{
    fprintf(stderr, "measured %zu points (%zu noisy), %zu did not fit%s\n", sum->measured,
            sum->noisy, sum->unfit, sum->is_interrupted ? "; interrupted" : "");
}

static void print_sent(const struct lq_delivery *sent)
{
    fprintf(stderr, "delivered %zu points (%zu are implausible), rejected %zu%s\n", sent->delivered,
            sent->implausible, sent->rejected,
            sent->rejected > 0 ? ", in the spool's rejected.jsonl" : "");
    if (sent->kept > 0) {
        fprintf(stderr, "%zu points wait in the spool; `llmquote-worker deliver` sends them\n",
                sent->kept);
    }
}

/* Sends what the loop could not, and tells what became of all. */
static enum lq_code send_rest(struct lq_calibration_sink *sink, struct lq_calibration_sum *sum,
                              struct lq_error *err)
{
    struct lq_delivery told;
    enum lq_code code = LQ_OK;
    if (!sum->is_interrupted) {
        code = lq_deliver(sink->settings, sink->spool, stderr, &told, err);
        lq_delivery_add(&sum->sent, &told);
    }
    sum->sent.kept = lq_spool_waiting(sink->spool);
    print_sent(&sum->sent);
    return code;
}

static int measure(const struct lq_calibration_plan *plan, struct lq_rig *rig,
                   struct lq_calibration_sink *sink)
{
    struct lq_error err = {0};
    struct lq_calibration_sum sum;
    enum lq_code code = lq_rig_open(rig, &err);
    if (code != LQ_OK) {
        return lq_command_fail(lq_exit_code(code), &err);
    }
    code = lq_calibrate(plan, rig, sink, &sum, &err);
    lq_rig_close(rig);
    print_sum(&sum);
    if (sink->spool != NULL) {
        const enum lq_code sent = send_rest(sink, &sum, &err);
        code = code != LQ_OK ? code : sent;
    }
    if (code != LQ_OK) {
        return lq_command_fail(lq_exit_code(code), &err);
    }
    if (sum.is_interrupted || sum.sent.is_interrupted) {
        return LQ_EXIT_INTERRUPTED;
    }
    return sum.sent.rejected > 0 ? LQ_EXIT_DATA : LQ_EXIT_OK;
}

static int measure_into_spool(const struct lq_calibration_plan *plan, struct lq_rig *rig,
                              struct lq_calibration_sink *sink)
{
    char dir[LQ_SPOOL_DIR_MAX];
    const int opened = lq_command_open_spool(sink->settings, dir, &sink->spool);
    if (opened != LQ_EXIT_OK) {
        return opened;
    }
    const int status = measure(plan, rig, sink);
    lq_spool_close(sink->spool);
    return status;
}

/* Options that do not go together, or are missing. */
static enum lq_code check_options(const struct own *own, struct lq_error *err)
{
    if ((own->model == NULL) == (own->model_file == NULL)) {
        return lq_fail(err, LQ_EFIELD, NULL, "say either --model ID or --model-file FILE");
    }
    if (own->config != NULL && own->model == NULL) {
        return lq_fail(err, LQ_EFIELD, NULL, "--model-config needs --model ID to put it under");
    }
    if (own->skew > 0.0 && !own->dry_run) {
        return lq_fail(
            err, LQ_EFIELD, NULL,
            "--skew needs --dry-run: fits take loads to be even, so that points of uneven "
            "ones are printed, not posted");
    }
    if (own->suggested > 0 && (own->dry_run || own->model_file != NULL)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "--suggested needs a server that takes each point; not with --dry-run or "
                       "--model-file");
    }
    if (own->model != NULL) {
        LQ_TRY(lq_id_check("model", own->model, err));
    }
    LQ_TRY(lq_command_check_device(&own->on, own->gpu, err));
    return lq_id_check("source", own->source, err);
}

static enum lq_code prepare(const struct own *own, struct lq_client *client,
                            struct lq_calibration_plan *plan, struct lq_model *model,
                            struct lq_rig *rig, char gpu[LQ_ID_MAX], struct lq_error *err)
{
    plan->rank = own->rank;
    plan->source = own->source;
    plan->checkpointing = own->checkpointing == 0 ? LQ_CHECKPOINTING_NONE : LQ_CHECKPOINTING_FULL;
    plan->skew = own->skew;
    plan->budget_s = own->seconds;
    plan->rounds_max = (int)own->rounds;
    plan->suggested = own->suggested;
    LQ_TRY(lq_command_find_device(&own->on, rig, err));
    const struct lq_model_source source = {
        .id = own->model, .config = own->config, .file = own->model_file};
    LQ_TRY(lq_model_find(client, &source, model, err));
    plan->model = model;
    lq_device_id(rig->backend, &rig->info, gpu);
    if (own->gpu != NULL) {
        snprintf(gpu, LQ_ID_MAX, "%s", own->gpu);
    }
    plan->gpu = gpu;
    LQ_TRY(check_experts(plan, err));
    return check_gpu(own, client, gpu, err);
}

static int run(const struct lq_settings *settings, const void *values, int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    const struct own *own = values;
    struct lq_error err = {0};
    struct lq_calibration_plan plan = {.gpu = NULL};
    struct lq_model model;
    struct lq_rig rig;
    struct lq_client client;
    char gpu[LQ_ID_MAX];
    if (check_options(own, &err) != LQ_OK || read_axes(own, &plan, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    enum lq_code code = lq_client_open(settings, false, &client, &err);
    if (code == LQ_OK) {
        code = prepare(own, &client, &plan, &model, &rig, gpu, &err);
    }
    int status = lq_exit_code(code);
    if (code == LQ_OK) {
        struct lq_calibration_sink sink = {.settings = settings, .client = &client};
        status =
            own->dry_run ? measure(&plan, &rig, &sink) : measure_into_spool(&plan, &rig, &sink);
    } else {
        status = lq_command_fail(code == LQ_ENOTFOUND ? LQ_EXIT_DATA : status, &err);
        status = lq_stop_asked() ? LQ_EXIT_INTERRUPTED : status;
    }
    lq_client_close(&client);
    return status;
}

const struct lq_command LQ_COMMAND_MEASURE = {
    .name = "measure",
    .summary = "train a layer of a model for real, scale it to the model, post the points",
    .arguments = "",
    .notes =
        "One layer of each kind, the embedding and the head run forward, backward and optimizer\n"
        "on random numbers; times and memory are scaled to all layers. Points carry the stack\n"
        "llmquote-worker: for other stacks they speak of the device only. The device must be in\n"
        "the server's catalog (probe --register). Sizes beyond the first that does not fit are\n"
        "left out. SIGINT ends it after the point at hand; what was measured is kept.\n",
    .options = SETTINGS,
    .option_count = sizeof SETTINGS / sizeof *SETTINGS,
    .own_size = sizeof(struct own),
    .run = run,
};
