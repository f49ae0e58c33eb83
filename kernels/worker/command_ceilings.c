/* The command that prints what a device reaches, and what matmuls of a model's own shapes do. */
#include "core/arch/expert_load.h"
#include "kernels/base/choice.h"
#include "kernels/measure/ceilings.h"
#include "kernels/worker/command.h"
#include "kernels/worker/device_settings.h"
#include "kernels/worker/find_model.h"

#include <stdio.h>

struct own {
    struct lq_device_choice on;
    const char *model;
    const char *model_file;
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

static enum lq_code measure(const struct own *own, struct lq_rig *rig, const struct lq_model *model,
                            struct lq_error *err)
{
    struct lq_ceilings ceilings;
    struct lq_matmul_rate rates[RATES_MAX];
    size_t count = 0;
    LQ_TRY(lq_ceilings_measure(rig, &ceilings, err));
    LQ_TRY(lq_ceilings_measure_arithmetics(rig, &ceilings, err));
    print_ceilings(&ceilings);
    if (ceilings.refused.code != LQ_OK) {
        fprintf(stderr, "llmquote-worker: left out: %s\n", ceilings.refused.detail);
    }
    if (model == NULL) {
        return LQ_OK;
    }
    LQ_TRY(lq_matmul_rates(rig->backend, rig->device, rig->element, model, own->tokens,
                           own->active_experts, rates, RATES_MAX, &count, err));
    print_rates(model, rates, count, ceilings.matmul_flop_per_s);
    return LQ_OK;
}

static enum lq_code find(const struct lq_settings *settings, const struct own *own,
                         struct lq_model *model, struct lq_error *err)
{
    const struct lq_model_source source = {.id = own->model, .file = own->model_file};
    struct lq_client client;
    if (own->model != NULL) {
        LQ_TRY(lq_id_check("model", own->model, err));
    }
    LQ_TRY(lq_client_open(settings, false, &client, err));
    const enum lq_code code = lq_model_find(&client, &source, model, err);
    lq_client_close(&client);
    return code;
}

static int run(const struct lq_settings *settings, const void *values, int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    const struct own *own = values;
    struct lq_error err = {0};
    struct lq_model model;
    struct lq_rig rig;
    const bool has_model = own->model != NULL || own->model_file != NULL;
    enum lq_code code = has_model ? find(settings, own, &model, &err) : LQ_OK;
    if (code == LQ_OK && has_model) {
        code = lq_model_check_active(&model, own->active_experts, &err);
    }
    if (code == LQ_OK) {
        code = lq_command_find_device(&own->on, &rig, &err);
    }
    if (code == LQ_OK) {
        code = lq_rig_open(&rig, &err);
    }
    if (code == LQ_OK) {
        code = measure(own, &rig, has_model ? &model : NULL, &err);
        lq_rig_close(&rig);
    }
    return code == LQ_OK ? LQ_EXIT_OK : lq_command_fail(lq_exit_code(code), &err);
}

const struct lq_command LQ_COMMAND_CEILINGS = {
    .name = "ceilings",
    .summary = "time copies, matmuls, dequantisation and launches; with a model, its own matmuls",
    .arguments = "",
    .notes = "Medians of a few hundred milliseconds each. Nothing is posted.\n",
    .options = SETTINGS,
    .option_count = sizeof SETTINGS / sizeof *SETTINGS,
    .own_size = sizeof(struct own),
    .run = run,
};
