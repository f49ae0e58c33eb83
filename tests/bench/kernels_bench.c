/* Times operations of the CPU backend beside yardsticks of the same run: matmuls beside OpenBLAS
 * called directly with its own threads, what only moves numbers beside memcpy of the same bytes by
 * the same threads. Prints medians. LQ_BENCH_SHORT=1 makes it a glance. */
#include "kernels/cpu/cpu.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPETITIONS_MAX = 31 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void check(enum lq_code code, const struct lq_error *err)
{
    if (code != LQ_OK) {
        fprintf(stderr, "%s\n", err->detail);
        exit(EXIT_FAILURE);
    }
}

static float *numbers(struct lq_device *device, int64_t n)
{
    struct lq_error err = {0};
    void *memory = NULL;
    check(lq_cpu_allocate(device, (size_t)n * sizeof(float), &memory, &err), &err);
    check(lq_cpu_randomize(device, memory, n, 7, 1.0, &err), &err);
    return memory;
}

/* What is timed: ours and its yardstick, in turn, so that both meet the same machine. */
struct subject {
    const char *name;
    void (*run)(void *context);
    void (*yardstick)(void *context);
    void *context;
    double work;      /* per call, in FLOPs or bytes */
    const char *unit; /* of 1e9 of them per second */
    int repetitions;
};

static double timed(void (*run)(void *), void *context)
{
    const double start = now_s();
    run(context);
    return now_s() - start;
}

static void measure(const struct subject *s)
{
    double ours[REPETITIONS_MAX];
    double other[REPETITIONS_MAX];
    timed(s->run, s->context);
    timed(s->yardstick, s->context);
    for (int r = 0; r < s->repetitions; r++) {
        other[r] = timed(s->yardstick, s->context);
        ours[r] = timed(s->run, s->context);
    }
    const size_t n = (size_t)s->repetitions;
    qsort(ours, n, sizeof ours[0], by_value);
    qsort(other, n, sizeof other[0], by_value);
    const double median = ours[n / 2];
    const double against = other[n / 2];
    printf("%-34s median %9.3f ms  quartiles %9.3f .. %9.3f  %7.1f %s  yardstick %9.3f ms  "
           "rate / yardstick %.2f\n",
           s->name, 1e3 * median, 1e3 * ours[n / 4], 1e3 * ours[3 * n / 4], 1e-9 * s->work / median,
           s->unit, 1e3 * against, against / median);
}

struct product {
    struct lq_device *device;
    struct lq_op_linear op;
    int threads;
};

static void run_linear(void *context)
{
    struct product *p = context;
    struct lq_error err = {0};
    check(lq_cpu_linear(p->device, &p->op, &err), &err);
}

static void direct_group(const struct lq_op_linear *op, int64_t g, int64_t begin, int64_t end)
{
    const int t = (int)(end - begin);
    const int o = (int)op->outputs;
    const int i = (int)op->inputs;
    float *x = (float *)op->x + begin * op->inputs;
    float *y = (float *)op->y + begin * op->outputs;
    float *w = (float *)op->w + g * op->outputs * op->inputs;
    switch (op->pass) {
    case LQ_LINEAR_FORWARD:
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, t, o, i, 1.0F, x, i, w, i, 0.0F, y, o);
        break;
    case LQ_LINEAR_INPUT:
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t, i, o, 1.0F, y, o, w, i, 0.0F, x,
                    i);
        break;
    case LQ_LINEAR_WEIGHT:
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, o, i, t, 1.0F, y, o, x, i, 0.0F, w, i);
        break;
    }
}

static void run_direct(void *context)
{
    struct product *p = context;
    openblas_set_num_threads(p->threads);
    for (int64_t g = 0; g < p->op.groups; g++) {
        const int64_t begin = p->op.offsets == NULL ? 0 : p->op.offsets[g];
        const int64_t end = p->op.offsets == NULL ? p->op.tokens : p->op.offsets[g + 1];
        if (begin < end) {
            direct_group(&p->op, g, begin, end);
        }
    }
    openblas_set_num_threads(1);
}

/* One shape: tokens, outputs, inputs. */
struct shape {
    const char *name;
    int64_t tokens;
    int64_t outputs;
    int64_t inputs;
    int64_t groups;
    const int32_t *offsets;
    enum lq_linear_pass pass;
    bool in_short; /* shown at a glance */
};

