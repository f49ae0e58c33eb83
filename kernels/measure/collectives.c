/* Groups of this node's devices, and their collectives timed. How data moves is the backend's. */
#include "kernels/measure/collectives.h"

#include "core/finetune/network.h"
#include "kernels/measure/stopwatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 8 KiB to 256 MiB: from sizes that are latency alone to where bus bandwidth has levelled off. */
static const size_t SIZES_BYTES[LQ_COLLECTIVE_SIZES_MAX] = {8192,    65536,    524288,
                                                            4194304, 33554432, 268435456};
static const double BUDGET_S = 0.1; /* of one size */
static const double LIMIT_S = 60.0; /* 256 MiB take 0.3 s at 1 GB/s: what is not done has failed */

/* Of a check; odd, so that vector loads have ends to get wrong. */
enum { CHECKED_PART = 1021 };

enum lq_code lq_node_find(const struct lq_rig *rig, struct lq_node *out, struct lq_error *err)
{
    struct lq_device_info devices[LQ_DEVICES_MAX];
    size_t count = 0;
    *out = (struct lq_node){.backend = rig->backend, .memory_bytes = rig->info.memory_bytes};
    if (rig->backend->group == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "the %s backend has one device, and collectives take two",
                       rig->backend->name);
    }
    LQ_TRY(rig->backend->list(devices, LQ_DEVICES_MAX, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(devices[i].name, rig->info.name) == 0 && out->count < LQ_GROUP_DEVICES_MAX) {
            out->devices[out->count++] = i;
        } else {
            out->others++;
        }
    }
    return out->count > 1
               ? LQ_OK
               : lq_fail(err, LQ_EDEVICE, NULL, "this node has one %s, and collectives take two",
                         rig->info.name);
}

size_t lq_node_next(const struct lq_node *node, size_t members)
{
    if (members >= node->count) {
        return 0;
    }
    const size_t next = members == 0 ? 2 : 2 * members;
    return next < node->count ? next : node->count;
}

enum lq_collective lq_group_collective_name(enum lq_group_collective collective)
{
    static const enum lq_collective NAMES[LQ_GROUP_COLLECTIVE_COUNT] = {
        [LQ_GROUP_ALL_REDUCE] = LQ_COLLECTIVE_ALL_REDUCE,
        [LQ_GROUP_ALL_GATHER] = LQ_COLLECTIVE_ALL_GATHER,
        [LQ_GROUP_REDUCE_SCATTER] = LQ_COLLECTIVE_REDUCE_SCATTER,
        [LQ_GROUP_ALL_TO_ALL] = LQ_COLLECTIVE_ALL_TO_ALL};
    return NAMES[collective];
}

/* One collective that is run again and again. */
struct bench {
    const struct lq_group_functions *functions;
    struct lq_group *group;
    enum lq_group_collective collective;
    size_t members;
    size_t part;
};

static enum lq_code run(const void *context, struct lq_error *err)
{
    const struct bench *b = context;
    return b->functions->start(b->group, b->collective, b->part, err);
}

static enum lq_code wait(const void *context, struct lq_error *err)
{
    const struct bench *b = context;
    return b->functions->wait(b->group, LIMIT_S, err);
}

/* Number i of a member's input: no two are the same, and sums over all members are whole numbers
 * that fp32 holds (below 2^24). */
static double number(size_t member, size_t i)
{
    return 20000.0 * (double)member + (double)i;
}

/* Number i of what a member is to find in its output. */
static double outcome(const struct bench *b, size_t member, size_t i)
{
    const size_t from = i / b->part;
    const size_t at = i % b->part;
    double sum = 0.0;
    switch (b->collective) {
    case LQ_GROUP_ALL_GATHER:
        return number(from, at);
    case LQ_GROUP_ALL_TO_ALL:
        return number(from, member * b->part + at);
    case LQ_GROUP_ALL_REDUCE:
    case LQ_GROUP_REDUCE_SCATTER:
    case LQ_GROUP_COLLECTIVE_COUNT:
        break;
    }
    const size_t first = b->collective == LQ_GROUP_REDUCE_SCATTER ? member * b->part : 0;
    for (size_t j = 0; j < b->members; j++) {
        sum += number(j, first + i);
    }
    return sum;
}

static enum lq_code check_member(const struct bench *b, size_t member, float *numbers,
                                 struct lq_error *err)
{
    const size_t parts = b->collective == LQ_GROUP_REDUCE_SCATTER ? 1 : b->members;
    LQ_TRY(b->functions->read(b->group, member, numbers, parts * b->part, err));
    for (size_t i = 0; i < parts * b->part; i++) {
        const double want = outcome(b, member, i);
        if ((double)numbers[i] != want) {
            return lq_fail(err, LQ_EDEVICE, NULL,
                           "%s over %zu devices goes wrong: number %zu of member %zu is %g, not %g",
                           LQ_COLLECTIVE_NAMES[lq_group_collective_name(b->collective)], b->members,
                           i, member, (double)numbers[i], want);
        }
    }
    return LQ_OK;
}

static enum lq_code check_with(const struct bench *b, float *numbers, struct lq_error *err)
{
    const size_t whole = b->members * b->part;
    for (size_t member = 0; member < b->members; member++) {
        for (size_t i = 0; i < whole; i++) {
            numbers[i] = (float)number(member, i);
        }
        LQ_TRY(b->functions->write(b->group, member, numbers, whole, err));
    }
    LQ_TRY(run(b, err));
    LQ_TRY(wait(b, err));
    for (size_t member = 0; member < b->members; member++) {
        LQ_TRY(check_member(b, member, numbers, err));
    }
    return LQ_OK;
}

