/* The tables of values that the codes of quantised weights stand for, for every backend. */
#include "kernels/backend.h"

/* QLoRA (arXiv 2305.14314) appendix E, as printed; quantiles of a normal distribution. */
const float LQ_NF4[16] = {-1.0F,
                          -0.6961928009986877F,
                          -0.5250730514526367F,
                          -0.39491748809814453F,
                          -0.28444138169288635F,
                          -0.18477343022823334F,
                          -0.09105003625154495F,
                          0.0F,
                          0.07958029955625534F,
                          0.16093020141124725F,
                          0.24611230194568634F,
                          0.33791524171829224F,
                          0.44070982933044434F,
                          0.5626170039176941F,
                          0.7229568362236023F,
                          1.0F};

/* The signed dynamic map of bitsandbytes (functional.py, create_dynamic_map(signed=True,
 * max_exponent_bits=7, total_bits=8)): for each exponent e = 0 .. 6 the middles of 2^e equal parts
 * of [0.1, 1], times 10^(e - 6), with either sign; and 0 and 1. */
void lq_code8(float values[256])
{
    enum { EXPONENTS = 7, ZERO = 127 };
    double power = 1e-6;
    int rank = 0;
    values[ZERO] = 0.0F;
    for (int e = 0; e < EXPONENTS; e++, power *= 10.0) {
        const int parts = 1 << e;
        for (int i = 0; i < parts; i++) {
            rank++;
            const float value = (float)(power * (0.1 + 0.9 * (i + 0.5) / parts));
            values[ZERO + rank] = value;
            values[ZERO - rank] = -value;
        }
    }
    values[ZERO + rank + 1] = 1.0F;
}
