/* What a serving stack makes of a device: efficiencies, fixed times and the memory it may use.
 * Every constant stands in one table with its source; nothing here depends on a model. */
#pragma once

#include "core/arch/method.h"

#include <stdbool.h>
#include <stddef.h>

/* How wide the weights are that a matmul streams; kernels for narrow ones reach less of the
 * bandwidth, because they unpack on the way. */
enum lq_weight_class { LQ_WEIGHTS_16BIT, LQ_WEIGHTS_8BIT, LQ_WEIGHTS_4BIT, LQ_WEIGHT_CLASS_COUNT };

/* A serving stack. Times in s, shares of the catalog's peaks. */
struct lq_serving_stack {
    const char *id;
    const char *description;
    double bandwidth_efficiency[LQ_WEIGHT_CLASS_COUNT];
    double compute_efficiency;
    double link_efficiency;    /* of one direction of the interconnect, in an all-reduce */
    double iteration_s;        /* between two passes: scheduling, sampling, detokenising */
    double layer_s;            /* between the kernels of one layer, on the device */
    double host_layer_s;       /* host time of one layer's calls, in the shadow of the device */
    double collective_s;       /* start of one collective, whatever its size */
    double usable_memory;      /* share of the device for weights and KV cache */
    double int4_bytes;         /* of one int4 weight with its scales */
    bool quantizes_head;       /* an untied head is stored like the layers' matrices */
    bool devices_take_turns;   /* each device holds whole layers, one works at a time */
    const char *fitted_models; /* its constants rest on runs of models whose ids begin so */
    double single_log_sd;      /* of ln(predicted / measured), one request at a time */
};

/* "vllm" (the default), "gpt-fast", "hf-2023", "hf-2024" and "roofline": efficiencies alone. */
extern const struct lq_serving_stack LQ_SERVING_STACKS[];
extern const size_t LQ_SERVING_STACK_COUNT;

/* The stack with that id, in letters of either case, or NULL. */
const struct lq_serving_stack *lq_serving_stack_find(const char *id);

/* Whether runs of this model had a part in the stack's constants. */
bool lq_serving_stack_fitted_to(const struct lq_serving_stack *stack, const char *model);

/* The spread for many requests at once: no stored run has more than one, so the spread is that of a
 * plain roofline against the nine cost ratios printed in arXiv 2404.02852 (rms of the logarithm
 * .46, reckoned in 2026). */
#define LQ_SERVING_BATCHED_LOG_SD 0.46

/* The class of weights stored in a quantisation, or unquantised in a precision. */
enum lq_weight_class lq_weight_class_of(enum lq_precision precision,
                                        enum lq_quantization quantization);
