/* A table of operations as JSON. */
#pragma once

#include "kernels/measure/bench.h"

/* Who ran what; borrowed texts. */
struct lq_bench_title {
    const char *model;
    const char *method;
    const char *device; /* by name, or the id of a GPU */
    int64_t tokens;
    struct lq_roofline roofline;
};

/* One object: the title's members and "operations", each with what kernels/measure/bench.h has of a
 * row, bytes, roofline_s and bound. Free with free(). Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_bench_write(const struct lq_bench_title *title,
                                        const struct lq_bench *bench, char **text,
                                        struct lq_error *err);
