/* What it takes to serve a model: how many requests fit beside the weights, how long an iteration
 * takes, what bounds it, and the GPU time a token costs. From counted bytes and FLOPs, in the form
 * of Yun et al. 2024 (arXiv 2404.02852), Eqs. 5 and 6. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/model.h"
#include "core/finetune/step_time.h"
#include "core/planning/serving_stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests that are alike: tokens of the prompt and of the answer, and how many there are in
 * proportion to the others. Tokens are >= 1 and need not be whole: means are fine. */
struct lq_request_kind {
    double prompt_tokens;
    double output_tokens;
    double share; /* >= 0 */
};

/* Sums over a mix without a window, so that asking for them again does not cost a pass. */
struct lq_traffic_sums {
    double share; /* 0: not summed yet */
    double prompt_tokens;
    double output_tokens;
    double held; /* token-iterations in the cache */
    double keys; /* keys that the prompts' tokens attend to */
    double longest;
};

/* The mix of requests. Borrowed; at least one kind has a share. */
struct lq_traffic {
    const struct lq_request_kind *kinds;
    size_t count;
    struct lq_traffic_sums sums; /* lq_traffic_sum fills it; zero otherwise */
};

/* What the KV cache is stored in. */
enum lq_kv_precision { LQ_KV_BF16, LQ_KV_FP16, LQ_KV_FP32, LQ_KV_FP8, LQ_KV_INT8 };
extern const char *const LQ_KV_PRECISION_NAMES[];
double lq_kv_precision_bytes(enum lq_kv_precision precision);

/* How weights and cache are stored. Quantised are the matrices of the layers; embedding, head and
 * norms keep the precision, and so do sums: a quantised weight is multiplied in 16 (or 32) bit. */
struct lq_serving_format {
    enum lq_precision precision; /* fp8: one byte per weight, matmuls at the fp8 rate */
    enum lq_quantization quantization;
    enum lq_kv_precision kv_precision;
};

/* Bytes of one weight of a layer's matrices, scales included. */
double lq_serving_weight_bytes(const struct lq_serving_format *format,
                               const struct lq_serving_stack *stack);
/* What the matrices are multiplied in: the precision, but 16 bit where fp8 is asked beside a
 * quantisation. */
enum lq_precision lq_serving_rate(const struct lq_serving_format *format);

/* The cache of layers that are alike. Bytes are of all these layers together. */
struct lq_serving_cache {
    double token_bytes;    /* per token held; 0 for Mamba */
    double state_bytes;    /* per request, whatever its length */
    double shards;         /* devices it can be split among; more hold copies */
    double mean_tokens;    /* held by a running request, on average over its life */
    double longest_tokens; /* held by the longest request at its end */
};

/* The routed experts of layers that are alike. */
struct lq_serving_experts {
    double layers;
    double experts; /* per layer, >= 1 */
    double active;  /* per token, 1..experts */
    double bytes;   /* of one expert in each of these layers together */
};

/* What serving moves and computes, before it is divided among devices. */
struct lq_serving_load {
    double stored_bytes; /* all weights */
    double matrix_bytes; /* weights read in every pass, in the storage of the matrices */
    double plain_bytes;  /* the same at full precision: head, norms */
    struct lq_serving_experts experts[LQ_LAYER_KINDS_MAX];
    size_t expert_kinds;
    struct lq_serving_cache cache[LQ_LAYER_KINDS_MAX];
    size_t cache_kinds;
    double prompt_flop;   /* per prompt token, its attention included */
    double answer_flop;   /* per generated token, its attention and the head included */
    double head_flop;     /* once per prompt */
    double prompt_tokens; /* mean of a request */
    double output_tokens; /* mean of a request */
    double layers;
    double hidden_bytes; /* of one token between two layers */
    enum lq_weight_class weight_class;
    enum lq_precision rate; /* of the matmuls */
    bool fractional; /* requests need not be whole: a hypothetical model, smooth in its size */
};

