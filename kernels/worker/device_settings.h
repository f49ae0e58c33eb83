/* The options by which a command is told its device: one declaration for all of them. */
#pragma once

#include "kernels/base/settings.h"
#include "kernels/measure/rig.h"

/* Rows of a command's table; `own` is its struct, `on` the struct lq_device_choice in it. */
#define LQ_DEVICE_SETTINGS(own, on)                                                                \
    {.name = "backend",                                                                            \
     .takes = "NAME",                                                                              \
     .help = "cuda or cpu; else the first that has a device",                                      \
     .kind = LQ_SETTING_TEXT,                                                                      \
     .offset = offsetof(own, on.backend)},                                                         \
        {.name = "cuda-backend",                                                                   \
         .takes = "FILE",                                                                          \
         .help = "the module of the CUDA backend; else llmquote-cuda.so beside the program or as " \
                 "installed",                                                                      \
         .kind = LQ_SETTING_TEXT,                                                                  \
         .offset = offsetof(own, on.cuda_module)},                                                 \
    {                                                                                              \
        .name = "device", .takes = "N",                                                            \
        .help = "number of the device in its backend's list, from 0", .fallback = "0",             \
        .kind = LQ_SETTING_COUNT, .offset = offsetof(own, on.device), .min = 0,                    \
        .max = LQ_DEVICES_MAX - 1                                                                  \
    }

/* Whether there can be such a device: a backend of that name, and an id fit for a catalog (NULL:
 * none was said). Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_command_check_device(const struct lq_device_choice *choice,
                                                 const char *gpu, struct lq_error *err);

/* Finds the device and says on standard error why a better one was passed over, if one was.
 * Errors: those of lq_rig_find. */
LQ_MUST_USE enum lq_code lq_command_find_device(const struct lq_device_choice *choice,
                                                struct lq_rig *out, struct lq_error *err);
