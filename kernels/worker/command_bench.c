/* The command that holds every operation of a model's training step against a roofline: timed on a
 * device, or without one told for a GPU of the catalog. */
#include "core/arch/expert_load.h"
#include "kernels/base/choice.h"
#include "kernels/document/bench.h"
#include "kernels/measure/ceilings.h"
#include "kernels/worker/command.h"
#include "kernels/worker/device_settings.h"
#include "kernels/worker/find_gpu.h"
#include "kernels/worker/find_model.h"

#include <stdlib.h>

struct own {
    struct lq_device_choice on;
    const char *gpu;
    const char *model;
    const char *model_file;
    int64_t active_experts;
    int64_t tokens;
    double bytes_per_s;
    double flop_per_s;
    double seconds;
    int method;
    bool explains;
    bool prints_json;
};

/* 16: what `measure` takes unless told otherwise. */
enum { RANK = 16 };

#define AT(member) .offset = offsetof(struct own, member)
static const struct lq_setting SETTINGS[] = {
    {.name = "active-experts",
     .takes = "N",
     .help = "experts of each token; 0: the model's own",
     .fallback = "0",
     .kind = LQ_SETTING_COUNT,
     AT(active_experts),
     .min = 0,
     .max = LQ_EXPERTS_MAX},
    LQ_DEVICE_SETTINGS(struct own, on),
    {.name = "bytes-per-s",
     .takes = "N",
     .help = "with --explain: the memory bandwidth, in place of a GPU's",
     .kind = LQ_SETTING_NUMBER,
     AT(bytes_per_s),
     .min = 1.0,
     .max = 1e18},
    {.name = "explain",
     .help = "run nothing: print what a roofline says for --gpu",
     .kind = LQ_SETTING_SWITCH,
     AT(explains)},
    {.name = "flop-per-s",
     .takes = "N",
     .help = "with --explain: the rate of 16-bit matmuls, in place of a GPU's",
     .kind = LQ_SETTING_NUMBER,
     AT(flop_per_s),
     .min = 1.0,
     .max = 1e21},
    {.name = "gpu",
     .takes = "ID",
     .help = "with --explain: a GPU of the server's catalog",
     .kind = LQ_SETTING_TEXT,
     AT(gpu)},
    {.name = "json", .help = "print JSON", .kind = LQ_SETTING_SWITCH, AT(prints_json)},
    {.name = "method",
     .takes = "full|lora|qlora",
     .help = "which operations a step has",
     .fallback = "qlora",
     .kind = LQ_SETTING_CHOICE,
     AT(method),
     .names = LQ_METHOD_NAMES},
    {.name = "model",
     .takes = "ID",
     .help = "a model of the server's catalog",
     .fallback = "mixtral-8x7b",
     .kind = LQ_SETTING_TEXT,
     AT(model)},
    {.name = "model-file",
     .takes = "FILE",
     .help = "in its place, a model as GET /v1/models/ID answered it: no server is asked for it",
     .kind = LQ_SETTING_TEXT,
     AT(model_file)},
    {.name = "seconds",
     .takes = "S",
     .help = "of sampling each operation; five samples are taken at least",
     .fallback = "0.1",
     .kind = LQ_SETTING_NUMBER,
     AT(seconds),
     .min = 0.001,
     .max = 600.0},
    {.name = "tokens",
     .takes = "N",
     .help = "of the one row",
     .fallback = "512",
     .kind = LQ_SETTING_COUNT,
     AT(tokens),
     .min = 1,
     .max = 1e7},
};
#undef AT

/* What is printed, and for whom. */
struct report {
    struct lq_bench_title title;
    struct lq_bench bench;
    struct lq_model model;
    char device[LQ_DEVICE_NAME_MAX];
};

static struct lq_method method_of(const struct own *own)
{
    if (own->method == LQ_METHOD_FULL) {
        return (struct lq_method){.kind = LQ_METHOD_FULL};
    }
    return (struct lq_method){.kind = (enum lq_method_kind)own->method,
                              .rank = RANK,
                              .targets = LQ_TARGETS_ALL_LINEAR,
                              .quantization = own->method == LQ_METHOD_QLORA
                                                  ? LQ_QUANTIZATION_NF4_DQ
                                                  : LQ_QUANTIZATION_NONE};
}

