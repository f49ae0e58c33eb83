/* Least squares for two unknowns. What is timed stands in collectives.c. */
#include "kernels/measure/line.h"

/* Sums over sizes of u = 1 / seconds and v = bytes / seconds: latency u + v / rate is to be 1. */
struct sums {
    double u;
    double v;
    double uu;
    double uv;
    double vv;
};

static struct sums sum(const double *bytes, const double *seconds, int count)
{
    struct sums s = {0};
    for (int i = 0; i < count; i++) {
        const double u = 1.0 / seconds[i];
        const double v = bytes[i] / seconds[i];
        s.u += u;
        s.v += v;
        s.uu += u * u;
        s.uv += u * v;
        s.vv += v * v;
    }
    return s;
}

/* A determinant below that share of its terms is nothing but their rounding. */
#define ROUNDING 1e-12

struct lq_line lq_line_fit(const double *bytes, const double *seconds, int count)
{
    if (count < 1) {
        return (struct lq_line){.latency_s = 0.0};
    }
    const struct sums s = sum(bytes, seconds, count);
    const double determinant = s.uu * s.vv - s.uv * s.uv;
    const double latency = s.u * s.vv - s.v * s.uv;
    const double slope = s.v * s.uu - s.u * s.uv;
    if (!(determinant > ROUNDING * s.uu * s.vv) || slope <= 0.0) {
        return (struct lq_line){.latency_s = s.u / s.uu};
    }
    if (latency < 0.0) {
        return (struct lq_line){.bytes_per_s = s.vv / s.v};
    }
    return (struct lq_line){.latency_s = latency / determinant, .bytes_per_s = determinant / slope};
}
