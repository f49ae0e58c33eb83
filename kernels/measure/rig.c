/* Finds and opens devices. What they can do stands behind kernels/backend.h. */
#include "kernels/measure/rig.h"

#include "kernels/measure/backends.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static enum lq_code find_in(const char *name, const struct lq_device_choice *choice,
                            struct lq_rig *out, struct lq_error *err)
{
    const struct lq_backend *backend = NULL;
    struct lq_device_info devices[LQ_DEVICES_MAX];
    const size_t index = (size_t)choice->device;
    size_t count = 0;
    LQ_TRY(lq_backend_get(name, choice->cuda_module, &backend, err));
    LQ_TRY(backend->list(devices, LQ_DEVICES_MAX, &count, err));
    if (index >= count) {
        return lq_fail(err, LQ_EDEVICE, NULL, "backend %s has %zu devices; there is no number %zu",
                       backend->name, count, index);
    }
    const bool bf16 = (devices[index].elements & LQ_ELEMENT_BIT(LQ_ELEMENT_BF16)) != 0;
    *out = (struct lq_rig){.backend = backend,
                           .info = devices[index],
                           .index = index,
                           .element = bf16 ? LQ_ELEMENT_BF16 : LQ_ELEMENT_F32,
                           .precision = bf16 ? LQ_PRECISION_BF16 : LQ_PRECISION_FP32};
    return LQ_OK;
}

static enum lq_code find_named(const struct lq_device_choice *choice, struct lq_rig *out,
                               struct lq_error *err)
{
    struct lq_error why = {0};
    const enum lq_code code = find_in(choice->backend, choice, out, &why);
    if (code == LQ_EDEVICE && strcmp(choice->backend, "cpu") != 0) {
        return lq_fail(err, code, NULL, "%s; --backend cpu takes this machine's cores", why.detail);
    }
    return code == LQ_OK ? code : lq_fail(err, code, NULL, "%s", why.detail);
}

enum lq_code lq_rig_find(const struct lq_device_choice *choice, struct lq_rig *out,
                         struct lq_error *err)
{
    if (choice->backend != NULL) {
        return find_named(choice, out, err);
    }
    struct lq_error first = {0};
    for (size_t i = 0; LQ_BACKEND_NAMES[i] != NULL; i++) {
        const char *name = LQ_BACKEND_NAMES[i];
        if (!lq_backend_is_there(name, choice->cuda_module)) {
            continue;
        }
        struct lq_error why = {0};
        if (find_in(name, choice, out, &why) == LQ_OK) {
            snprintf(out->passed_over, sizeof out->passed_over, "%s", first.detail);
            return LQ_OK;
        }
        (void)lq_fail(&first, why.code, NULL, "%s", why.detail);
    }
    return lq_fail(err, first.code, NULL, "%s", first.detail);
}

enum lq_code lq_rig_open(struct lq_rig *rig, struct lq_error *err)
{
    return rig->backend->open(rig->index, rig->element, &rig->device, err);
}

void lq_rig_close(struct lq_rig *rig)
{
    if (rig->device != NULL) {
        rig->backend->close(rig->device);
        rig->device = NULL;
    }
}

/* Whether a word of a device's name says nothing: marks, "CPU", "@", a clock, which changes. */
static bool is_filler(const char *word)
{
    static const char *const FILLERS[] = {"r", "tm", "cpu", "processor", NULL};
    for (size_t i = 0; FILLERS[i] != NULL; i++) {
        if (strcmp(FILLERS[i], word) == 0) {
            return true;
        }
    }
    const size_t length = strlen(word);
    return length > 3 && strcmp(word + length - 3, "ghz") == 0;
}

void lq_device_id(const struct lq_backend *backend, const struct lq_device_info *info,
                  char id[LQ_ID_MAX])
{
    enum { WORD_MAX = 24, CORES_MAX = 12 };
    size_t used = 0;
    const char *at = info->name;
    while (*at != '\0') {
        char word[WORD_MAX];
        size_t length = 0;
        for (; isalnum((unsigned char)*at) || *at == '.'; at++) {
            if (length + 1 < sizeof word) {
                word[length++] = (char)tolower((unsigned char)*at);
            }
        }
        at += *at != '\0';
        word[length] = '\0';
        if (length > 0 && !is_filler(word) && used + length + 1 + CORES_MAX < LQ_ID_MAX) {
            used +=
                (size_t)snprintf(id + used, LQ_ID_MAX - used, "%s%s", used > 0 ? "-" : "", word);
        }
    }
    if (used == 0) {
        used = (size_t)snprintf(id, LQ_ID_MAX, "%s", backend->name);
    }
    if (strcmp(backend->name, "cpu") == 0) {
        snprintf(id + used, LQ_ID_MAX - used, "-%lldc", (long long)info->units);
    }
}
