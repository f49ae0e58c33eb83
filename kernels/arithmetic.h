/* The numbers that a device computes with, and how it multiplies them. What it does with them is in
 * backend.h. */
#pragma once

/* The type of activations and weights. Statistics, indices and losses have types of their own. */
enum lq_element { LQ_ELEMENT_F32, LQ_ELEMENT_BF16, LQ_ELEMENT_F16, LQ_ELEMENT_COUNT };
#define LQ_ELEMENT_BIT(e) (1U << (e))

/* How a matmul multiplies; sums are fp32 always. Whatever is not offered or does not fit is refused
 * with LQ_EDEVICE. */
enum lq_arithmetic {
    LQ_ARITHMETIC_NATIVE, /* the elements as they are */
    LQ_ARITHMETIC_TF32,   /* fp32 elements, factors rounded to 10 bits of mantissa */
    /* bf16 and fp16 elements: factors are cast to e4m3, each tensor scaled so that its largest
     * magnitude becomes 448, and the product is scaled back (arXiv 2209.05433). Forward passes of
     * one group; sizes are multiples of 16, addresses of 16 bytes. */
    LQ_ARITHMETIC_FP8
};
#define LQ_ARITHMETIC_BIT(a) (1U << (a))
