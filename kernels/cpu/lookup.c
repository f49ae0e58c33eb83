/* Rows of a table by index, and their gradient. */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <string.h>

enum {
    GRAIN = 16384,    /* elements: some microseconds of work, more than waking a thread costs */
    COLUMN_GRAIN = 64 /* columns: whole cache lines for each thread */
};

static void read_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_lookup *op = context;
    for (int64_t t = begin; t < end; t++) {
        assert(op->ids[t] >= 0 && op->ids[t] < op->vocabulary);
        memcpy((float *)op->out + t * op->hidden,
               (const float *)op->table + op->ids[t] * op->hidden,
               (size_t)op->hidden * sizeof(float));
    }
}

static void add_row(float *restrict to, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        to[i] += from[i];
    }
}

/* A thread has columns of its own, so that rows are added in the order of tokens. */
static void add_columns(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_lookup *op = context;
    for (int64_t t = 0; t < op->tokens; t++) {
        assert(op->ids[t] >= 0 && op->ids[t] < op->vocabulary);
        add_row((float *)op->d_table + op->ids[t] * op->hidden + begin,
                (const float *)op->d_out + t * op->hidden + begin, end - begin);
    }
}

enum lq_code lq_cpu_lookup(struct lq_device *device, const struct lq_op_lookup *op,
                           enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->tokens >= 0 && op->hidden >= 1);
    struct lq_op_lookup range = *op;
    double accesses = 2.0;
    if (pass == LQ_PASS_FORWARD) {
        lq_parallel(device, op->tokens, 1 + GRAIN / op->hidden, read_rows, &range);
    } else {
        const int64_t enough = 1 + GRAIN / (op->tokens + 1);
        lq_parallel(device, op->hidden, enough > COLUMN_GRAIN ? enough : COLUMN_GRAIN, add_columns,
                    &range);
        accesses = 3.0;
    }
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = accesses * (double)op->tokens *
                                                            (double)op->hidden * sizeof(float)});
    return LQ_OK;
}
