/* A measured point: what was run, under which conditions, and what was seen. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/layout.h"
#include "core/arch/lengths.h"
#include "core/arch/method.h"

#include <stdbool.h>
#include <stdint.h>

/* What identifies a measurement; an estimate rests on points whose identity equals its own, and is
 * `transferred` where any part differs. Ids are in the catalog's own spelling. */
struct lq_identity {
    char model[LQ_ID_MAX];
    char gpu[LQ_ID_MAX];
    char stack[LQ_ID_MAX];
    int64_t gpu_count;
    struct lq_method method;
    enum lq_precision precision;
    enum lq_optimizer optimizer;
    enum lq_checkpointing checkpointing;
    enum lq_attention attention;
    bool master_weights;
    uint32_t options;        /* bit mask of lq_option */
    struct lq_layout layout; /* of gpu_count devices */
};

/* A total order of identities: by model, GPU, stack, then the rest. Negative, zero or positive. */
int lq_identity_compare(const struct lq_identity *a, const struct lq_identity *b);
bool lq_identity_equal(const struct lq_identity *a, const struct lq_identity *b);

/* What of a run's data decides its step time: rows and their padded lengths. */
struct lq_conditions {
    int64_t active_experts; /* 0 for dense models */
    int64_t batch_size;     /* rows per device */
    int64_t accumulation_steps;
    int64_t sequence_tokens;     /* every row padded to this; 0 = `lengths` tells */
    char lengths[LQ_ID_MAX];     /* id of a named distribution, or "" */
    struct lq_padding_rule rule; /* with `lengths` */
    double row_tokens;           /* mean padded tokens of a row at this batch size */
    double queries_per_row;      /* > 1 only where rows are packed */
};

/* Names the data of a run: its distribution, "fixed-512" for rows of one length, "" where it was
 * given inline. */
void lq_conditions_data(const struct lq_conditions *conditions, char name[LQ_ID_MAX]);

struct lq_point {
    char id[LQ_ID_MAX];
    struct lq_identity identity;
    struct lq_conditions conditions;
    double queries_per_s; /* of the whole job, all devices; 0 = only memory was measured */
    double
        step_time_s; /* of one micro-batch: batch * queries_per_row * data ranks / queries_per_s */
    double peak_memory_bytes; /* of the fullest device; 0 = not measured */
    bool out_of_memory;       /* it was tried and did not fit; then nothing else was measured */
    double longest_tokens;    /* the longest row that occurred: where the peak is; 0 = row_tokens */
    char source[LQ_ID_MAX];   /* xia2024, a worker's name, a paper */
    char dataset[LQ_ID_MAX];  /* the stored set it belongs to in /v1/validation; "" = none */
    bool shipped;             /* part of the seed: read-only */
    bool implausible;         /* cannot be of this device and job */
    bool outlier;             /* far off the fit of all others */
    bool excluded;            /* its token's or source's points are not trusted */
    char token_id[LQ_ID_MAX]; /* of the token it was posted with; "" = not known */
    char confirmed_at[32]; /* when an operator said that it is right however it looks; "" = not */
    char measured_at[32];  /* RFC 3339 UTC, else when it was stored; "" = not known */
};

/* Whether estimates and fits may rest on a point. */
bool lq_point_counts(const struct lq_point *point);

/* The largest batch somebody found to fit (or claimed to): evidence for the memory model. */
struct lq_capacity {
    struct lq_identity identity;
    int64_t active_experts;
    int64_t longest_tokens; /* longest row that occurs after cut-off and padding */
    int64_t max_batch_size;
    double capacity_bytes;   /* of the device; 0 = that of identity.gpu, which is "" otherwise */
    char lengths[LQ_ID_MAX]; /* named distribution, or "" for fixed lengths */
    bool measured;           /* false: printed, projected or uncertain */
    char source[LQ_ID_MAX];
};
