/* Matmuls by OpenBLAS, each thread of the pool computing its own rectangle of the output: whatever
 * the loads of the groups, all cores work, and a small product stays on one. */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <cblas.h>
#include <stdio.h>
#include <string.h>

/* FLOPs for which another thread is woken: some 20 us of a core. */
static const double FLOP_GRAIN = 2e6;
/* Edges of rectangles lie at multiples of these (of elements): the kernels' own tiles. */
enum { ROW_TILE = 4, COLUMN_TILE = 16 };

/* What is computed: out [rows, columns] of each group, or of all groups one after the other. */
struct matmul {
    struct lq_op_linear op;
    int64_t rows; /* the output's; of one group with LQ_LINEAR_WEIGHT */
    int64_t columns;
    int64_t row_parts;
    int64_t column_parts;
};

/* A rectangle of the output. */
struct part {
    int64_t row_begin;
    int64_t row_end;
    int64_t column_begin;
    int64_t column_end;
};

void lq_cpu_blas_open(void)
{
    openblas_set_num_threads(1);
}

const char *lq_cpu_blas_version(void)
{
    return openblas_get_config();
}

void lq_cpu_product(const struct lq_cpu_product *p)
{
    cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                p->b_transposed ? CblasTrans : CblasNoTrans, (blasint)p->m, (blasint)p->n,
                (blasint)p->k, p->scale, p->a, (blasint)p->a_stride, p->b, (blasint)p->b_stride,
                p->accumulate ? 1.0F : 0.0F, p->c, (blasint)p->c_stride);
}

void lq_cpu_blas_describe(char *text, size_t size)
{
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    const char *version = strchr(config, ' ');
    const char *rest = version == NULL ? NULL : strchr(version + 1, ' ');
    const int length = (int)(rest == NULL ? strlen(config) : (size_t)(rest - config));
    snprintf(text, size, "%.*s %.16s", length, config, openblas_get_corename());
}

static int64_t group_begin(const struct lq_op_linear *op, int64_t group)
{
    return op->offsets == NULL ? (group == 0 ? 0 : op->tokens) : op->offsets[group];
}

static int64_t edge(int64_t n, int64_t part, int64_t parts, int64_t tile)
{
    const int64_t tiles = (n + tile - 1) / tile;
    const int64_t at = tiles * part / parts * tile;
    return at < n ? at : n;
}

/* Rows begin <= t < end of one group: y = x w^T, its columns outputs. */
static void forward(const struct lq_op_linear *op, const float *w, int64_t begin, int64_t end,
                    const struct part *part)
{
    const int64_t at = part->column_begin;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)(end - begin),
                (blasint)(part->column_end - at), (blasint)op->inputs, (float)op->scale,
                (const float *)op->x + begin * op->inputs, (blasint)op->inputs, w + at * op->inputs,
                (blasint)op->inputs, op->accumulate ? 1.0F : 0.0F,
                (float *)op->y + begin * op->outputs + at, (blasint)op->outputs);
}

/* Rows begin <= t < end of one group: x = y w, its columns inputs. */
static void input_gradient(const struct lq_op_linear *op, const float *w, int64_t begin,
                           int64_t end, const struct part *part)
{
    const int64_t at = part->column_begin;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)(end - begin),
                (blasint)(part->column_end - at), (blasint)op->outputs, (float)op->scale,
                (const float *)op->y + begin * op->outputs, (blasint)op->outputs, w + at,
                (blasint)op->inputs, op->accumulate ? 1.0F : 0.0F,
                (float *)op->x + begin * op->inputs + at, (blasint)op->inputs);
}

/* w = y^T x of the group's tokens begin <= t < end: rows outputs, columns inputs. */
static void weight_gradient(const struct lq_op_linear *op, float *w, int64_t begin, int64_t end,
                            const struct part *part)
{
    const int64_t rows = part->row_end - part->row_begin;
    const int64_t columns = part->column_end - part->column_begin;
    float *out = w + part->row_begin * op->inputs + part->column_begin;
    if (begin == end) {
        for (int64_t i = 0; i < rows && !op->accumulate; i++) {
            memset(out + i * op->inputs, 0, (size_t)columns * sizeof *out);
        }
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)rows, (blasint)columns,
                (blasint)(end - begin), (float)op->scale,
                (const float *)op->y + begin * op->outputs + part->row_begin, (blasint)op->outputs,
                (const float *)op->x + begin * op->inputs + part->column_begin, (blasint)op->inputs,
                op->accumulate ? 1.0F : 0.0F, out, (blasint)op->inputs);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void run_part(const struct lq_op_linear *op, const struct part *part)
{
    for (int64_t g = 0; g < op->groups; g++) {
        float *w = (float *)op->w + g * op->outputs * op->inputs;
        const int64_t first = group_begin(op, g);
        const int64_t last = group_begin(op, g + 1);
        if (op->pass == LQ_LINEAR_WEIGHT) {
            weight_gradient(op, w, first, last, part);
            continue;
        }
        const int64_t begin = larger(first, part->row_begin);
        const int64_t end = smaller(last, part->row_end);
        if (begin < end && op->pass == LQ_LINEAR_FORWARD) {
            forward(op, w, begin, end, part);
        } else if (begin < end) {
            input_gradient(op, w, begin, end, part);
        }
    }
}

