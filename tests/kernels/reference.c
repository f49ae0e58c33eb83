/* Vectors and comparisons for tests of the backends; no reference of any operation. */
#include "tests/kernels/reference.h"
#include "tests/kernels/subject.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENT_MAX = 4096 };

static void *lent[LENT_MAX];
static size_t lent_count;

void *lend(size_t n, size_t size)
{
    ck_assert_uint_lt(lent_count, LENT_MAX);
    void *memory = calloc(n + 1, size);
    ck_assert_ptr_nonnull(memory);
    lent[lent_count++] = memory;
    return memory;
}

void release_all(void)
{
    while (lent_count > 0) {
        free(lent[--lent_count]);
    }
    close_devices();
}

/* splitmix64 (public domain, S. Vigna), as a number in (0, 1). */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return ((double)(z >> 11) + 0.5) * 0x1p-53;
}

float *random_floats(size_t n, uint64_t seed, double scale)
{
    float *x = lend(n, sizeof *x);
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        const double radius = sqrt(-2.0 * log(uniform(&state)));
        x[i] = (float)(scale * radius * cos(2.0 * M_PI * uniform(&state)));
    }
    return x;
}

float *poisoned_floats(size_t n)
{
    float *x = lend(n, sizeof *x);
    memset(x, 0xff, n * sizeof *x);
    return x;
}

int32_t *poisoned_indices(size_t n)
{
    int32_t *x = lend(n, sizeof *x);
    memset(x, 0x80, n * sizeof *x);
    return x;
}

float *zero_floats(size_t n)
{
    return lend(n, sizeof(float));
}

double *zero_doubles(size_t n)
{
    return lend(n, sizeof(double));
}

float *copy_floats(const float *x, size_t n)
{
    float *copy = lend(n, sizeof *copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

double *widen(const float *x, size_t n)
{
    double *wide = lend(n, sizeof *wide);
    for (size_t i = 0; i < n; i++) {
        wide[i] = (double)x[i];
    }
    return wide;
}

double relative_error(const float *got, const double *want, size_t n)
{
    double off = 0.0;
    double size = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - want[i];
        off += d * d;
        size += want[i] * want[i];
    }
    const double error = size > 0.0 ? sqrt(off / size) : sqrt(off);
    return isnan(error) ? HUGE_VAL : error;
}

void assert_near(const char *what, const float *got, const double *want, size_t n, double tolerance)
{
    const double error = relative_error(got, want, n);
    ck_assert_msg(error <= tolerance, "%s: relative error %g of %g allowed, %zu numbers", what,
                  error, tolerance, n);
}

bool same_bytes(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

void assert_same(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n && !same_bytes(got, want, n * sizeof got[0]); i++) {
        ck_assert_msg(same_bytes(&got[i], &want[i], sizeof got[i]), "%s: [%zu] is %.9g, not %.9g",
                      what, i, (double)got[i], (double)want[i]);
    }
}

double *gradient_of(loss_fn *loss, const void *context, double *x, size_t n)
{
    double *gradient = lend(n, sizeof *gradient);
    for (size_t i = 0; i < n; i++) {
        const double at = x[i];
        /* cube root of double's epsilon: the best step of a central difference */
        const double step = 6e-6 * fmax(1.0, fabs(at));
        x[i] = at + step;
        const double above = loss(context);
        x[i] = at - step;
        const double below = loss(context);
        x[i] = at;
        gradient[i] = (above - below) / (2.0 * step);
    }
    return gradient;
}

/* x + step * direction. */
static double loss_along(loss_fn *loss, const void *context, double *x, const float *direction,
                         size_t n, double step)
{
    double *kept = zero_doubles(n);
    memcpy(kept, x, n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] += step * (double)direction[i];
    }
    const double result = loss(context);
    memcpy(x, kept, n * sizeof *x);
    return result;
}

struct slope {
    const char *what;
    double tolerance; /* relative to the gradient's norm */
};

/* Slopes along random directions: of every element some. They vary by the gradient's norm. */
static void assert_slopes(struct slope slope, const float *got, loss_fn *loss, const void *context,
                          double *x, size_t n)
{
    const double step = 6e-6;
    const double *wide = widen(got, n);
    /* 1e-6 is fp32's rounding, for gradients that are 0 */
    const double tolerance = slope.tolerance * sqrt(dot(wide, got, n)) + 1e-6 * sqrt((double)n);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const float *direction = random_floats(n, seed, 1.0);
        const double above = loss_along(loss, context, x, direction, n, step);
        const double below = loss_along(loss, context, x, direction, n, -step);
        const double want = (above - below) / (2.0 * step);
        const double along = dot(wide, direction, n);
        ck_assert_msg(fabs(along - want) <= tolerance,
                      "%s: slope %g, not %g within %g, %zu numbers", slope.what, along, want,
                      tolerance, n);
    }
}

void assert_gradient_within(const char *what, const float *got, loss_fn *loss, const void *context,
                            double *x, size_t n, double tolerance)
{
    enum { PIECE = 4, WHOLE = 60 };
    if (n <= WHOLE) {
        assert_near(what, got, gradient_of(loss, context, x, n), n, tolerance);
        return;
    }
    assert_slopes((struct slope){what, tolerance}, got, loss, context, x, n);
    assert_near(what, got, gradient_of(loss, context, x, PIECE), PIECE, tolerance);
    const size_t last = n - PIECE;
    assert_near(what, got + last, gradient_of(loss, context, x + last, PIECE), PIECE, tolerance);
}

void assert_gradient(const char *what, const float *got, loss_fn *loss, const void *context,
                     double *x, size_t n)
{
    assert_gradient_within(what, got, loss, context, x, n, BACKWARD_TOLERANCE);
}

double dot(const double *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * (double)b[i];
    }
    return sum;
}
