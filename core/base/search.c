/* Brent's minimiser and a bracketed secant method. No function is known here. */
#include "core/base/search.h"

#include <math.h>

static const double GOLDEN = 0.3819660112501051;
static const double MINIMUM_TOLERANCE = 1e-9;
static const double CROSSING_TOLERANCE = 1e-13;
enum { STEPS_MAX = 200 };

static double finite_at(const struct lq_line *line, double x)
{
    const double y = line->at(line->context, x);
    return isfinite(y) ? y : HUGE_VAL;
}

/* The three best points so far, the bracket and the last two steps. */
struct dip {
    double lower, upper;
    double x, fx; /* best */
    double w, fw; /* second */
    double v, fv; /* the second before */
    double step, before;
};

/* A step to the vertex of the parabola through the three points; 0 where it cannot be trusted. */
static double parabola(const struct dip *dip, double tolerance)
{
    const double r = (dip->x - dip->w) * (dip->fx - dip->fv);
    const double q = (dip->x - dip->v) * (dip->fx - dip->fw);
    const double top = (dip->x - dip->v) * q - (dip->x - dip->w) * r;
    const double bottom = 2.0 * (r - q);
    const double step = top / bottom;
    if (!isfinite(step) || fabs(step) >= 0.5 * fabs(dip->before) ||
        dip->x + step <= dip->lower + tolerance || dip->x + step >= dip->upper - tolerance) {
        return 0.0;
    }
    return step;
}

static void narrow(struct dip *dip, double u, double fu)
{
    if (fu <= dip->fx) {
        *(u < dip->x ? &dip->upper : &dip->lower) = dip->x;
        dip->v = dip->w;
        dip->fv = dip->fw;
        dip->w = dip->x;
        dip->fw = dip->fx;
        dip->x = u;
        dip->fx = fu;
        return;
    }
    *(u < dip->x ? &dip->lower : &dip->upper) = u;
    if (fu <= dip->fw || dip->w == dip->x) {
        dip->v = dip->w;
        dip->fv = dip->fw;
        dip->w = u;
        dip->fw = fu;
    } else if (fu <= dip->fv || dip->v == dip->x || dip->v == dip->w) {
        dip->v = u;
        dip->fv = fu;
    }
}

double lq_search_minimum(const struct lq_line *line, double lower, double upper, double *least)
{
    const double start = lower + GOLDEN * (upper - lower);
    struct dip dip = {.lower = lower, .upper = upper, .x = start, .w = start, .v = start};
    dip.fx = dip.fw = dip.fv = finite_at(line, start);
    for (int i = 0; i < STEPS_MAX; i++) {
        const double middle = 0.5 * (dip.lower + dip.upper);
        const double tolerance = MINIMUM_TOLERANCE * (fabs(dip.x) + 1.0);
        if (fabs(dip.x - middle) <= 2.0 * tolerance - 0.5 * (dip.upper - dip.lower)) {
            break;
        }
        double step = fabs(dip.before) > tolerance ? parabola(&dip, tolerance) : 0.0;
        if (step != 0.0) {
            dip.before = dip.step;
        } else {
            dip.before = (dip.x < middle ? dip.upper : dip.lower) - dip.x;
            step = GOLDEN * dip.before;
        }
        dip.step = fabs(step) >= tolerance ? step : copysign(tolerance, step);
        const double u = dip.x + dip.step;
        narrow(&dip, u, finite_at(line, u));
    }
    *least = dip.fx;
    return dip.x;
}

/* Two ends of different sign. */
struct bracket {
    double lower, at_lower;
    double upper, at_upper;
};

/* The secant's guess, pulled a little to the middle so that both ends move; the middle itself where
 * that is the same, and every fourth time. */
static double guess_in(const struct bracket *b, int turn)
{
    const double width = b->upper - b->lower;
    const double middle = 0.5 * (b->lower + b->upper);
    const double secant =
        (b->at_upper * b->lower - b->at_lower * b->upper) / (b->at_upper - b->at_lower);
    const double pull = 0.1 * width * fmin(1.0, width);
    const double guess = secant + copysign(pull, middle - secant);
    const bool usable = fabs(middle - secant) > pull && guess > b->lower && guess < b->upper;
    return usable && turn % 4 != 3 ? guess : middle;
}

bool lq_search_crossing(const struct lq_line *line, double lower, double upper, double *x)
{
    struct bracket b = {lower, line->at(line->context, lower), upper,
                        line->at(line->context, upper)};
    if (!(b.at_lower * b.at_upper <= 0.0)) {
        return false;
    }
    const double rising = b.at_upper > b.at_lower ? 1.0 : -1.0;
    for (int i = 0; i < STEPS_MAX; i++) {
        if (b.upper - b.lower <= CROSSING_TOLERANCE * (fabs(b.lower + b.upper) + 1.0)) {
            break;
        }
        const double guess = guess_in(&b, i);
        const double y = line->at(line->context, guess);
        if (y * rising > 0.0) {
            b.upper = guess;
            b.at_upper = y;
        } else {
            b.lower = guess;
            b.at_lower = y;
        }
    }
    *x = 0.5 * (b.lower + b.upper);
    return true;
}
