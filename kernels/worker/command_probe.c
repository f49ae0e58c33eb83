/* The commands that look at devices: what there is, what it reaches, and how it gets into a
 * server's catalog. */
#include "kernels/base/choice.h"
#include "kernels/delivery/client.h"
#include "kernels/document/catalog.h"
#include "kernels/measure/backends.h"
#include "kernels/measure/collectives.h"
#include "kernels/worker/command.h"
#include "kernels/worker/device_settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct own {
    struct lq_device_choice on;
    const char *gpu;
    bool registers;
};

#define AT(member) .offset = offsetof(struct own, member)
static const struct lq_setting SETTINGS[] = {
    LQ_DEVICE_SETTINGS(struct own, on),
    {.name = "gpu",
     .takes = "ID",
     .help = "the device's id in the catalog; else made of its name",
     .kind = LQ_SETTING_TEXT,
     AT(gpu)},
    {.name = "register",
     .help = "measure the device and put it into the server's catalog, if it is not in it",
     .kind = LQ_SETTING_SWITCH,
     AT(registers)},
};
#undef AT

static void print_device(const struct lq_backend *backend, size_t index,
                         const struct lq_device_info *info)
{
    char id[LQ_ID_MAX];
    lq_device_id(backend, info, id);
    printf("%s %zu: %s, %lld %s, %.1f GiB, %s %s, %s; id %s\n", backend->name, index, info->name,
           (long long)info->units, strcmp(backend->name, "cpu") == 0 ? "cores" : "multiprocessors",
           info->memory_bytes / (1024.0 * 1024.0 * 1024.0), info->architecture, info->capability,
           info->driver, id);
}

static void print_no_device(const char *name, struct lq_error *err)
{
    lq_text_clean(err->detail);
    printf("%s: no device: %s\n", name, err->detail);
}

