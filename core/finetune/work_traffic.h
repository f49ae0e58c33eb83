/* How often element-wise operations touch memory and how many calls the host issues, per layer and
 * forward pass; backward does BACKWARD_PASSES times both where no count of its own is given. Counts
 * are of reads and writes of one element in the training precision: what eager PyTorch does, what
 * compiled kernels leave, and what the calibration worker's own layer does. */
#pragma once

#include <stdbool.h>

/* Accesses per element (read or write of 16 bit; an fp32 one counts two). Counted from the
 * operations of Transformers 4.36 (2023) and of what torch.compile fuses; the profile of Mixtral's
 * normalisations at 4,096 tokens (Xia et al. 2024, Fig. 5) gives 12. */
struct lq_accesses {
    double norm;       /* per element of a normalisation's input */
    double residual;   /* per element of the hidden state and sub-layer */
    double query_key;  /* per element of q and k: output, rotation, transposition */
    double value;      /* per element of v and of the attention's output */
    double gated;      /* per intermediate element of a gated network */
    double plain;      /* per intermediate element of one without gate */
    double permuted;   /* per hidden element and active expert: gather, weight, scatter */
    double combined;   /* per hidden element: the experts' sum, where not counted above */
    double router;     /* per logit of the router: softmax, top-k */
    double routed;     /* per hidden element of the router's input */
    double mamba;      /* per inner element of a Mamba layer */
    double scan_state; /* per token and state: the scan's own inputs */
    double scan_rank;  /* per element of the low-rank step size */
    double lora_input; /* per input element of an adapter: dropout, cast */
    double lora_output;
    double lora_rank; /* per element between an adapter's two matrices */
    double logit;     /* per logit: casts, log-softmax, loss */
    double embedded;  /* per hidden element of the embedding's output */
};

static const struct lq_accesses EAGER_ACCESSES = {.norm = 12.0,
                                                  .residual = 3.0,
                                                  .query_key = 10.0,
                                                  .value = 3.0,
                                                  .gated = 7.0,
                                                  .plain = 5.0,
                                                  .permuted = 6.0,
                                                  .router = 24.0,
                                                  .routed = 1.0,
                                                  .mamba = 14.0,
                                                  .lora_input = 3.0,
                                                  .lora_output = 2.0,
                                                  .logit = 10.0,
                                                  .embedded = 2.0};
static const struct lq_accesses FUSED_ACCESSES = {.norm = 3.0,
                                                  .residual = 1.0,
                                                  .query_key = 4.0,
                                                  .value = 3.0,
                                                  .gated = 5.0,
                                                  .plain = 3.0,
                                                  .permuted = 5.0,
                                                  .router = 6.0,
                                                  .routed = 1.0,
                                                  .mamba = 8.0,
                                                  .lora_input = 1.0,
                                                  .lora_output = 2.0,
                                                  .logit = 5.0,
                                                  .embedded = 2.0};

/* Counted from kernels/layer: each operation reads and writes its operands once
 * (kernels/backend.h). A test holds them against what the worker's layer really does. */
static const struct lq_accesses WORKER_ACCESSES = {.norm = 2.0,
                                                   .residual = 3.0,
                                                   .query_key = 3.0,
                                                   .value = 1.0,
                                                   .gated = 3.0,
                                                   .plain = 2.0,
                                                   .permuted = 3.0,
                                                   .combined = 1.0,
                                                   .router = 1.0,
                                                   .mamba = 12.0,
                                                   .scan_state = 6.0,
                                                   .scan_rank = 2.0,
                                                   .lora_input = 1.0,
                                                   .lora_output = 2.0,
                                                   .lora_rank = 2.0,
                                                   .logit = 1.0,
                                                   .embedded = 2.0};
static const struct lq_accesses WORKER_BACKWARD = {.norm = 4.0,
                                                   .query_key = 4.0,
                                                   .value = 2.0,
                                                   .gated = 5.0,
                                                   .plain = 3.0,
                                                   .permuted = 4.0,
                                                   .combined = 1.0,
                                                   .router = 2.0,
                                                   .mamba = 17.0,
                                                   .scan_state = 8.0,
                                                   .scan_rank = 2.0,
                                                   .lora_input = 3.0,
                                                   .lora_output = 2.0,
                                                   .lora_rank = 4.0,
                                                   .logit = 2.0,
                                                   .embedded = 3.0};

/* Operations the host issues per forward pass, Python and dispatch together, in units of one
 * element-wise operation (struct lq_stack's call_s). */
struct lq_calls {
    double attention; /* views, rotation, scores, output */
    double mamba;
    double norm;      /* with its residual sum */
    double mlp;       /* activation and product */
    double linear;    /* one matmul */
    double lora;      /* what an adapter adds to it */
    double quantized; /* what dequantisation adds to it */
    double expert;    /* selecting, gathering, activating, weighting, scattering of one expert */
    double router;
    double head;   /* projection, casts, loss */
    double tensor; /* one trained tensor in the optimizer */
    double shard;  /* gathering and freeing a layer's sharded weights */
    bool grouped;  /* all experts' matmuls are one */
};

/* Counted from the same sources. lora and quantized: PEFT 0.7 and bitsandbytes 0.42 (2024) take
 * about 2.3 ms for one pass of a Mixtral expert, three adapted quantised layers and a selection
 * (the part of Xia et al.'s step times that no bandwidth shortens); LitGPT's public rows 4.2 ms per
 * layer and step. */
static const struct lq_calls EAGER_CALLS = {.attention = 34.0,
                                            .mamba = 24.0,
                                            .norm = 8.0,
                                            .mlp = 3.0,
                                            .linear = 2.0,
                                            .lora = 8.0,
                                            .quantized = 3.0,
                                            .expert = 84.0,
                                            .router = 8.0,
                                            .head = 20.0,
                                            .tensor = 1.0,
                                            .shard = 60.0};
static const struct lq_calls FUSED_CALLS = {.attention = 8.0,
                                            .mamba = 8.0,
                                            .norm = 1.0,
                                            .mlp = 1.0,
                                            .linear = 1.0,
                                            .lora = 3.0,
                                            .quantized = 2.0,
                                            .expert = 20.0,
                                            .router = 3.0,
                                            .head = 6.0,
                                            .tensor = 0.3,
                                            .shard = 20.0};

/* Counted from kernels/layer: a call is one operation of the backend. */
static const struct lq_calls WORKER_CALLS = {.attention = 3.0,
                                             .mamba = 3.0,
                                             .norm = 2.0,
                                             .mlp = 1.0,
                                             .linear = 1.0,
                                             .lora = 2.0,
                                             .quantized = 1.0,
                                             .router = 5.0,
                                             .head = 3.0,
                                             .tensor = 1.0,
                                             .grouped = true};

/* 30 us: the router's kernels on the device, however few the tokens: a matmul with a column per
 * expert, softmax or sigmoid, top-k. Xia et al. 2024, Fig. 6, A40, batch 1: 29 to 37 us for both
 * models. Other kernels are larger, or their latency hides behind their calls. */
static const double ROUTER_LATENCY_S = 30e-6;

/* Work of element-wise backward kernels and of their calls over those of forward: two gradients per
 * product, one per sum. */
static const double BACKWARD_PASSES = 2.0;
static const double BACKWARD_CALLS = 1.25;
