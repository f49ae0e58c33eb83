/* One measured point as the text that POST /v1/calibrations takes. What a measurement may say
 * stands here in full; where the values come from does not. */
#pragma once

#include "core/arch/layout.h"
#include "core/arch/method.h"
#include "core/base/error.h"
#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LQ_POINT_ID_MAX = 64, LQ_POINT_NOTE_MAX = 512, LQ_UNSAID = -1 };

/* Time of one kind of kernel within a step. */
struct lq_kernel_time {
    const char *name;
    double time_s;
};

/* A point. Left out where a text is "", a pointer NULL, a number 0; names (indices into the lists
 * of core/arch/method.h) and answers to yes or no are left out where LQ_UNSAID. Pointers are
 * borrowed. Start from lq_measured_point_new(). */
struct lq_measured_point {
    char model[LQ_POINT_ID_MAX];
    char gpu[LQ_POINT_ID_MAX];
    int64_t gpu_count;
    char stack[LQ_POINT_ID_MAX];

    int method; /* enum lq_method_kind; the next four only with adapters */
    int64_t rank;
    uint32_t targets; /* bit mask of lq_target */
    int quantization;
    int train_embeddings; /* 0, 1 */

    int precision;
    int optimizer;
    int attention;
    int master_weights; /* 0, 1 */
    int checkpointing;
    bool has_optimizations; /* whether the next member says anything */
    uint32_t optimizations; /* bit mask of lq_option */
    bool has_layout;
    struct lq_layout layout; /* sizes of 0 are left out; zero_stage is not */
    int64_t accumulation_steps;
    int64_t active_experts;

    int64_t batch_size;            /* rows per device and micro-batch */
    int64_t sequence_tokens;       /* every row padded to it; else: */
    char lengths[LQ_POINT_ID_MAX]; /* name of a data set's lengths */
    int padding;                   /* enum lq_padding */
    int64_t padding_multiple;
    int64_t cutoff_tokens;

    double queries_per_s; /* of the whole job; this, */
    double step_time_s;   /* of one micro-batch, or */
    bool out_of_memory;   /* it did not fit: exactly one of the three */
    double peak_memory_bytes;

    bool has_phases; /* whether the next three were measured */
    double forward_s;
    double backward_s;
    double optimizer_s;
    const struct lq_kernel_time *kernels;
    size_t kernel_count;
    const double *expert_load; /* tokens of each expert */
    size_t expert_count;

    const struct lq_device_info *device;
    const struct lq_device_state *device_state; /* said only beside a device */

    char measured_at[32]; /* RFC 3339 in UTC */
    char source[LQ_POINT_ID_MAX];
    char dataset[LQ_POINT_ID_MAX];
    char note[LQ_POINT_NOTE_MAX];
};

/* A point that says nothing yet. */
struct lq_measured_point lq_measured_point_new(void);

/* Writes a point as one line of JSON; free `*text` with free().
 * Errors: LQ_EFIELD with a pointer below "" where a required member is not said, an id has other
 * characters than letters, digits, '.', '_' and '-', a number is not finite or outside what the
 * server takes, or not exactly one length and one rate are said; LQ_EINTERNAL without memory. */
LQ_MUST_USE enum lq_code lq_point_write(const struct lq_measured_point *point, char **text,
                                        struct lq_error *err);