static void print_backend(const char *name, const char *module)
{
    const struct lq_backend *backend = NULL;
    struct lq_device_info devices[LQ_DEVICES_MAX];
    struct lq_error err = {0};
    size_t count = 0;
    if (lq_backend_get(name, module, &backend, &err) != LQ_OK) {
        print_no_device(name, &err);
        return;
    }
    printf("%s: %s\n", name, backend->version());
    if (backend->list(devices, LQ_DEVICES_MAX, &count, &err) != LQ_OK) {
        print_no_device(name, &err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        print_device(backend, i, &devices[i]);
    }
}

static void print_left_out(struct lq_error *why)
{
    lq_text_clean(why->detail);
    fprintf(stderr, "llmquote-worker: left out: %s\n", why->detail);
}

/* What a node of several devices has beside them; without it an entry is of use too. */
static void measure_interconnect(const struct lq_rig *rig, struct lq_ceilings *ceilings)
{
    struct lq_error why = {0};
    if (lq_interconnect_measure(rig, NULL, &ceilings->interconnect_bytes_per_s, &why) != LQ_OK) {
        ceilings->interconnect_bytes_per_s = 0.0;
        print_left_out(&why);
    }
}

static enum lq_code measure_device(struct lq_rig *rig, struct lq_ceilings *ceilings,
                                   struct lq_error *err)
{
    LQ_TRY(lq_rig_open(rig, err));
    const enum lq_code measured = lq_ceilings_measure(rig, ceilings, err);
    lq_rig_close(rig);
    LQ_TRY(measured);
    LQ_TRY(lq_ceilings_measure_arithmetics(rig, ceilings, err));
    if (ceilings->refused.code != LQ_OK) {
        print_left_out(&ceilings->refused);
    }
    measure_interconnect(rig, ceilings);
    return LQ_OK;
}

static enum lq_code put_device(struct lq_client *client, struct lq_rig *rig, const char *path,
                               struct lq_error *err)
{
    struct lq_ceilings ceilings;
    struct lq_http_answer answer;
    char *body = NULL;
    LQ_TRY(measure_device(rig, &ceilings, err));
    LQ_TRY(lq_device_write(&rig->info, &ceilings, &body, err));
    const enum lq_code code = lq_client_call(client, "PUT", path, body, &answer, err);
    free(body);
    LQ_TRY(code);
    lq_http_answer_free(&answer);
    printf("registered: copies %.1f GB/s, matmuls %.1f GFLOP/s", ceilings.copy_bytes_per_s * 1e-9,
           ceilings.matmul_flop_per_s * 1e-9);
    if (ceilings.interconnect_bytes_per_s > 0.0) {
        printf(", interconnect %.1f GB/s", ceilings.interconnect_bytes_per_s * 1e-9);
    }
    printf("\n");
    return LQ_OK;
}

/* Whether the token may do it, before minutes are spent: an empty entry is refused as such, by a
 * server that would take a whole one. */
static enum lq_code check_scope(struct lq_client *client, const char *path, struct lq_error *err)
{
    struct lq_http_answer answer;
    struct lq_error why = {0};
    const enum lq_code code = lq_client_call(client, "PUT", path, "{}", &answer, &why);
    if (code == LQ_OK) {
        lq_http_answer_free(&answer);
    }
    return code == LQ_OK || code == LQ_EFIELD ? LQ_OK : lq_fail(err, code, NULL, "%s", why.detail);
}

/* What a catalog has is left as it is: points refer to it. */
static enum lq_code register_device(struct lq_client *client, struct lq_rig *rig, const char *id,
                                    struct lq_error *err)
{
    char path[LQ_ID_MAX + 32];
    struct lq_http_answer answer;
    struct lq_error missing = {0};
    snprintf(path, sizeof path, "/v1/gpus/%s", id);
    const enum lq_code code = lq_client_call(client, "GET", path, NULL, &answer, &missing);
    if (code == LQ_OK) {
        lq_http_answer_free(&answer);
        printf("%s is in the catalog already\n", id);
        return LQ_OK;
    }
    if (code != LQ_ENOTFOUND) {
        return lq_fail(err, code, NULL, "%s", missing.detail);
    }
    LQ_TRY(check_scope(client, path, err));
    printf("measuring %s\n", id);
    fflush(stdout);
    return put_device(client, rig, path, err);
}

static enum lq_code run_register(const struct lq_settings *settings, const struct own *own,
                                 struct lq_error *err)
{
    struct lq_rig rig;
    struct lq_client client;
    char id[LQ_ID_MAX];
    LQ_TRY(lq_command_find_device(&own->on, &rig, err));
    lq_device_id(rig.backend, &rig.info, id);
    LQ_TRY(lq_client_open(settings, true, &client, err));
    const enum lq_code code = register_device(&client, &rig, own->gpu != NULL ? own->gpu : id, err);
    lq_client_close(&client);
    return code;
}

static int run(const struct lq_settings *settings, const void *values, int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    const struct own *own = values;
    struct lq_error err = {0};
    if (lq_command_check_device(&own->on, own->gpu, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    for (size_t i = 0; LQ_BACKEND_NAMES[i] != NULL; i++) {
        print_backend(LQ_BACKEND_NAMES[i], own->on.cuda_module);
    }
    if (!own->registers) {
        return LQ_EXIT_OK;
    }
    const enum lq_code code = run_register(settings, own, &err);
    return code == LQ_OK ? LQ_EXIT_OK : lq_command_fail(lq_exit_code(code), &err);
}

const struct lq_command LQ_COMMAND_PROBE = {
    .name = "probe",
    .summary = "list backends and devices, or why there are none; --register one of them",
    .arguments = "",
    .notes = "Without --register nothing is connected to and the exit code is 0, device or not.\n"
             "--register takes a token of scope catalog:write.\n",
    .options = SETTINGS,
    .option_count = sizeof SETTINGS / sizeof *SETTINGS,
    .own_size = sizeof(struct own),
    .run = run,
};
