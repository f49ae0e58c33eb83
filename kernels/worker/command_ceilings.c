/* The command that prints what a device reaches, what matmuls of a model's own shapes do, and what
 * collectives between the devices of its node do. */
#include "core/arch/expert_load.h"
#include "kernels/base/choice.h"
#include "kernels/measure/ceilings.h"
#include "kernels/measure/collectives.h"
#include "kernels/measure/library_file.h"
#include "kernels/worker/collectives_table.h"
#include "kernels/worker/command.h"
#include "kernels/worker/device_settings.h"
#include "kernels/worker/find_gpu.h"
#include "kernels/worker/find_model.h"

#include <stdio.h>

struct own {
    struct lq_device_choice on;
    const char *model;
    const char *model_file;
    const char *gpu;
    const char *nccl;
    int64_t tokens;
    int64_t active_experts;
};

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
    {.name = "gpu",
     .takes = "ID",
     .help = "the device's id in the server's catalog: what estimates take for it stands beside "
             "collectives",
     .kind = LQ_SETTING_TEXT,
     AT(gpu)},
    {.name = "model",
     .takes = "ID",
     .help = "a model of the catalog whose matmuls to time too",
     .kind = LQ_SETTING_TEXT,
     AT(model)},
    {.name = "model-file",
     .takes = "FILE",
     .help = "the same, as GET /v1/models/ID answered it: nothing is asked of a server",
     .kind = LQ_SETTING_TEXT,
     AT(model_file)},
    {.name = "nccl",
     .takes = "FILE",
     .help = "the file of the library of collectives; else libnccl.so.2 where the system finds it",
     .kind = LQ_SETTING_TEXT,
     AT(nccl)},
    {.name = "tokens",
     .takes = "N",
     .help = "of a micro-batch; each routed expert gets its even share",
     .fallback = "512",
     .kind = LQ_SETTING_COUNT,
     AT(tokens),
     .min = 1,
     .max = 1e7},
};
#undef AT

enum { RATES_MAX = LQ_LAYER_KINDS_MAX * LQ_MATRICES_MAX };

static void print_ceilings(const struct lq_ceilings *c)
{
    printf("copy             %10.2f GB/s\n", c->copy_bytes_per_s * 1e-9);
    printf("matmul           %10.2f GFLOP/s\n", c->matmul_flop_per_s * 1e-9);
    if (c->tf32_flop_per_s > 0.0) {
        printf("matmul tf32      %10.2f GFLOP/s\n", c->tf32_flop_per_s * 1e-9);
    }
    if (c->fp8_flop_per_s > 0.0) {
        printf("matmul fp8       %10.2f GFLOP/s\n", c->fp8_flop_per_s * 1e-9);
    }
    printf("dequantization   %10.2f GB/s\n", c->dequantization_bytes_per_s * 1e-9);
    printf("launch           %10.2f us\n", c->launch_s * 1e6);
}

static void print_rates(const struct lq_model *model, const struct lq_matmul_rate *rates,
                        size_t count, double best_flop_per_s)
{
    printf("%s\n%-12s %8s %8s %8s %8s %12s %8s %8s\n", model->id, "matrix", "tokens", "outputs",
           "inputs", "experts", "GFLOP/s", "of best", "spread");
    for (size_t i = 0; i < count; i++) {
        const struct lq_matmul_rate *r = &rates[i];
        printf("%-12s %8lld %8lld %8lld %8lld %12.2f %6.0f %% %6.1f %%\n",
               LQ_TARGET_NAMES[r->target], (long long)r->tokens, (long long)r->outputs,
               (long long)r->inputs, (long long)r->groups, r->flop_per_s * 1e-9,
               100.0 * r->flop_per_s / best_flop_per_s, 100.0 * r->spread);
    }
}

/* What a server's catalog has that was asked for. */
struct entries {
    bool has_model;
    bool has_gpu;
    struct lq_model model;
    struct lq_gpu gpu;
};

static enum lq_code measure_model(const struct own *own, const struct lq_rig *rig,
                                  const struct lq_model *model, double best_flop_per_s,
                                  struct lq_error *err)
{
    struct lq_matmul_rate rates[RATES_MAX];
    size_t count = 0;
    LQ_TRY(lq_matmul_rates(rig->backend, rig->device, rig->element, model, own->tokens,
                           own->active_experts, rates, RATES_MAX, &count, err));
    print_rates(model, rates, count, best_flop_per_s);
    return LQ_OK;
}

/* What estimates take for the device stands beside collectives: where there are any, and where a
 * server can be asked. An id that it does not know is a slip. */