static void bench_matmul(struct lq_device *device, const struct shape *shape, int repetitions)
{
    struct product p = {.device = device, .threads = lq_pool_threads(device->pool)};
    p.op = (struct lq_op_linear){.pass = shape->pass,
                                 .tokens = shape->tokens,
                                 .outputs = shape->outputs,
                                 .inputs = shape->inputs,
                                 .groups = shape->groups,
                                 .offsets = shape->offsets,
                                 .scale = 1.0};
    p.op.x = numbers(device, shape->tokens * shape->inputs);
    p.op.w = numbers(device, shape->groups * shape->outputs * shape->inputs);
    p.op.y = numbers(device, shape->tokens * shape->outputs);
    const double flop =
        2.0 * (double)shape->tokens * (double)shape->outputs * (double)shape->inputs;
    const struct subject subject = {.name = shape->name,
                                    .run = run_linear,
                                    .yardstick = run_direct,
                                    .context = &p,
                                    .work = flop,
                                    .unit = "GFLOP/s",
                                    .repetitions = repetitions};
    measure(&subject);
    lq_cpu_release(device, p.op.x);
    lq_cpu_release(device, p.op.w);
    lq_cpu_release(device, p.op.y);
}

static void bench_matmuls(struct lq_device *device, bool brief)
{
    static const int32_t UNEVEN[] = {0, 700, 700, 830, 900, 1500, 1530, 1790, 2048};
    static const int32_t ONE[] = {0, 0, 0, 2048, 2048, 2048, 2048, 2048, 2048};
    static const int32_t FEW[] = {0, 8, 16, 24, 32, 40, 48, 56, 64};
    static const struct shape SHAPES[] = {
        {"512 x 4096 x 4096 y", 512, 4096, 4096, 1, NULL, LQ_LINEAR_FORWARD, true},
        {"512 x 4096 x 4096 d_x", 512, 4096, 4096, 1, NULL, LQ_LINEAR_INPUT, false},
        {"512 x 4096 x 4096 d_w", 512, 4096, 4096, 1, NULL, LQ_LINEAR_WEIGHT, false},
        {"2048 x 1024 x 4096 y", 2048, 1024, 4096, 1, NULL, LQ_LINEAR_FORWARD, false},
        {"2048 x 1024 x 4096 d_x", 2048, 1024, 4096, 1, NULL, LQ_LINEAR_INPUT, false},
        {"2048 x 1024 x 4096 d_w", 2048, 1024, 4096, 1, NULL, LQ_LINEAR_WEIGHT, false},
        {"8 uneven experts 1024 x 2048 y", 2048, 1024, 2048, 8, UNEVEN, LQ_LINEAR_FORWARD, true},
        {"8 uneven experts 1024 x 2048 d_w", 2048, 1024, 2048, 8, UNEVEN, LQ_LINEAR_WEIGHT, false},
        {"one of 8 experts 1024 x 2048 y", 2048, 1024, 2048, 8, ONE, LQ_LINEAR_FORWARD, false},
        {"8 experts with 8 tokens each y", 64, 1024, 2048, 8, FEW, LQ_LINEAR_FORWARD, true},
        {"LoRA down, rank 16", 1024, 16, 4096, 1, NULL, LQ_LINEAR_FORWARD, true},
        {"LoRA up, rank 16", 1024, 4096, 16, 1, NULL, LQ_LINEAR_FORWARD, true},
        {"LoRA down, rank 16 d_w", 1024, 16, 4096, 1, NULL, LQ_LINEAR_WEIGHT, true},
        {"LoRA down, rank 8, 16 tokens", 16, 8, 1024, 1, NULL, LQ_LINEAR_FORWARD, true},
        {"router of 8 experts", 2048, 8, 4096, 1, NULL, LQ_LINEAR_FORWARD, true},
        {"router of 8 experts d_x", 2048, 8, 4096, 1, NULL, LQ_LINEAR_INPUT, true},
    };
    for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
        if (!brief || SHAPES[i].in_short) {
            bench_matmul(device, &SHAPES[i], brief ? 3 : 11);
        }
    }
}

/* Operations on rows of tokens, and the copy of half the bytes they touch. */
struct moved {
    struct lq_device *device;
    struct lq_op_permutation permutation;
    struct lq_op_activation activation;
    enum lq_pass pass;
    float *from;
    float *to;
    size_t copied_bytes; /* read and written once: half of all bytes touched */
};

static void run_copy(void *context)
{
    struct moved *m = context;
    struct lq_error err = {0};
    check(lq_cpu_copy(m->device, m->to, m->from, m->copied_bytes, &err), &err);
}

static void run_gather(void *context)
{
    struct moved *m = context;
    struct lq_error err = {0};
    check(lq_cpu_gather(m->device, &m->permutation, m->pass, &err), &err);
}

