/* Collectives between the devices of this node: checked, timed at sizes from small to large, and
 * held against what the estimator takes for them. */
#pragma once

#include "core/arch/gpu.h"
#include "core/finetune/communication.h"
#include "kernels/group.h"
#include "kernels/measure/line.h"
#include "kernels/measure/rig.h"

#include <stddef.h>

/* The devices of one kind in this machine. */
struct lq_node {
    const struct lq_backend *backend;
    size_t devices[LQ_GROUP_DEVICES_MAX]; /* numbers in the backend's list */
    size_t count;
    size_t others; /* devices of other kinds: they set the pace of a group they are in */
    double memory_bytes;
};

enum { LQ_COLLECTIVE_SIZES_MAX = 6 };

/* Medians of one collective over `members` devices. Bytes are those of core/finetune/network.h:
 * all-reduce: of every member's buffer; all-gather and reduce-scatter: of the whole buffer;
 * all-to-all: of what one member sends, its own part included. */
struct lq_collective_times {
    enum lq_collective collective;
    size_t members;
    int count;
    double bytes[LQ_COLLECTIVE_SIZES_MAX];
    double seconds[LQ_COLLECTIVE_SIZES_MAX];
    struct lq_line line;
};

/* Finds the devices that have the rig's name. Errors: LQ_EDEVICE: why nothing can be measured
 * between them (one device, a backend without groups), in one sentence. */
LQ_MUST_USE enum lq_code lq_node_find(const struct lq_rig *rig, struct lq_node *out,
                                      struct lq_error *err);
/* The size of group after `members`: 2, 4, 8, ..., all devices; 0 after that. Begins with 0. */
size_t lq_node_next(const struct lq_node *node, size_t members);

/* The estimator's name for a collective. */
enum lq_collective lq_group_collective_name(enum lq_group_collective collective);

/* Runs the collective on numbers whose outcome is known, then times it; buffers take an eighth of
 * each device's memory at most. One thread starts it on all devices, one after the other: at small
 * sizes that is in the time. group: open on the node's first `members` devices.
 * Errors: LQ_EDEVICE, also where an outcome is wrong; LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_collective_measure(const struct lq_node *node, struct lq_group *group,
                                               size_t members, enum lq_group_collective collective,
                                               struct lq_collective_times *out,
                                               struct lq_error *err);

/* What a device sends and receives for each byte: 2 (n - 1) / n for all-reduce, (n - 1) / n for the
 * others, as in core/finetune/network.c and in nccl-tests (doc/PERFORMANCE.md). A bandwidth times
 * this is the bus bandwidth, which all sizes of group and collectives may share. */
double lq_bus_share(enum lq_collective collective, size_t members);

/* Seconds that the estimator takes for one call of it between devices of such a node; infinite
 * where the catalog does not know how they are linked. */
double lq_collective_estimate_s(const struct lq_gpu *gpu, const struct lq_node *node,
                                enum lq_collective collective, size_t members, double bytes);

/* The interconnect_bytes_per_s that a catalog's entry must have, all else as it is, for the
 * estimator to take `bus_bytes_per_s` between `members` devices; 0 where none does. */
double lq_interconnect_of(const struct lq_gpu *gpu, size_t members, double bus_bytes_per_s);

/* The same for an entry that says nothing but this, by an all-reduce over all devices like the
 * rig's; 0 where there is one, or its backend has no groups. Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_interconnect_measure(const struct lq_rig *rig, const char *library,
                                                 double *bytes_per_s, struct lq_error *err);