static void run_parts(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct matmul *m = context;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i / m->column_parts;
        const int64_t column = i % m->column_parts;
        const struct part part = {
            .row_begin = edge(m->rows, row, m->row_parts, ROW_TILE),
            .row_end = edge(m->rows, row + 1, m->row_parts, ROW_TILE),
            .column_begin = edge(m->columns, column, m->column_parts, COLUMN_TILE),
            .column_end = edge(m->columns, column + 1, m->column_parts, COLUMN_TILE)};
        if (part.row_begin < part.row_end && part.column_begin < part.column_end) {
            run_part(&m->op, &part);
        }
    }
}

static int64_t groups_with_rows(const struct lq_op_linear *op)
{
    int64_t count = 0;
    for (int64_t g = 0; g < op->groups; g++) {
        count += group_begin(op, g) < group_begin(op, g + 1) ? 1 : 0;
    }
    return count;
}

/* A grid of one rectangle per thread. Every rectangle copies the operands of its rows and columns
 * into caches; of all grids that use the threads, the one that copies least is taken. Operands of
 * rows are copied once for each part of the columns, and the other way round: there, rows of
 * several groups need several operands. */
static void plan(struct matmul *m, int64_t threads, int64_t groups)
{
    const struct lq_op_linear *op = &m->op;
    const double flop = 2.0 * (double)op->tokens * (double)op->outputs * (double)op->inputs;
    const bool weight = op->pass == LQ_LINEAR_WEIGHT;
    m->rows = weight ? op->outputs : op->tokens;
    m->columns = op->pass == LQ_LINEAR_FORWARD ? op->outputs : op->inputs;
    const double most = flop / FLOP_GRAIN;
    const int64_t parts = most < (double)threads ? larger(1, (int64_t)most) : threads;
    m->row_parts = 1;
    m->column_parts = parts;
    double least = -1.0;
    for (int64_t p = 1; p <= parts; p++) {
        const int64_t others = parts / p;
        if (parts % p != 0 || (p > 1 && m->rows < p * ROW_TILE) ||
            (others > 1 && m->columns < others * COLUMN_TILE)) {
            continue;
        }
        const double of_columns = weight ? (double)p : (double)(groups + p - 1);
        const double copied = of_columns * (double)m->columns + (double)others * (double)m->rows;
        if (least < 0.0 || copied < least) {
            least = copied;
            m->row_parts = p;
            m->column_parts = others;
        }
    }
}

static struct lq_tally work_of(const struct lq_op_linear *op, int64_t groups)
{
    const double tokens = (double)op->tokens;
    const double outputs = (double)op->outputs;
    const double inputs = (double)op->inputs;
    const double written = op->accumulate ? 2.0 : 1.0;
    struct lq_tally work = {.flop = 2.0 * tokens * outputs * inputs};
    if (!op->adapter) {
        work.weight_bytes = outputs * inputs * sizeof(float) * (double)groups;
        return work;
    }
    const double of_outputs = op->pass == LQ_LINEAR_FORWARD ? written : 1.0;
    const double of_inputs = op->pass == LQ_LINEAR_INPUT ? written : 1.0;
    work.traffic_bytes = tokens * (inputs * of_inputs + outputs * of_outputs) * sizeof(float);
    return work;
}

enum lq_code lq_cpu_linear(struct lq_device *device, const struct lq_op_linear *op,
                           struct lq_error *err)
{
    if (op->arithmetic != LQ_ARITHMETIC_NATIVE) {
        return lq_fail(err, LQ_EDEVICE, NULL, "this device multiplies in fp32 alone");
    }
    assert(op->tokens >= 0 && op->outputs >= 1 && op->inputs >= 1 && op->groups >= 1);
    assert(op->offsets != NULL || op->groups == 1);
    assert(group_begin(op, 0) == 0 && group_begin(op, op->groups) == op->tokens);
    struct matmul m = {.op = *op};
    const int64_t groups = groups_with_rows(op);
    plan(&m, lq_pool_threads(device->pool), groups);
    lq_parallel(device, m.row_parts * m.column_parts, 1, run_parts, &m);
    lq_cpu_count(device, work_of(op, groups));
    return LQ_OK;
}
