/* One line of text per operation: the sizes that its time depends on, in the order of its struct.
 */
#include "kernels/measure/bench_label.h"

#include <stdio.h>

typedef long long whole;

const char *lq_pass_name(enum lq_pass pass)
{
    return pass == LQ_PASS_FORWARD ? " forward" : " backward";
}

const char *lq_suffix_linear(const struct lq_op_linear *op)
{
    static const char *const NAMES[][2] = {
        [LQ_LINEAR_FORWARD] = {" forward", " adapter forward"},
        [LQ_LINEAR_INPUT] = {" input gradient", " adapter input gradient"},
        [LQ_LINEAR_WEIGHT] = {" weight gradient", " adapter weight gradient"}};
    return NAMES[op->pass][op->adapter ? 1 : 0];
}

void lq_shape_linear(const struct lq_op_linear *op, char *text, size_t size)
{
    const int used = snprintf(text, size, "%lld x %lld -> %lld", (whole)op->tokens,
                              (whole)op->inputs, (whole)op->outputs);
    if (op->groups > 1 && used > 0 && (size_t)used < size) {
        snprintf(text + used, size - (size_t)used, ", %lld groups", (whole)op->groups);
    }
}

void lq_shape_add(const struct lq_op_add *op, char *text, size_t size)
{
    snprintf(text, size, "%lld", (whole)op->n);
}

void lq_shape_blocks(const struct lq_op_blocks *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld heads x %lld%s", (whole)op->tokens, (whole)op->heads,
             (whole)op->width, op->accumulate ? ", added" : "");
}

void lq_shape_dequantize(const struct lq_op_dequantization *op, char *text, size_t size)
{
    snprintf(text, size, "%lld", (whole)op->n);
}

void lq_shape_adamw(const struct lq_op_adamw *op, char *text, size_t size)
{
    snprintf(text, size, "%lld", (whole)op->n);
}

void lq_shape_norm(const struct lq_op_norm *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld", (whole)op->tokens, (whole)op->width);
}

void lq_shape_rotation(const struct lq_op_rotation *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld heads x %lld", (whole)(op->rows * op->tokens),
             (whole)op->heads, (whole)op->head_size);
}

void lq_shape_attention(const struct lq_op_attention *op, char *text, size_t size)
{
    snprintf(text, size, "%lld rows x %lld, %lld / %lld heads x %lld", (whole)op->rows,
             (whole)op->tokens, (whole)op->heads, (whole)op->kv_heads, (whole)op->head_size);
}

void lq_shape_router(const struct lq_op_router *op, char *text, size_t size)
{
    snprintf(text, size, "%lld, %lld of %lld experts", (whole)op->tokens, (whole)op->active,
             (whole)op->experts);
}

void lq_shape_sort(const struct lq_op_permutation *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld, %lld experts", (whole)op->tokens, (whole)op->active,
             (whole)op->experts);
}

void lq_shape_gather(const struct lq_op_permutation *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld x %lld", (whole)op->tokens, (whole)op->active,
             (whole)op->hidden);
}

void lq_shape_combine(const struct lq_op_permutation *op, char *text, size_t size)
{
    lq_shape_gather(op, text, size);
}

void lq_shape_activation(const struct lq_op_activation *op, char *text, size_t size)
{
    snprintf(text, size, "%s %lld", op->kind == LQ_ACTIVATION_SWIGLU ? "swiglu" : "gelu",
             (whole)op->n);
}

void lq_shape_convolution(const struct lq_op_convolution *op, char *text, size_t size)
{
    snprintf(text, size, "%lld rows x %lld x %lld, width %lld", (whole)op->rows, (whole)op->tokens,
             (whole)op->channels, (whole)op->width);
}

void lq_shape_scan(const struct lq_op_scan *op, char *text, size_t size)
{
    snprintf(text, size, "%lld rows x %lld x %lld, %lld states", (whole)op->rows, (whole)op->tokens,
             (whole)op->channels, (whole)op->states);
}

void lq_shape_loss(const struct lq_op_loss *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld", (whole)op->tokens, (whole)op->vocabulary);
}

void lq_shape_lookup(const struct lq_op_lookup *op, char *text, size_t size)
{
    snprintf(text, size, "%lld x %lld", (whole)op->tokens, (whole)op->hidden);
}
