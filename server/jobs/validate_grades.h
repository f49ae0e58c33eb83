/* Holds the default estimator against measurements it has not seen, by grade of evidence. */
#pragma once

#include "core/finetune/evidence.h"
#include "core/finetune/validation.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>

/* What was kept from the fits before they predicted it. */
enum lq_held_out {
    LQ_HELD_OUT_POINT,           /* the point alone */
    LQ_HELD_OUT_IDENTITY,        /* all points of its identity */
    LQ_HELD_OUT_SOURCE,          /* everything its source published */
    LQ_HELD_OUT_SOURCE_BUT_THREE /* the same but three points */
};
extern const char *const LQ_HELD_OUT_NAMES[];

enum lq_quantity { LQ_QUANTITY_THROUGHPUT, LQ_QUANTITY_MEMORY };
extern const char *const LQ_QUANTITY_NAMES[];

enum { LQ_LEVELS = 3 };

/* One group of predictions. */
struct lq_grade_validation {
    enum lq_quantity quantity;
    enum lq_held_out held_out;
    enum lq_basis_kind grade;               /* what an estimate would have called it */
    bool any_grade;                         /* the group is of all grades; `grade` is not set */
    const char *source;                     /* NULL: all published sources */
    bool single_gpu;                        /* only jobs on one GPU */
    struct lq_errors errors;                /* rmse in queries/s or bytes */
    struct lq_coverage coverage[LQ_LEVELS]; /* at 50, 80 and 90 % */
    size_t too_large;                       /* memory: rows that ran out of memory */
    size_t too_large_doubted;               /* those that were answered no, or uncertain at 90 % */
};

struct lq_grade_validations {
    struct lq_grade_validation *row;
    size_t count;
};

/* Computes all of it from a catalog: refits once per source, and once per identity. Release with
 * lq_grade_validations_release. Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_validate_grades(const struct lq_catalog *catalog,
                                            struct lq_grade_validations *out, struct lq_error *err);
void lq_grade_validations_release(struct lq_grade_validations *validations);
