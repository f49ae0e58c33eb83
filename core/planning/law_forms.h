/* The laws by family, as law.c lists them; for the planning wing only. */
#pragma once

#include "core/planning/law.h"

/* A family's forms and laws, each an array of its own file. */
struct lq_law_shelf {
    const struct lq_law_form *const *forms;
    size_t form_count;
    const struct lq_law *laws;
    size_t law_count;
};

extern const struct lq_law_shelf LQ_SHELF_DENSE;
extern const struct lq_law_shelf LQ_SHELF_MUENNIGHOFF2023;
extern const struct lq_law_shelf LQ_SHELF_YUN2024;
extern const struct lq_law_shelf LQ_SHELF_CLARK2022;
extern const struct lq_law_shelf LQ_SHELF_KRAJEWSKI2024;
extern const struct lq_law_shelf LQ_SHELF_LUDZIEJEWSKI2025;
extern const struct lq_law_shelf LQ_SHELF_ABNAR2025;
extern const struct lq_law_shelf LQ_SHELF_ZHAO2025;
extern const struct lq_law_shelf LQ_SHELF_TIAN2025;

/* One row of a form's coefficients by role. Starts are those of arXiv 2203.15556 (appendix D.3):
 * exponents 0..2 step 0.5, log-amplitudes 0..25 step 5, the irreducible loss' logarithm -1..1 step
 * 0.5. The bounds only keep a descent from running away. */
#define LQ_AMPLITUDE(id)                                                                           \
    {                                                                                              \
        id, LQ_SCALE_LOG, -40.0, 60.0, 0.0, 5.0, 6                                                 \
    }
#define LQ_EXPONENT(id)                                                                            \
    {                                                                                              \
        id, LQ_SCALE_LINEAR, -1.0, 5.0, 0.0, 0.5, 5                                                \
    }
#define LQ_IRREDUCIBLE(id)                                                                         \
    {                                                                                              \
        id, LQ_SCALE_LOG, -40.0, 10.0, -1.0, 0.5, 5                                                \
    }
/* A coefficient that starts at one place. */
#define LQ_NEAR(id, scale, lower, upper, first)                                                    \
    {                                                                                              \
        id, scale, lower, upper, first, 0.0, 1                                                     \
    }