static void run_combine(void *context)
{
    struct moved *m = context;
    struct lq_error err = {0};
    check(lq_cpu_combine(m->device, &m->permutation, m->pass, &err), &err);
}

static void run_activation(void *context)
{
    struct moved *m = context;
    struct lq_error err = {0};
    check(lq_cpu_activation(m->device, &m->activation, m->pass, &err), &err);
}

enum { TOKENS = 4096, HIDDEN = 2048, EXPERTS = 8, ACTIVE = 2 };

static void prepare(struct moved *m)
{
    static int32_t index[TOKENS * ACTIVE];
    static int32_t slots[TOKENS * ACTIVE];
    static int32_t offsets[EXPERTS + 1];
    for (int i = 0; i < TOKENS * ACTIVE; i++) {
        index[i] = (int32_t)((unsigned)(i / ACTIVE) * 2654435761U >> 29) ^ (i % ACTIVE);
    }
    const int64_t n = (int64_t)TOKENS * HIDDEN;
    m->from = numbers(m->device, n * 3);
    m->to = numbers(m->device, n * 3);
    float *small = numbers(m->device, n);
    float *small_too = numbers(m->device, n);
    float *large = numbers(m->device, n * ACTIVE);
    float *large_too = numbers(m->device, n * ACTIVE);
    float *weights = numbers(m->device, (int64_t)TOKENS * ACTIVE);
    float *d_weights = numbers(m->device, (int64_t)TOKENS * ACTIVE);
    m->permutation = (struct lq_op_permutation){.tokens = TOKENS,
                                                .hidden = HIDDEN,
                                                .experts = EXPERTS,
                                                .active = ACTIVE,
                                                .index = index,
                                                .offsets = offsets,
                                                .slots = slots,
                                                .x = small,
                                                .sorted = large,
                                                .weights = weights,
                                                .y = small_too,
                                                .d_y = small,
                                                .d_sorted = large_too,
                                                .d_weights = d_weights,
                                                .d_x = small_too};
    m->activation = (struct lq_op_activation){.kind = LQ_ACTIVATION_SWIGLU,
                                              .n = n,
                                              .gate = small,
                                              .up = small_too,
                                              .out = large,
                                              .d_out = large,
                                              .d_gate = large_too,
                                              .d_up = large_too + n};
    struct lq_error err = {0};
    check(lq_cpu_sort(m->device, &m->permutation, &err), &err);
}

static void bench_moves(struct lq_device *device, bool brief)
{
    struct moved m = {.device = device};
    prepare(&m);
    const double n = (double)TOKENS * HIDDEN * sizeof(float);
    static const struct {
        const char *name;
        void (*run)(void *);
        enum lq_pass pass;
        double accesses; /* of TOKENS x HIDDEN numbers, as its tally has it */
    } MOVES[] = {{"gather", run_gather, LQ_PASS_FORWARD, 2.0 * ACTIVE},
                 {"gather backward", run_gather, LQ_PASS_BACKWARD, ACTIVE + 1.0},
                 {"combine", run_combine, LQ_PASS_FORWARD, ACTIVE + 1.0},
                 {"combine backward", run_combine, LQ_PASS_BACKWARD, 3.0 * ACTIVE},
                 {"SwiGLU", run_activation, LQ_PASS_FORWARD, 3.0},
                 {"SwiGLU backward", run_activation, LQ_PASS_BACKWARD, 5.0}};
    for (size_t i = 0; i < sizeof MOVES / sizeof MOVES[0]; i++) {
        m.pass = MOVES[i].pass;
        const double bytes = MOVES[i].accesses * n;
        m.copied_bytes = (size_t)(bytes / 2.0);
        const struct subject subject = {.name = MOVES[i].name,
                                        .run = MOVES[i].run,
                                        .yardstick = run_copy,
                                        .context = &m,
                                        .work = bytes,
                                        .unit = "GB/s   ",
                                        .repetitions = brief ? 5 : 21};
        measure(&subject);
    }
}

int main(void)
{
    const char *wish = getenv("LQ_BENCH_SHORT");
    const bool brief = wish != NULL && wish[0] == '1';
    struct lq_device *device = NULL;
    struct lq_error err = {0};
    check(lq_cpu_open_threads(0, &device, &err), &err);
    printf("%d threads; %s\n", lq_pool_threads(device->pool), lq_cpu_blas_version());
    bench_matmuls(device, brief);
    bench_moves(device, brief);
    lq_cpu_close(device);
    return EXIT_SUCCESS;
}