/* The load of a concrete model. Never fails: the model was checked, the traffic has a share.
 * K and V of every attention layer for MHA and GQA; the latent and the rotary key for MLA
 * (arXiv 2405.04434 section 2.1.2); no more tokens than the window where a layer has one; the
 * convolution's inputs and the state, 16 bit, per request for Mamba. A running request is met in
 * proportion to the length of its answer, so long answers weigh more in the mean. */
void lq_serving_count(const struct lq_model *model, const struct lq_serving_format *format,
                      const struct lq_serving_stack *stack, const struct lq_traffic *traffic,
                      struct lq_serving_load *out);

/* Where it runs and how many requests are let in. Pointers are borrowed. */
struct lq_serving_setup {
    const struct lq_gpu *gpu;
    const struct lq_serving_stack *stack;
    int64_t max_concurrent_requests; /* >= 1 */
    bool expert_parallel;            /* whole experts per device, tokens sent to them */
};

/* Bytes are per device: the fullest one. Times are of one iteration of all running requests. */
struct lq_serving {
    int64_t gpu_count;
    double concurrent_requests;
    bool memory_limits;  /* memory, not the setup, limits the concurrent requests */
    double tokens_per_s; /* generated, of all devices: b / iteration (Eq. 6) */
    double gpu_s_per_token;
    double iteration_s;      /* each running request generates one token */
    double decode_s;         /* the part that generates */
    double prompt_s;         /* the part that takes in new requests' prompts, on average */
    double prompt_latency_s; /* one mean prompt alone, start to first token */
    double bound_s[4];       /* of the iteration, by enum lq_bound */
    enum lq_bound bound;     /* the largest of them */
    double weights_bytes;
    double request_bytes; /* cache of a mean running request */
    double cache_bytes;   /* of all of them */
    double usable_bytes;
    double link_bytes_per_s; /* one direction; 0: one device, or the stack does not communicate */
    bool rate_is_fallback;   /* the catalog lacks the matrix rate of the precision */
    bool link_is_pcie;       /* the catalog has no interconnect: that of the PCIe generation */
};

/* Serves on `gpu_count` >= 1 devices.
 * Memory: weights, b mean requests and the rest of one longest request fit the usable share of
 * every device. Time of a pass: the larger of bytes over bandwidth and FLOPs over peak, with the
 * stack's efficiencies; plus fixed times; plus, in each layer, two ring all-reduces of the tokens'
 * hidden vectors (arXiv 1909.08053; with expert_parallel one of them becomes a dispatch and a
 * combination). A batch of t tokens reads E (1 - (1 - K/E)^t) of a layer's E experts: independent,
 * even choices. An iteration is one decoding pass of b tokens and b/n prompts, n the mean answer.
 * Errors: LQ_ENOFIT (detail has the missing bytes), LQ_ENUMBER. Allocates nothing. */
LQ_MUST_USE enum lq_code lq_serving_at(const struct lq_serving_load *load,
                                       const struct lq_serving_setup *setup, int64_t gpu_count,
                                       struct lq_serving *out, struct lq_error *err);

/* The number of devices among 1, 2, 4, ... up to `max_gpu_count` whose token costs the least GPU
 * time (Eq. 5 at an even price per GPU). Errors: LQ_ENOFIT (detail has the bytes missing on the
 * most devices and how many would do). Under 2 microseconds for up to 8 devices and one kind of
 * layer. */
LQ_MUST_USE enum lq_code lq_serving_best(const struct lq_serving_load *load,
                                         const struct lq_serving_setup *setup,
                                         int64_t max_gpu_count, struct lq_serving *out,
                                         struct lq_error *err);

/* The fewest devices among 1, 2, 4, ... up to 1024 that hold the model and one request; 0: none. */
int64_t lq_serving_fewest(const struct lq_serving_load *load, const struct lq_serving_setup *setup);

/* Spread of ln(predicted / true) of the token rate at this many concurrent requests. */
double lq_serving_log_sd(const struct lq_serving_stack *stack, double concurrent_requests);
