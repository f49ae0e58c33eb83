/* What a device can do, as a table of functions: memory and every operation of a decoder layer's
 * training step. Matrices are row-major and dense; pointers are to device memory unless said. */
#pragma once

#include "core/base/error.h"
#include "kernels/arithmetic.h"
#include "kernels/group.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LQ_DEVICE_NAME_MAX = 96, LQ_DEVICE_TEXT_MAX = 48 };

/* A device as it presents itself. 0 and "" where it does not say. */
struct lq_device_info {
    char name[LQ_DEVICE_NAME_MAX];         /* "NVIDIA A40", "Intel(R) Xeon(R) Processor" */
    char vendor[LQ_DEVICE_TEXT_MAX];       /* "NVIDIA", "Intel" */
    char architecture[LQ_DEVICE_TEXT_MAX]; /* "Ampere", "x86_64" */
    char capability[LQ_DEVICE_TEXT_MAX];   /* compute capability; best vector instructions */
    char driver[LQ_DEVICE_TEXT_MAX];       /* version of what stands between us and it */
    double memory_bytes;                   /* as reported */
    double cache_bytes;                    /* last level */
    double clock_hz;                       /* the highest it may run at */
    int64_t units;                         /* multiprocessors; cores used */
    unsigned elements;                     /* bit mask of lq_element it computes with */
    unsigned arithmetics;                  /* of lq_arithmetic it multiplies with */
};

/* What may explain a measurement. Negative where it cannot be read. */
struct lq_device_state {
    double clock_hz;
    double temperature_c;
    double load; /* runnable tasks per core on a CPU, utilisation of others on a GPU */
    double free_bytes;
    int throttled; /* 1: below its clock because of power or heat; 0: not */
};

/* Work done since the last reading, by the rules at each operation. E is the element's size. */
struct lq_tally {
    double flop;
    double weight_bytes;  /* weights and their gradients, by the matmuls that use them */
    double stream_bytes;  /* dequantisation, optimizer, zeroed tables: whatever the tokens */
    double traffic_bytes; /* activations read or written by everything but matmuls */
    double calls;         /* operations issued */
};

/* An open device: private to its backend. */
struct lq_device;

enum lq_pass { LQ_PASS_FORWARD, LQ_PASS_BACKWARD };

/* y = scale * x w^T and its two gradients. Rows of x and y are tokens; with `groups` > 1 rows
 * offsets[g] <= row < offsets[g + 1] use w[g] (offsets[0] = 0, offsets[groups] = tokens).
 * accumulate adds to what is written. Tally: 2 tokens outputs inputs FLOPs; unless `adapter`
 * outputs inputs E weight bytes for each group with rows; with it traffic of tokens (inputs +
 * outputs) E, what accumulates (y of FORWARD, x of INPUT) twice. FP8 adds its cast: 2 E + 1 stream
 * bytes for each element of x and w. */
enum lq_linear_pass {
    LQ_LINEAR_FORWARD, /* writes y [tokens, outputs] */
    LQ_LINEAR_INPUT,   /* writes x [tokens, inputs] = scale * y w: y holds its gradient */
    LQ_LINEAR_WEIGHT   /* writes w [groups, outputs, inputs] = scale * y^T x; 0 for empty groups */
};
struct lq_op_linear {
    enum lq_linear_pass pass;
    int64_t tokens;
    int64_t outputs;
    int64_t inputs;
    int64_t groups;         /* >= 1 */
    const int32_t *offsets; /* [groups + 1]; NULL with one group */
    void *x;
    void *w;
    void *y;
    double scale;
    bool accumulate;
    bool adapter; /* one of a LoRA pair: its weights are small, its activations are not */
    enum lq_arithmetic arithmetic;
};

/* out = a + b, n elements; out may be a or b. Tally: 3 n E traffic. */
struct lq_op_add {
    int64_t n;
    const void *a;
    const void *b;
    void *out;
};

/* RMSNorm (arXiv 1910.07467): y = x / sqrt(mean(x^2) + epsilon) * weight, per row of `width`.
 * Backward adds to d_x and, unless NULL, adds to d_weight [width]. Statistics are computed again.
 * Tally: forward 2, backward 4 accesses of tokens width elements. */
struct lq_op_norm {
    int64_t tokens;
    int64_t width;
    double epsilon;
    const void *x;
    const void *weight; /* [width] */
    void *y;
    const void *d_y;
    void *d_x;
    void *d_weight;
};

