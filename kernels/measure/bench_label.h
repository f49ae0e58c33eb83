/* What operations are called in a table of timings, and their shapes as text. */
#pragma once

#include "kernels/backend.h"

/* Operations of lq_backend and their descriptions, those that take a pass first. */
#define LQ_OPS_WITH_PASS(X)                                                                        \
    X(norm, lq_op_norm)                                                                            \
    X(rotation, lq_op_rotation)                                                                    \
    X(attention, lq_op_attention)                                                                  \
    X(router, lq_op_router)                                                                        \
    X(gather, lq_op_permutation)                                                                   \
    X(combine, lq_op_permutation)                                                                  \
    X(activation, lq_op_activation)                                                                \
    X(convolution, lq_op_convolution)                                                              \
    X(scan, lq_op_scan)                                                                            \
    X(loss, lq_op_loss)                                                                            \
    X(lookup, lq_op_lookup)
#define LQ_OPS_WITHOUT_PASS(X)                                                                     \
    X(linear, lq_op_linear)                                                                        \
    X(add, lq_op_add)                                                                              \
    X(blocks, lq_op_blocks)                                                                        \
    X(sort, lq_op_permutation)                                                                     \
    X(dequantize, lq_op_dequantization)                                                            \
    X(adamw, lq_op_adamw)

/* " forward", " backward". */
const char *lq_pass_name(enum lq_pass pass);
/* The same of operations whose description has the pass: " forward", " adapter weight gradient" of
 * a matmul, "" of the others. */
const char *lq_suffix_linear(const struct lq_op_linear *op);
#define LQ_NO_SUFFIX(name, type)                                                                   \
    static inline const char *lq_suffix_##name(const struct type *op)                              \
    {                                                                                              \
        (void)op;                                                                                  \
        return "";                                                                                 \
    }
LQ_NO_SUFFIX(add, lq_op_add)
LQ_NO_SUFFIX(blocks, lq_op_blocks)
LQ_NO_SUFFIX(sort, lq_op_permutation)
LQ_NO_SUFFIX(dequantize, lq_op_dequantization)
LQ_NO_SUFFIX(adamw, lq_op_adamw)
#undef LQ_NO_SUFFIX

/* lq_shape_norm(op, text, size) and so on. */
#define X(name, type) void lq_shape_##name(const struct type *op, char *text, size_t size);
LQ_OPS_WITH_PASS(X)
LQ_OPS_WITHOUT_PASS(X)
#undef X
