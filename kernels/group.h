/* What several devices of one backend can do together: collectives between buffers of fp32 numbers
 * that the group keeps on each of them. What one device can do is in backend.h. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

/* 16: devices of the largest node there is (DGX-2, 2018). */
enum { LQ_GROUP_DEVICES_MAX = 16 };

/* Open devices that exchange data: private to their backend. */
struct lq_group;

/* What a collective does to the inputs and outputs of n devices. A whole is n parts. */
enum lq_group_collective {
    LQ_GROUP_ALL_REDUCE,     /* whole to whole: everyone gets the sum of all inputs */
    LQ_GROUP_ALL_GATHER,     /* part to whole: everyone gets all inputs, device 0's first */
    LQ_GROUP_REDUCE_SCATTER, /* whole to part: device i gets the i-th part of the sum */
    LQ_GROUP_ALL_TO_ALL,     /* whole to whole: device i's j-th part is j's i-th afterwards */
    LQ_GROUP_COLLECTIVE_COUNT
};

/* The functions of a backend that has groups. Those that can fail do so through `err`: LQ_EDEVICE,
 * LQ_ENOFIT. After a failure a group can do nothing but close. One thread at a time uses it. */
struct lq_group_functions {
    /* Opens a group of different devices of the backend's list, 1 to LQ_GROUP_DEVICES_MAX of them,
     * for whatever `lq_backend.open` opened beside. library: the file of the library that moves the
     * data; NULL: by its name, where the system finds it. close(NULL) is allowed. */
    enum lq_code (*open)(const char *library, const size_t *devices, size_t count,
                         struct lq_group **group, struct lq_error *err);
    void (*close)(struct lq_group *group);
    /* What moves the data, for humans: "NCCL 2.28.9". Lives as long as the group. */
    const char *(*version)(const struct lq_group *group);
    /* Gives each device an input and an output of `numbers` fp32 numbers in place of those it had:
     * the inputs are 0, what the outputs hold is undefined. */
    enum lq_code (*reserve)(struct lq_group *group, size_t numbers, struct lq_error *err);
    /* The first `numbers` of a member's input from the host, and of its output to it. Members are
     * counted as the devices were given. Nothing may be going on. */
    enum lq_code (*write)(struct lq_group *group, size_t member, const float *from, size_t numbers,
                          struct lq_error *err);
    enum lq_code (*read)(struct lq_group *group, size_t member, float *to, size_t numbers,
                         struct lq_error *err);
    /* Starts a collective from the inputs to the outputs, `part` numbers each, whose whole has room
     * in what was reserved; it may go on after the call, and others may be started behind it. */
    enum lq_code (*start)(struct lq_group *group, enum lq_group_collective collective, size_t part,
                          struct lq_error *err);
    /* Waits for all that was started, up to `limit_s` seconds; longer is a failure. */
    enum lq_code (*wait)(struct lq_group *group, double limit_s, struct lq_error *err);
};