/* Rotary positions (arXiv 2104.09864), in place: pairs (i, i + head_size / 2) of every head are
 * rotated by position / base^(2 i / head_size); backward rotates the other way. A row's first token
 * is at position 0. Tally: 2 accesses of rows tokens heads head_size elements, either pass. */
struct lq_op_rotation {
    int64_t rows;
    int64_t tokens; /* per row */
    int64_t heads;
    int64_t head_size; /* even */
    int64_t stride; /* elements from one head to the next, >= head_size (part of a head rotates) */
    double base;
    void *x; /* [rows, tokens, heads, stride] */
};

/* Causal attention with grouped queries, softmax(scale q k^T) v, without storing scores
 * (arXiv 2205.14135). Query head h uses key head h / (heads / kv_heads); a query sees at most
 * `window` tokens, itself included (0: all before it). Backward writes d_q, d_k, d_v.
 * Tally: FLOPs of forward 2 (head_size + value_size), of backward
 * 2 (3 head_size + 2 value_size) per query head and visible pair; traffic of forward q, k, v, out
 * once; of backward q, k, v, out, d_out, d_q, d_k, d_v once. */
struct lq_op_attention {
    int64_t rows;
    int64_t tokens;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_size;
    int64_t value_size;
    int64_t window;
    double scale;
    const void *q;  /* [rows, tokens, heads, head_size] */
    const void *k;  /* [rows, tokens, kv_heads, head_size] */
    const void *v;  /* [rows, tokens, kv_heads, value_size] */
    void *out;      /* [rows, tokens, heads, value_size] */
    float *log_sum; /* [rows, heads, tokens]: of the exponentials; forward to backward */
    const void *d_out;
    void *d_q;
    void *d_k;
    void *d_v;
};

/* Copies blocks [tokens, heads, width] between layouts; a head stride of 0 repeats the source's
 * head, or with `accumulate` sums over heads. For splitting and joining heads (MLA).
 * Tally: traffic of each element read and written (twice with accumulate). */
struct lq_op_blocks {
    int64_t tokens;
    int64_t heads;
    int64_t width;
    const void *source;
    int64_t source_stride; /* elements from token to token */
    int64_t source_head_stride;
    void *target;
    int64_t target_stride;
    int64_t target_head_stride;
    bool accumulate;
};

/* The `active` experts with the largest logits, ties to the lower index, in falling order; their
 * weights are a softmax over the selected (`normalized`, as Mixtral) or their part of a softmax
 * over all experts (as Switch). Backward writes d_logits. 1 <= active <= experts <= 1024.
 * Tally: traffic of forward 1, of backward 2 accesses of tokens experts elements. */
struct lq_op_router {
    int64_t tokens;
    int64_t experts;
    int64_t active;
    bool normalized;
    const void *logits; /* [tokens, experts] */
    float *weights;     /* [tokens, active] */
    int32_t *index;     /* [tokens, active] */
    const float *d_weights;
    void *d_logits;
};

/* Tokens to experts and back. sort: counts and ranks so that slots of one expert are adjacent and
 * in token order. gather: sorted[slot] = x[token], backward d_x[token] = sum of its d_sorted.
 * combine: y[token] = sum of weight * sorted[slot], backward d_sorted and d_weights.
 * Tally: sort none; gather forward 2 tokens active hidden E, backward
 * tokens (active + 1) hidden E; combine forward tokens (active + 1) hidden E, backward
 * 3 tokens active hidden E. */
struct lq_op_permutation {
    int64_t tokens;
    int64_t hidden;
    int64_t experts;
    int64_t active;
    const int32_t *index; /* [tokens, active] */
    int32_t *offsets;     /* [experts + 1], written by sort */
    int32_t *slots;       /* [tokens, active]: row of `sorted`, written by sort */
    const void *x;        /* [tokens, hidden] */
    void *sorted;         /* [tokens * active, hidden] */
    const float *weights; /* [tokens, active] */
    void *y;              /* [tokens, hidden] */
    const void *d_y;
    void *d_sorted;
    float *d_weights;
    void *d_x;
};

/* SWIGLU: out = silu(gate) * up. GELU: out = gelu(gate), the tanh form (arXiv 1606.08415).
 * Tally: traffic of forward 3 and 2, of backward 5 and 3 accesses of n elements. */
enum lq_activation { LQ_ACTIVATION_SWIGLU, LQ_ACTIVATION_GELU };
struct lq_op_activation {
    enum lq_activation kind;
    int64_t n;
    const void *gate;
    const void *up;
    void *out;
    const void *d_out;
    void *d_gate;
    void *d_up;
};

