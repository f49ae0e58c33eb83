/* Times a law's loss, one fit of the Chinchilla runs and the whole grid of 4,500 starts on two
 * threads, beside the same objective with libm's exp and log. Prints medians and spread. */
#include "core/planning/law_fit.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 245, KEPT = 240, WORKSPACE = 4096, GRIDS = 5, LOSSES = 200000, REPEATS = 15 };
enum { THREADS = 2, CHUNK = 50 };

static struct lq_law_run runs[ROWS];
static double workspace[WORKSPACE];
static struct lq_law law;
static struct lq_law_fit_problem problem;
static double sink;

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

static int by_loss(const void *a, const void *b)
{
    return by_value(&((const struct lq_law_run *)a)->value, &((const struct lq_law_run *)b)->value);
}

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(EXIT_FAILURE);
}

/* Prints the median and the range of n times, and returns the median. */
static double tell(const char *what, double *times, int n, double unit, const char *name)
{
    qsort(times, (size_t)n, sizeof *times, by_value);
    const double median = times[n / 2];
    printf("%-44s median %9.3f %s   range %9.3f .. %9.3f   %d repetitions\n", what, median / unit,
           name, times[0] / unit, times[n - 1] / unit, n);
    return median;
}

static void read_runs(const char *path)
{
    char line[256];
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(line, sizeof line, file) == NULL) {
        die("law_bench needs the path of chinchilla_points.csv");
    }
    size_t n = 0;
    for (; n < ROWS && fgets(line, sizeof line, file) != NULL; n++) {
        char *at = line;
        runs[n].point.parameters = strtod(at, &at);
        runs[n].point.tokens = strtod(at + 1, &at);
        strtod(at + 1, &at);
        runs[n].value = strtod(at + 1, &at);
    }
    fclose(file);
    struct lq_error err = {0};
    qsort(runs, n, sizeof runs[0], by_loss);
    if (lq_law_user("hoffmann2022", "bench", &law, &err) != LQ_OK ||
        lq_law_fit_prepare(&law, 0, runs, KEPT, workspace, &problem, &err) != LQ_OK) {
        die(err.detail);
    }
}

/* Both threads take chunks of starts from one counter. */
static atomic_size_t next_start;

struct share {
    double least;
    long evaluations;
};

static void *work(void *out)
{
    struct share *share = out;
    const size_t count = lq_law_fit_start_count(law.form);
    for (;;) {
        const size_t first = atomic_fetch_add(&next_start, CHUNK);
        for (size_t i = first; i < first + CHUNK; i++) {
            double searched[LQ_LAW_COEFFICIENTS_MAX];
            struct lq_law_descent descent;
            struct lq_error err = {0};
            if (i >= count) {
                return NULL;
            }
            lq_law_fit_start(law.form, i, searched);
            if (lq_law_fit_descend(&problem, searched, &descent, &err) == LQ_OK) {
                share->least = fmin(share->least, descent.objective);
                share->evaluations += descent.evaluations;
            }
        }
    }
}

static long grid(void)
{
    pthread_t threads[THREADS];
    struct share shares[THREADS];
    atomic_store(&next_start, 0);
    for (int i = 0; i < THREADS; i++) {
        shares[i] = (struct share){.least = HUGE_VAL};
        if (pthread_create(&threads[i], NULL, work, &shares[i]) != 0) {
            die("cannot start a thread");
        }
    }
    long evaluations = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        evaluations += shares[i].evaluations;
        sink += shares[i].least;
    }
    if (fabs(fmin(shares[0].least, shares[1].least) - 0.00101827) > 1e-7) {
        die("the grid did not find the optimum");
    }
    return evaluations;
}

