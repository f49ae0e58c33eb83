/* Collectives by plain loops, and the failures that callers must stand. */
#include "tests/worker/pretend_group.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct lq_group {
    size_t count;
    float *input[LQ_GROUP_DEVICES_MAX];
    float *output[LQ_GROUP_DEVICES_MAX];
    long left; /* starts until one fails; below 0: none does */
};

static bool is_told(const char *what)
{
    const char *text = getenv("PRETEND_GROUP");
    return text != NULL && strncmp(text, what, strlen(what)) == 0;
}

static void empty(struct lq_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        free(group->input[i]);
        free(group->output[i]);
        group->input[i] = NULL;
        group->output[i] = NULL;
    }
}

static void close_group(struct lq_group *group)
{
    if (group != NULL) {
        empty(group);
        free(group);
    }
}

static enum lq_code open_group(const char *library, const size_t *devices, size_t count,
                               struct lq_group **out, struct lq_error *err)
{
    (void)devices;
    if (is_told("absent")) {
        return lq_fail(err, LQ_EDEVICE, NULL, "NCCL is not installed: %s",
                       library != NULL ? library : "it is pretended");
    }
    struct lq_group *group = calloc(1, sizeof *group);
    group->count = count;
    group->left = is_told("lost ") ? strtol(getenv("PRETEND_GROUP") + 5, NULL, 10) : -1;
    *out = group;
    return LQ_OK;
}

static const char *version(const struct lq_group *group)
{
    (void)group;
    return "pretended NCCL";
}

static enum lq_code reserve(struct lq_group *group, size_t numbers, struct lq_error *err)
{
    (void)err;
    empty(group);
    for (size_t i = 0; i < group->count; i++) {
        group->input[i] = calloc(numbers, sizeof(float));
        group->output[i] = calloc(numbers, sizeof(float));
    }
    return LQ_OK;
}

static enum lq_code write_input(struct lq_group *group, size_t member, const float *from,
                                size_t numbers, struct lq_error *err)
{
    (void)err;
    memcpy(group->input[member], from, numbers * sizeof *from);
    return LQ_OK;
}

static enum lq_code read_output(struct lq_group *group, size_t member, float *to, size_t numbers,
                                struct lq_error *err)
{
    (void)err;
    memcpy(to, group->output[member], numbers * sizeof *to);
    if (is_told("wrong")) {
        to[numbers - 1] += 1.0F;
    }
    return LQ_OK;
}

/* Sums of all inputs from `first` on. */
static void sum(const struct lq_group *group, size_t first, size_t n, float *out)
{
    memcpy(out, group->input[0] + first, n * sizeof *out);
    for (size_t j = 1; j < group->count; j++) {
        for (size_t i = 0; i < n; i++) {
            out[i] += group->input[j][first + i];
        }
    }
}

/* Part `at` of every input, one after the other. */
static void collect(const struct lq_group *group, size_t at, size_t part, float *out)
{
    for (size_t j = 0; j < group->count; j++) {
        memcpy(out + j * part, group->input[j] + at * part, part * sizeof *out);
    }
}

static enum lq_code start(struct lq_group *group, enum lq_group_collective collective, size_t part,
                          struct lq_error *err)
{
    if (group->left >= 0 && group->left-- == 0) {
        return lq_fail(err, LQ_EDEVICE, NULL, "ncclGroupEnd: a device is lost");
    }
    for (size_t i = 0; i < group->count; i++) {
        float *out = group->output[i];
        switch (collective) {
        case LQ_GROUP_ALL_REDUCE:
            sum(group, 0, group->count * part, out);
            break;
        case LQ_GROUP_REDUCE_SCATTER:
            sum(group, i * part, part, out);
            break;
        case LQ_GROUP_ALL_GATHER:
            collect(group, 0, part, out);
            break;
        case LQ_GROUP_ALL_TO_ALL:
            collect(group, i, part, out);
            break;
        case LQ_GROUP_COLLECTIVE_COUNT:
            abort();
        }
    }
    return LQ_OK;
}

static enum lq_code wait_for_all(struct lq_group *group, double limit_s, struct lq_error *err)
{
    (void)group;
    (void)limit_s;
    (void)err;
    return LQ_OK;
}

const struct lq_group_functions *pretend_group(void)
{
    static const struct lq_group_functions FUNCTIONS = {
        .open = open_group,
        .close = close_group,
        .version = version,
        .reserve = reserve,
        .write = write_input,
        .read = read_output,
        .start = start,
        .wait = wait_for_all,
    };
    return &FUNCTIONS;
}