/* Depthwise causal convolution over tokens, then SiLU. weight [channels, width], bias [channels].
 * Backward writes d_x and adds to d_weight, d_bias unless NULL.
 * Tally: 2 width FLOPs per token and channel in forward, twice that in backward; traffic 2 and 3
 * accesses. */
struct lq_op_convolution {
    int64_t rows;
    int64_t tokens;
    int64_t channels;
    int64_t width; /* 1..16 */
    const void *x; /* [rows, tokens, channels] */
    const void *weight;
    const void *bias;
    void *out;
    const void *d_out;
    void *d_x;
    void *d_weight;
    void *d_bias;
};

/* The selective scan (arXiv 2312.00752, equation 2 and section 3.3): dt = softplus(step + bias),
 * h[t] = exp(dt a) h[t-1] + dt b[t] x[t], out[t] = c[t] . h[t] + d x[t], a = -exp(a_log).
 * Backward writes d_x, d_step, d_b, d_c and adds to d_a_log, d_skip, d_bias unless NULL; it runs
 * the states again. Tally: 9 states FLOPs per token and channel in forward, twice in backward;
 * traffic of forward 3 rows tokens channels + 2 rows tokens states, of backward 5 and 4. */
struct lq_op_scan {
    int64_t rows;
    int64_t tokens;
    int64_t channels;
    int64_t states;    /* 1..256 */
    const void *x;     /* [rows, tokens, channels] */
    const void *step;  /* [rows, tokens, channels] */
    const void *bias;  /* [channels] */
    const void *a_log; /* [channels, states] */
    const void *b;     /* [rows, tokens, states] */
    const void *c;     /* [rows, tokens, states] */
    const void *skip;  /* [channels]: d above */
    void *out;
    const void *d_out;
    void *d_x;
    void *d_step;
    void *d_b;
    void *d_c;
    void *d_a_log;
    void *d_skip;
    void *d_bias;
};

/* nf4 with double-quantised scales (QLoRA, arXiv 2305.14314 section 3): weight i has the 4-bit code
 * in byte i / 2, the even one in its high half; block i / 64 has the scale
 * code8[absmax[i / 64]] * absmax_scale[i / 64 / 256] + offset. nf4 alone: absmax NULL and
 * `scales` [n / 64] given. Sizes are rounded up. The tables are LQ_NF4 and lq_code8.
 * Tally: stream of n / 2 + n / 64 + 4 n / 16384 (nf4 alone n / 2 + 4 n / 64) read, n E written. */
struct lq_op_dequantization {
    int64_t n;
    const uint8_t *packed;
    const uint8_t *absmax;
    const float *absmax_scale;
    const float *scales;
    float offset;
    void *out;
};

/* One step of AdamW (arXiv 1711.05101), decoupled decay, bias-corrected; states are of the
 * parameters' type. step >= 1. Tally: stream of 7 n E. */
struct lq_op_adamw {
    int64_t n;
    int64_t step;
    double rate;
    double beta1;
    double beta2;
    double epsilon;
    double decay;
    void *parameter;
    const void *gradient;
    void *first;
    void *second;
};

/* Cross-entropy of tokens' logits against `targets` (negative: ignored, loss 0). Backward writes
 * d_logits = scale * (softmax - one-hot); it may be logits itself.
 * Tally: traffic of forward 1, of backward 2 accesses of tokens vocabulary elements. */
struct lq_op_loss {
    int64_t tokens;
    int64_t vocabulary;
    double scale;
    const void *logits;
    const int32_t *targets;
    float *losses; /* [tokens] */
    void *d_logits;
};

/* Rows of a table [vocabulary, hidden]; backward adds to d_table in token order.
 * Tally: traffic of forward 2, of backward 3 accesses of tokens hidden elements. */
struct lq_op_lookup {
    int64_t tokens;
    int64_t vocabulary;
    int64_t hidden;
    const int32_t *ids;
    const void *table;
    void *out;
    const void *d_out;
    void *d_table;
};

/* Everything a backend is. Functions that can fail do so through `err` (LQ_EDEVICE, LQ_ENOFIT) and
 * leave the device usable. Operations may run after their call has returned; `synchronize` waits.
 * One thread at a time may use a device. */
struct lq_backend {
    const char *name;             /* "cpu", "cuda" */
    const char *(*version)(void); /* of its libraries, for humans: static text */

    /* Lists up to `max` devices. None and why not: LQ_EDEVICE. */
    enum lq_code (*list)(struct lq_device_info *devices, size_t max, size_t *count,
                         struct lq_error *err);
    /* Opens a device of the list for computing with `element`; close(NULL) is allowed. */
    enum lq_code (*open)(size_t index, enum lq_element element, struct lq_device **device,
                         struct lq_error *err);
    void (*close)(struct lq_device *device);
    void (*state)(struct lq_device *device, struct lq_device_state *out);