static void print_timed(const struct report *report)
{
    printf("%-30s %-44s %6s %10s %10s %10s %9s %10s %8s  %s\n", "operation", "shape", "calls", "MB",
           "GFLOP", "us", "GB/s", "GFLOP/s", "of roof", "bound by");
    double step_s = 0.0;
    for (size_t i = 0; i < report->bench.count; i++) {
        const struct lq_bench_row *r = &report->bench.row[i];
        enum lq_bound bound;
        const double roofline_s = lq_roofline_s(&report->title.roofline, &r->work, &bound);
        const double bytes = lq_tally_bytes(&r->work);
        const double each_s = r->time.median_s;
        step_s += r->calls * each_s;
        printf("%-30s %-44s %6.0f %10.3f %10.4f %10.2f %9.2f %10.2f %6.0f %%  %s\n", r->name,
               r->shape, r->calls, bytes * 1e-6, r->work.flop * 1e-9, each_s * 1e6,
               bytes / each_s * 1e-9, r->work.flop / each_s * 1e-9, 100.0 * roofline_s / each_s,
               LQ_BOUND_NAMES[bound]);
    }
    printf("all calls together take %.6g s; a step of the model without recomputation is made of "
           "them\n",
           step_s);
}

static void print_explained(const struct report *report)
{
    printf("%-30s %-44s %6s %10s %10s %12s  %s\n", "operation", "shape", "calls", "MB", "GFLOP",
           "roofline us", "bound by");
    double step_s = 0.0;
    for (size_t i = 0; i < report->bench.count; i++) {
        const struct lq_bench_row *r = &report->bench.row[i];
        enum lq_bound bound;
        const double roofline_s = lq_roofline_s(&report->title.roofline, &r->work, &bound);
        step_s += r->calls * roofline_s;
        printf("%-30s %-44s %6.0f %10.3f %10.4f %12.3f  %s\n", r->name, r->shape, r->calls,
               lq_tally_bytes(&r->work) * 1e-6, r->work.flop * 1e-9, roofline_s * 1e6,
               LQ_BOUND_NAMES[bound]);
    }
    printf("all calls together: %.6g s. Nothing was run. This is the yardstick that a measurement\n"
           "will be held against: `llmquote-worker bench` on the device says how much of it is "
           "reached.\n",
           step_s);
}

static enum lq_code print(const struct own *own, struct report *report, struct lq_error *err)
{
    const struct lq_bench_title *t = &report->title;
    if (own->prints_json) {
        char *text = NULL;
        LQ_TRY(lq_bench_write(t, &report->bench, &text, err));
        puts(text);
        free(text);
        return LQ_OK;
    }
    printf("%s %s, %lld tokens, %s: %.2f GB/s, %.2f GFLOP/s", t->model, t->method,
           (long long)t->tokens, t->device, t->roofline.bytes_per_s * 1e-9,
           t->roofline.flop_per_s * 1e-9);
    if (t->roofline.launch_s > 0.0) {
        printf(", a launch %.2f us", t->roofline.launch_s * 1e6);
    }
    puts("");
    own->explains ? print_explained(report) : print_timed(report);
    return LQ_OK;
}

/* Peaks of a GPU in the catalog, or as given. */
static enum lq_code find_gpu(const struct own *own, struct lq_client *client, struct report *report,
                             enum lq_element *element, struct lq_error *err)
{
    struct lq_gpu gpu = {.id = "as given",
                         .fp16_flop_per_s = own->flop_per_s,
                         .memory_bandwidth_bytes_per_s = own->bytes_per_s};
    if (own->gpu != NULL) {
        LQ_TRY(lq_gpu_find(client, own->gpu, &gpu, err));
    }
    const bool halves = gpu.fp16_flop_per_s > 0.0;
    *element = halves ? LQ_ELEMENT_BF16 : LQ_ELEMENT_F32;
    report->title.roofline =
        (struct lq_roofline){.flop_per_s = halves ? gpu.fp16_flop_per_s : gpu.fp32_flop_per_s,
                             .bytes_per_s = gpu.memory_bandwidth_bytes_per_s};
    snprintf(report->device, sizeof report->device, "%s", gpu.id);
    return report->title.roofline.flop_per_s > 0.0
               ? LQ_OK
               : lq_fail(err, LQ_EIMPOSSIBLE, NULL, "the catalog has no rate of matmuls for %s",
                         gpu.id);
}

/* What both ways of running need. */
static struct lq_bench_job job_of(const struct own *own, const struct lq_model *model,
                                  const struct lq_method *method)
{
    return (struct lq_bench_job){.model = model,
                                 .method = method,
                                 .tokens = own->tokens,
                                 .active_experts = own->active_experts,
                                 .budget_s = own->seconds};
}

