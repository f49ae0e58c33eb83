/* Fits of scaling laws as the API spells them: runs and settings in, what came of it out. */
#pragma once

#include "core/planning/law_fit.h"
#include "server/json/law.h"

#include <jansson.h>
#include <stddef.h>

struct lq_lookup;

enum {
    LQ_FIT_RUNS_MAX = 10000,
    LQ_FIT_STARTS_MAX = 10000,
    LQ_FIT_GRID_MAX = 4500, /* of a form whose grid has more, as many are taken, spread over it */
    LQ_FIT_STARTS_DEFAULT = 500 /* for forms other than the dense ones, whose default is the grid */
};

/* What a fit is made from. Zero-initialise, release. */
struct lq_law_fit_document {
    struct lq_law law; /* its form's own; values of the coefficients in `held` */
    struct lq_law_run *runs;
    size_t run_count;
    unsigned held;    /* coefficients that were fixed, by bit */
    unsigned bounded; /* coefficients that were given bounds of their own, by bit */
    double lower[LQ_LAW_COEFFICIENTS_MAX]; /* of the searched number */
    double upper[LQ_LAW_COEFFICIENTS_MAX];
    size_t start_count; /* of the grid, or of `starts` */
    size_t grid;        /* starts of the form's grid where it was asked for, else 0 */
    double *starts;     /* searched numbers, LQ_LAW_COEFFICIENTS_MAX each; NULL: the grid's */
    size_t bootstrap;   /* samples */
    double confidence;
};

/* Decodes a posted law's runs and settings. Errors: LQ_EFIELD, LQ_EREFERENCE, LQ_EIMPOSSIBLE (the
 * form does not hold for a run's experts), LQ_ETOOLARGE, LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_law_fit_decode(const struct lq_law_document *posted,
                                           const struct lq_lookup *lookup,
                                           struct lq_law_fit_document *out,
                                           struct lq_faults *faults);
/* Safe after a failed decode. */
void lq_law_fit_release(struct lq_law_fit_document *document);

/* What came of a fit. */
struct lq_law_fit_outcome {
    const struct lq_law_form *form;
    struct lq_law_fit fit;
    size_t runs;
    size_t grid;      /* starts of the form's grid where it was asked for, else 0 */
    size_t starts;    /* descents */
    size_t agreeing;  /* that ended within LQ_LAW_AGREEMENT of the best */
    size_t unsettled; /* that did not end */
    unsigned held;
    unsigned at_bound;
    size_t samples; /* bootstrap samples that settled; 0: intervals by standard errors */
    size_t samples_asked;
    double confidence;
    double interval[LQ_LAW_COEFFICIENTS_MAX][2];
};

/* Its members, as they stand beside those of the law, as a new object. */
json_t *lq_law_fit_encode(const struct lq_law_fit_outcome *outcome);