    /* Device memory, at least 64-byte aligned, contents undefined. Free takes NULL. */
    enum lq_code (*allocate)(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err);
    void (*release)(struct lq_device *device, void *memory);
    /* Bytes allocated now, and the most since the last call with `restart`. */
    void (*usage)(struct lq_device *device, bool restart, size_t *now, size_t *peak);
    enum lq_code (*to_device)(struct lq_device *device, void *to, const void *from, size_t bytes,
                              struct lq_error *err);
    enum lq_code (*to_host)(struct lq_device *device, void *to, const void *from, size_t bytes,
                            struct lq_error *err);
    enum lq_code (*copy)(struct lq_device *device, void *to, const void *from, size_t bytes,
                         struct lq_error *err);
    enum lq_code (*zero)(struct lq_device *device, void *memory, size_t bytes,
                         struct lq_error *err);
    /* n elements of a normal distribution with standard deviation `scale`, by seed. */
    enum lq_code (*randomize)(struct lq_device *device, void *memory, int64_t n, uint64_t seed,
                              double scale, struct lq_error *err);
    enum lq_code (*synchronize)(struct lq_device *device, struct lq_error *err);
    /* Returns what was counted since the last call. */
    struct lq_tally (*tally)(struct lq_device *device);

    enum lq_code (*linear)(struct lq_device *, const struct lq_op_linear *, struct lq_error *);
    enum lq_code (*add)(struct lq_device *, const struct lq_op_add *, struct lq_error *);
    enum lq_code (*blocks)(struct lq_device *, const struct lq_op_blocks *, struct lq_error *);
    enum lq_code (*sort)(struct lq_device *, const struct lq_op_permutation *, struct lq_error *);
    enum lq_code (*dequantize)(struct lq_device *, const struct lq_op_dequantization *,
                               struct lq_error *);
    enum lq_code (*adamw)(struct lq_device *, const struct lq_op_adamw *, struct lq_error *);
    enum lq_code (*norm)(struct lq_device *, const struct lq_op_norm *, enum lq_pass,
                         struct lq_error *);
    enum lq_code (*rotation)(struct lq_device *, const struct lq_op_rotation *, enum lq_pass,
                             struct lq_error *);
    enum lq_code (*attention)(struct lq_device *, const struct lq_op_attention *, enum lq_pass,
                              struct lq_error *);
    enum lq_code (*router)(struct lq_device *, const struct lq_op_router *, enum lq_pass,
                           struct lq_error *);
    enum lq_code (*gather)(struct lq_device *, const struct lq_op_permutation *, enum lq_pass,
                           struct lq_error *);
    enum lq_code (*combine)(struct lq_device *, const struct lq_op_permutation *, enum lq_pass,
                            struct lq_error *);
    enum lq_code (*activation)(struct lq_device *, const struct lq_op_activation *, enum lq_pass,
                               struct lq_error *);
    enum lq_code (*convolution)(struct lq_device *, const struct lq_op_convolution *, enum lq_pass,
                                struct lq_error *);
    enum lq_code (*scan)(struct lq_device *, const struct lq_op_scan *, enum lq_pass,
                         struct lq_error *);
    enum lq_code (*loss)(struct lq_device *, const struct lq_op_loss *, enum lq_pass,
                         struct lq_error *);
    enum lq_code (*lookup)(struct lq_device *, const struct lq_op_lookup *, enum lq_pass,
                           struct lq_error *);

    const struct lq_group_functions *group; /* NULL: its devices do not exchange data */
};

/* The 16 values of nf4 (arXiv 2305.14314, appendix E) and the 256 of the 8-bit dynamic map that
 * double quantisation uses for scales (arXiv 2110.02861); both rising, within [-1, 1]. */
extern const float LQ_NF4[16];
void lq_code8(float values[256]);

/* The CPU backend: this machine's cores, OpenBLAS, fp32. It is the reference of every operation. */
const struct lq_backend *lq_cpu_backend(void);

/* The CUDA backend, in a module of its own. Its symbol ends in the number of this interface, which
 * grows with every change above: a module of another build is not taken for this one's. */
#define LQ_CUDA_BACKEND_SYMBOL "lq_cuda_backend_3"
const struct lq_backend *lq_cuda_backend(void) __asm__(LQ_CUDA_BACKEND_SYMBOL);
