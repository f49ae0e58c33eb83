/* Tells outliers by fits that have not seen them. What is done with them stands in refit.c. */
#include "server/jobs/outliers.h"

#include "server/jobs/refit.h"
#include "server/jobs/refit_step.h"

#include <stdint.h>
#include <string.h>

/* Of 155 public rows, nine in ten are met within 38 % by fits that know nothing of their source,
 * and every counted step without any fit within a factor of three (GET /v1/validation, grades):
 * what is off by more than that, both ways, was measured on something else or misread. */
static const double OUTLIER_RATIO = 3.0;

/* A fit gives way to a point it is made with, but not from OUTLIER_RATIO to less than this: honest
 * points lie within 23 % (90th percentile, by point). It costs a second fit, never a verdict. */
static const double SUSPECT_RATIO = 1.5;

/* Fits that points are held against. */
struct jury {
    const struct lq_catalog *catalog;
    const struct lq_fit *fits;
    size_t count;
    bool partial; /* they were made with the points */
    double ratio; /* beyond which a point is off, faster or slower */
};

/* The fit of the narrowest scope that speaks for an identity; NULL: there is none. */
static const struct lq_fit *fit_for(const struct jury *jury, const struct lq_identity *identity)
{
    const struct lq_fit *best = NULL;
    for (size_t i = 0; i < jury->count; i++) {
        const struct lq_fit *fit = &jury->fits[i];
        if (fit->kind != LQ_FIT_STEP_TIME || (best != NULL && fit->scope <= best->scope)) {
            continue;
        }
        const struct lq_identity of = lq_scope_identity(identity, fit->scope);
        if (lq_identity_equal(&of, &fit->identity)) {
            best = fit;
        }
    }
    return best;
}

/* Queries per second that the fit for a point says; 0: nothing. A fit to one point alone follows it
 * wherever it is: then what it started from speaks, which knows nothing of the point. */
static double expect(const struct jury *jury, const struct lq_point *point)
{
    const struct lq_fit *fit = fit_for(jury, &point->identity);
    if (fit == NULL) {
        return 0.0;
    }
    if (!jury->partial || fit->scope != LQ_SCOPE_IDENTITY || fit->points > 1) {
        return lq_fit_predict_point(jury->catalog, fit, point);
    }
    struct lq_fit start = *fit;
    memcpy(start.coefficient, fit->prior, sizeof start.coefficient);
    return lq_fit_predict_point(jury->catalog, &start, point);
}

static bool is_off(const struct jury *jury, const struct lq_point *point)
{
    const double expected = expect(jury, point);
    return expected > 0.0 && (point->queries_per_s > jury->ratio * expected ||
                              point->queries_per_s * jury->ratio < expected);
}

/* The snapshot of posted points is still being built: nobody else sees them yet. */
static void mark(const struct lq_point *point, bool outlier)
{
    ((struct lq_point *)(uintptr_t)point)->outlier = outlier;
}

size_t lq_outliers_suspect(const struct lq_catalog *catalog, const struct lq_fit *fits,
                           size_t fit_count)
{
    const struct jury jury = {catalog, fits, fit_count, true, SUSPECT_RATIO};
    size_t suspects = 0;
    for (size_t i = 0; i < catalog->point_count; i++) {
        const struct lq_point *point = &catalog->points[i];
        if (!point->shipped && point->confirmed_at[0] == '\0' && lq_point_is_fitted(point) &&
            is_off(&jury, point)) {
            mark(point, true);
            suspects++;
        }
    }
    return suspects;
}

size_t lq_outliers_clear(const struct lq_catalog *catalog, const struct lq_fit *fits,
                         size_t fit_count)
{
    const struct jury jury = {catalog, fits, fit_count, false, OUTLIER_RATIO};
    size_t cleared = 0;
    for (size_t i = 0; i < catalog->point_count; i++) {
        const struct lq_point *point = &catalog->points[i];
        if (point->outlier && !is_off(&jury, point)) {
            mark(point, false);
            cleared++;
        }
    }
    return cleared;
}
