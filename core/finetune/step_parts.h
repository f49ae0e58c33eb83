/* Between the rooms of the step time: which factor moves what, and what of communication shows. */
#pragma once

#include "core/finetune/step_time.h"

/* The factor on a term's FLOPs, and the one on its kernels that only move bytes. */
enum lq_factor lq_step_compute_factor(enum lq_term term);
enum lq_factor lq_step_stream_factor(enum lq_term term);

/* Seconds of communication that show. */
struct lq_step_network {
    double seconds;
    double by_factor; /* d seconds / d ln(its factor) */
    double by_passes; /* d seconds / d passes_s: longer passes hide more */
};

/* Writes the seconds of communication that show beside `passes_s` of forward and backward into
 * `out`, and returns their sum. */
struct lq_step_network lq_step_expose_network(const struct lq_step_parts *parts, double factor,
                                              double passes_s, struct lq_step_time *out);