/* The yardstick: the same objective and gradient, a run at a time with libm. */
static double plain_objective(const double *x, double *gradient)
{
    double sum = 0.0;
    memset(gradient, 0, 5 * sizeof *gradient);
    for (size_t i = 0; i < KEPT; i++) {
        const double log_n = problem.log_n[i] + problem.mean_log_n;
        const double log_d = problem.log_d[i] + problem.mean_log_d;
        const double size = exp(x[0] - x[3] * log_n);
        const double tokens = exp(x[1] - x[4] * log_d);
        const double rest = exp(x[2]);
        const double loss = size + tokens + rest;
        const double r = log(loss) - problem.log_value[i];
        const double slope = fmin(fmax(r, -LQ_LAW_HUBER_DELTA), LQ_LAW_HUBER_DELTA);
        sum += slope * (r - 0.5 * slope);
        gradient[0] += slope * size / loss;
        gradient[1] += slope * tokens / loss;
        gradient[2] += slope * rest / loss;
        gradient[3] -= slope * size / loss * log_n;
        gradient[4] -= slope * tokens / loss * log_d;
    }
    return sum;
}

static void bench_objective(void)
{
    enum { CALLS = 2000 };
    double ours[REPEATS];
    double plain[REPEATS];
    double x[LQ_LAW_COEFFICIENTS_MAX];
    double gradient[LQ_LAW_COEFFICIENTS_MAX];
    lq_law_fit_start_at(law.form, lq_law_find("besiroglu2024")->coefficient, x);
    for (int r = 0; r < REPEATS; r++) {
        double start = now_s();
        for (int i = 0; i < CALLS; i++) {
            x[3] += 1e-12;
            sink += lq_law_fit_objective(&problem, x, gradient);
        }
        ours[r] = (now_s() - start) / CALLS / KEPT;
        start = now_s();
        for (int i = 0; i < CALLS; i++) {
            x[3] -= 1e-12;
            sink += plain_objective(x, gradient);
        }
        plain[r] = (now_s() - start) / CALLS / KEPT;
    }
    const double vector = tell("objective and gradient, a point", ours, REPEATS, 1e-9, "ns");
    const double libm = tell("the same with libm's exp and log", plain, REPEATS, 1e-9, "ns");
    printf("ratio to libm                                %.2f\n", vector / libm);
}

static void bench_fits(void)
{
    double one[REPEATS];
    double all[GRIDS];
    long evaluations = 0;
    for (int r = 0; r < REPEATS; r++) {
        double x[LQ_LAW_COEFFICIENTS_MAX];
        struct lq_law_descent descent;
        struct lq_error err = {0};
        const double start = now_s();
        lq_law_fit_start_at(law.form, lq_law_find("hoffmann2022")->coefficient, x);
        if (lq_law_fit_descend(&problem, x, &descent, &err) != LQ_OK) {
            die(err.detail);
        }
        one[r] = now_s() - start;
    }
    tell("fit of 240 runs from one start", one, REPEATS, 1e-3, "ms");
    for (int r = 0; r < GRIDS; r++) {
        const double start = now_s();
        evaluations = grid();
        all[r] = now_s() - start;
    }
    tell("the grid of 4,500 starts, 2 threads", all, GRIDS, 1.0, "s ");
    printf("evaluations per start                        %.1f   (asked: the grid within 2 s)\n",
           (double)evaluations / 4500.0);
}

static void bench_losses(void)
{
    static const char *const IDS[] = {"besiroglu2024", "yun2024-reconstructed", "ludziejewski2025",
                                      "abnar2025", "zhao2025"};
    for (size_t k = 0; k < sizeof IDS / sizeof *IDS; k++) {
        const struct lq_law *of = lq_law_find(IDS[k]);
        double times[REPEATS];
        char what[64];
        for (int r = 0; r < REPEATS; r++) {
            const double experts = of->experts_fixed > 0.0 ? of->experts_fixed : 8.0;
            struct lq_law_point point = lq_law_point_of(of, &of->family, 1e9, 2e10, experts);
            const double start = now_s();
            for (int i = 0; i < LOSSES; i++) {
                double loss = 0.0;
                point.tokens += 1e3;
                if (lq_law_loss(of, &point, &loss, NULL) != LQ_OK) {
                    die("a loss was refused");
                }
                sink += loss;
            }
            times[r] = (now_s() - start) / LOSSES;
        }
        snprintf(what, sizeof what, "loss, checked: %s", IDS[k]);
        tell(what, times, REPEATS, 1e-9, "ns");
    }
}

int main(int argc, char **argv)
{
    read_runs(argc > 1 ? argv[1] : "");
    bench_losses();
    bench_objective();
    bench_fits();
    return sink > 0.0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