static enum lq_code ask_gpu(const struct lq_settings *settings, const struct own *own,
                            struct lq_gpu *gpu, bool *known, struct lq_error *err)
{
    struct lq_client client;
    struct lq_error why = {0};
    LQ_TRY(lq_client_open(settings, false, &client, err));
    const enum lq_code code = lq_gpu_find(&client, own->gpu, gpu, &why);
    lq_client_close(&client);
    *known = code == LQ_OK;
    if (code == LQ_ENOTFOUND) {
        return lq_fail(err, code, NULL, "%s", why.detail);
    }
    if (code != LQ_OK) {
        lq_text_clean(why.detail);
        fprintf(stderr, "llmquote-worker: left out: what estimates take for %s: %s\n", own->gpu,
                why.detail);
    }
    return LQ_OK;
}

static enum lq_code find_model(const struct lq_settings *settings, const struct own *own,
                               struct lq_model *model, struct lq_error *err)
{
    const struct lq_model_source source = {.id = own->model, .file = own->model_file};
    struct lq_client client;
    LQ_TRY(lq_client_open(settings, false, &client, err));
    const enum lq_code code = lq_model_find(&client, &source, model, err);
    lq_client_close(&client);
    return code == LQ_OK ? lq_model_check_active(model, own->active_experts, err) : code;
}

/* What is asked of servers is asked before minutes are spent. */
static enum lq_code find(const struct lq_settings *settings, const struct own *own,
                         struct entries *out, struct lq_rig *rig, struct lq_error *err)
{
    struct lq_node node;
    struct lq_error none = {0};
    out->has_gpu = false;
    out->has_model = own->model != NULL || own->model_file != NULL;
    if (out->has_model) {
        LQ_TRY(find_model(settings, own, &out->model, err));
    }
    LQ_TRY(lq_command_find_device(&own->on, rig, err));
    return own->gpu != NULL && lq_node_find(rig, &node, &none) == LQ_OK
               ? ask_gpu(settings, own, &out->gpu, &out->has_gpu, err)
               : LQ_OK;
}

static enum lq_code measure(const struct own *own, const struct lq_rig *rig, const char *nccl,
                            const struct entries *entries, struct lq_error *err)
{
    struct lq_ceilings ceilings;
    LQ_TRY(lq_ceilings_measure(rig, &ceilings, err));
    LQ_TRY(lq_ceilings_measure_arithmetics(rig, &ceilings, err));
    print_ceilings(&ceilings);
    if (ceilings.refused.code != LQ_OK) {
        fprintf(stderr, "llmquote-worker: left out: %s\n", ceilings.refused.detail);
    }
    if (entries->has_model) {
        LQ_TRY(measure_model(own, rig, &entries->model, ceilings.matmul_flop_per_s, err));
    }
    return lq_collectives_print(rig, nccl, entries->has_gpu ? &entries->gpu : NULL, err);
}

static enum lq_code open_and_measure(const struct lq_settings *settings, const struct own *own,
                                     struct lq_error *err)
{
    struct lq_rig rig;
    struct entries entries;
    char nccl[LQ_LIBRARY_PATH_MAX];
    if (own->nccl != NULL) {
        LQ_TRY(lq_library_check("the NCCL library", own->nccl, nccl, err));
    }
    LQ_TRY(find(settings, own, &entries, &rig, err));
    LQ_TRY(lq_rig_open(&rig, err));
    const enum lq_code code = measure(own, &rig, own->nccl != NULL ? nccl : NULL, &entries, err);
    lq_rig_close(&rig);
    return code;
}

static int run(const struct lq_settings *settings, const void *values, int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    const struct own *own = values;
    struct lq_error err = {0};
    enum lq_code code = lq_command_check_device(&own->on, own->gpu, &err);
    if (code == LQ_OK && own->model != NULL) {
        code = lq_id_check("model", own->model, &err);
    }
    if (code != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    code = open_and_measure(settings, own, &err);
    if (code == LQ_OK) {
        return LQ_EXIT_OK;
    }
    return lq_command_fail(code == LQ_ENOTFOUND ? LQ_EXIT_DATA : lq_exit_code(code), &err);
}

const struct lq_command LQ_COMMAND_CEILINGS = {
    .name = "ceilings",
    .summary = "time copies, matmuls, launches, and collectives between this node's devices",
    .arguments = "",
    .notes = "Medians of a few hundred milliseconds each. Nothing is posted.\n"
             "Collectives run over 2, 4, ..., all devices like --device, driven by one thread, "
             "through\n"
             "NCCL. Bytes are those of the whole buffer (all_to_all: what a device sends, its own "
             "part\n"
             "included); bus GB/s are bytes by seconds, times 2 (n - 1) / n for all_reduce and (n "
             "- 1) / n\n"
             "for the others. \"latency + bytes\" is the line seconds = latency + bytes / "
             "bandwidth with\n"
             "the least relative errors, its bandwidth as bus GB/s.\n",
    .options = SETTINGS,
    .option_count = sizeof SETTINGS / sizeof *SETTINGS,
    .own_size = sizeof(struct own),
    .run = run,
};