static enum lq_code measure(const struct own *own, const struct lq_method *method,
                            struct report *report, struct lq_error *err)
{
    struct lq_rig rig;
    struct lq_ceilings ceilings;
    struct lq_bench_job job = job_of(own, &report->model, method);
    LQ_TRY(lq_command_find_device(&own->on, &rig, err));
    LQ_TRY(lq_rig_open(&rig, err));
    job.backend = rig.backend;
    job.device = rig.device;
    job.element = rig.element;
    enum lq_code code = lq_ceilings_measure(&rig, &ceilings, err);
    code = code == LQ_OK ? lq_bench_run(&job, &report->bench, err) : code;
    lq_rig_close(&rig);
    LQ_TRY(code);
    snprintf(report->device, sizeof report->device, "%s", rig.info.name);
    report->title.roofline = (struct lq_roofline){.flop_per_s = ceilings.matmul_flop_per_s,
                                                  .bytes_per_s = ceilings.copy_bytes_per_s,
                                                  .launch_s = ceilings.launch_s};
    return LQ_OK;
}

static enum lq_code fill(const struct own *own, struct lq_client *client, struct report *report,
                         struct lq_error *err)
{
    const struct lq_model_source source = {.id = own->model, .file = own->model_file};
    const struct lq_method method = method_of(own);
    LQ_TRY(lq_model_find(client, &source, &report->model, err));
    report->title = (struct lq_bench_title){.model = report->model.id,
                                            .method = LQ_METHOD_NAMES[own->method],
                                            .device = report->device,
                                            .tokens = own->tokens};
    LQ_TRY(lq_model_check_active(&report->model, own->active_experts, err));
    if (!own->explains) {
        return measure(own, &method, report, err);
    }
    struct lq_bench_job job = job_of(own, &report->model, &method);
    LQ_TRY(find_gpu(own, client, report, &job.element, err));
    return lq_bench_count(&job, &report->bench, err);
}

static enum lq_code check_options(const struct own *own, struct lq_error *err)
{
    const bool has_numbers = own->flop_per_s > 0.0 && own->bytes_per_s > 0.0;
    const bool has_any = own->flop_per_s > 0.0 || own->bytes_per_s > 0.0;
    LQ_TRY(lq_id_check("model", own->model, err));
    LQ_TRY(lq_command_check_device(&own->on, own->gpu, err));
    if (!own->explains) {
        return own->gpu == NULL && !has_any
                   ? LQ_OK
                   : lq_fail(err, LQ_EFIELD, NULL,
                             "--gpu, --flop-per-s and --bytes-per-s go with --explain");
    }
    if ((own->gpu != NULL) == has_any || has_any != has_numbers) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "--explain takes either --gpu ID or both --flop-per-s and --bytes-per-s");
    }
    return LQ_OK;
}

static int run(const struct lq_settings *settings, const void *values, int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    const struct own *own = values;
    struct lq_error err = {0};
    struct lq_client client;
    if (check_options(own, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    struct report *report = calloc(1, sizeof *report);
    if (report == NULL) {
        (void)lq_fail(&err, LQ_EINTERNAL, NULL, "out of memory");
        return lq_command_fail(LQ_EXIT_INTERNAL, &err);
    }
    enum lq_code code = lq_client_open(settings, false, &client, &err);
    if (code == LQ_OK) {
        code = fill(own, &client, report, &err);
        lq_client_close(&client);
    }
    code = code == LQ_OK ? print(own, report, &err) : code;
    free(report);
    if (code == LQ_OK) {
        return LQ_EXIT_OK;
    }
    return lq_command_fail(code == LQ_ENOTFOUND ? LQ_EXIT_DATA : lq_exit_code(code), &err);
}

const struct lq_command LQ_COMMAND_BENCH = {
    .name = "bench",
    .summary = "time each operation of a model's step against the device's roofline; or --explain",
    .arguments = "",
    .notes =
        "Bytes and FLOPs are those that calibration counts: of matmuls the weights alone, of "
        "other\n"
        "operations what they read and write. The roofline is the largest of FLOPs over the rate "
        "of\n"
        "matmuls, bytes over that of copies, and a launch; a share above 100 % means data that\n"
        "stayed in a cache. With --explain nothing is run, and peaks are those of the catalog.\n",
    .options = SETTINGS,
    .option_count = sizeof SETTINGS / sizeof *SETTINGS,
    .own_size = sizeof(struct own),
    .run = run,
};