/* Devices whose links or settings are broken may be fast. */
static enum lq_code check(struct bench bench, struct lq_error *err)
{
    bench.part = CHECKED_PART;
    const size_t whole = bench.members * bench.part;
    float *numbers = malloc(whole * sizeof *numbers);
    if (numbers == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "out of host memory");
    }
    enum lq_code code = bench.functions->reserve(bench.group, whole, err);
    if (code == LQ_OK) {
        code = check_with(&bench, numbers, err);
    }
    free(numbers);
    return code;
}

/* An input and an output fit into an eighth of the memory. */
static bool is_affordable(const struct lq_node *node, size_t bytes)
{
    return !(node->memory_bytes > 0.0) || 2.0 * (double)bytes <= node->memory_bytes / 8.0;
}

static enum lq_code time_size(struct bench *bench, size_t bytes, struct lq_collective_times *out,
                              struct lq_error *err)
{
    const struct lq_stopwatch watch = {.work = run, .wait = wait, .context = bench};
    struct lq_timing timing;
    bench->part = bytes / sizeof(float) / bench->members;
    LQ_TRY(lq_stopwatch_time(&watch, BUDGET_S, &timing, err));
    out->bytes[out->count] = (double)(bench->members * bench->part * sizeof(float));
    out->seconds[out->count++] = timing.median_s;
    return LQ_OK;
}

enum lq_code lq_collective_measure(const struct lq_node *node, struct lq_group *group,
                                   size_t members, enum lq_group_collective collective,
                                   struct lq_collective_times *out, struct lq_error *err)
{
    struct bench bench = {.functions = node->backend->group,
                          .group = group,
                          .collective = collective,
                          .members = members};
    *out = (struct lq_collective_times){.collective = lq_group_collective_name(collective),
                                        .members = members};
    int sizes = 1;
    while (sizes < LQ_COLLECTIVE_SIZES_MAX && is_affordable(node, SIZES_BYTES[sizes])) {
        sizes++;
    }
    LQ_TRY(check(bench, err));
    LQ_TRY(bench.functions->reserve(group, SIZES_BYTES[sizes - 1] / sizeof(float), err));
    for (int i = 0; i < sizes; i++) {
        LQ_TRY(time_size(&bench, SIZES_BYTES[i], out, err));
    }
    out->line = lq_line_fit(out->bytes, out->seconds, out->count);
    return LQ_OK;
}

double lq_bus_share(enum lq_collective collective, size_t members)
{
    const double others = ((double)members - 1.0) / (double)members;
    return collective == LQ_COLLECTIVE_ALL_REDUCE ? 2.0 * others : others;
}

double lq_collective_estimate_s(const struct lq_gpu *gpu, const struct lq_node *node,
                                enum lq_collective collective, size_t members, double bytes)
{
    const struct lq_network network = {.node_gpu_count = (int64_t)node->count};
    const struct lq_link link = lq_network_link(gpu, &network, (int64_t)members, 1);
    switch (collective) {
    case LQ_COLLECTIVE_ALL_REDUCE:
        return lq_all_reduce_s(&link, bytes, 1.0);
    case LQ_COLLECTIVE_ALL_GATHER:
        return lq_all_gather_s(&link, bytes, 1.0);
    case LQ_COLLECTIVE_REDUCE_SCATTER:
        return lq_reduce_scatter_s(&link, bytes, 1.0);
    case LQ_COLLECTIVE_ALL_TO_ALL:
        return lq_all_to_all_s(&link, bytes, 1.0);
    case LQ_COLLECTIVE_RING_SHIFT:
    case LQ_COLLECTIVE_HOST_COPY:
        break;
    }
    return HUGE_VAL;
}

/* The rate that the estimator makes of a figure is a share of it, as long as it goes by the same
 * kind of link: a first guess tells the share. */
double lq_interconnect_of(const struct lq_gpu *gpu, size_t members, double bus_bytes_per_s)
{
    struct lq_gpu guess = *gpu;
    guess.interconnect_bytes_per_s = 2.0 * bus_bytes_per_s;
    const double taken = lq_network_intra_bytes_per_s(&guess, members == 2);
    if (!(taken > 0.0)) {
        return 0.0;
    }
    guess.interconnect_bytes_per_s *= bus_bytes_per_s / taken;
    const double again = lq_network_intra_bytes_per_s(&guess, members == 2);
    return fabs(again - bus_bytes_per_s) <= 1e-6 * bus_bytes_per_s ? guess.interconnect_bytes_per_s
                                                                   : 0.0;
}

enum lq_code lq_interconnect_measure(const struct lq_rig *rig, const char *library,
                                     double *bytes_per_s, struct lq_error *err)
{
    struct lq_node node;
    struct lq_group *group = NULL;
    struct lq_collective_times times;
    struct lq_error none = {0};
    *bytes_per_s = 0.0;
    if (lq_node_find(rig, &node, &none) != LQ_OK) {
        return LQ_OK;
    }
    const struct lq_group_functions *functions = node.backend->group;
    LQ_TRY(functions->open(library, node.devices, node.count, &group, err));
    const enum lq_code code =
        lq_collective_measure(&node, group, node.count, LQ_GROUP_ALL_REDUCE, &times, err);
    functions->close(group);
    LQ_TRY(code);
    const double share = lq_bus_share(times.collective, node.count);
    *bytes_per_s =
        lq_interconnect_of(&(struct lq_gpu){.id = ""}, node.count, share * times.line.bytes_per_s);
    return LQ_OK;
}
