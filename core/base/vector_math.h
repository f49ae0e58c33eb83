/* Exponentials and logarithms of whole blocks of numbers, vectorised without relaxed arithmetic:
 * the results are the same on every machine. */
#pragma once

enum { LQ_BLOCK = 64 };

/* out = e^x for |x| <= 708, within 1.5 units in the last place; beyond that it means nothing, so
 * callers keep to it by bounds. `out` may be `x`. */
void lq_block_exp(const double x[LQ_BLOCK], double out[LQ_BLOCK]);

/* out = ln x for positive normal x, within 1.5 units in the last place. `out` may be `x`. */
void lq_block_log(const double x[LQ_BLOCK], double out[LQ_BLOCK]);
