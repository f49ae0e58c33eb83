/* Finds and opens devices. What they can do stands behind kernels/backend.h. */
#include "kernels/measure/rig.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const struct lq_backend *(*const LQ_BACKENDS[])(void) = {lq_cpu_backend, NULL};

static enum lq_code find_in(const struct lq_backend *backend, size_t index, struct lq_rig *out,
                            struct lq_error *err)
{
    struct lq_device_info devices[LQ_DEVICES_MAX];
    size_t count = 0;
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

enum lq_code lq_rig_find(const char *backend, size_t index, struct lq_rig *out,
                         struct lq_error *err)
{
    struct lq_error last = {0};
    for (size_t i = 0; LQ_BACKENDS[i] != NULL; i++) {
        const struct lq_backend *candidate = LQ_BACKENDS[i]();
        if (backend != NULL && strcmp(candidate->name, backend) != 0) {
            continue;
        }
        if (find_in(candidate, index, out, &last) == LQ_OK) {
            return LQ_OK;
        }
    }
    if (last.code == LQ_OK) {
        return lq_fail(err, LQ_EFIELD, NULL, "no backend is called \"%.32s\"; `probe` lists them",
                       backend != NULL ? backend : "");
    }
    return lq_fail(err, last.code, NULL, "%s", last.detail);
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
