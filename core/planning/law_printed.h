/* The results that Yun et al. 2024 (arXiv 2404.02852) print, beside what a set of coefficients for
 * its form makes of them: what a reconstructed set is worth, worked out anew each time. */
#pragma once

#include "core/planning/law.h"

#include <stddef.h>

struct lq_printed_result {
    const char *what; /* in words, with the budget */
    double printed;
    double reproduced; /* 0 where the law cannot say */
};

enum { LQ_PRINTED_RESULTS = 10 };

/* Fills the printed results for a law of the form yun2024 and returns how many there are; 0 for a
 * law of another form. Sizes are of N, or of activated parameters where the set is read so. */
size_t lq_law_printed(const struct lq_law *law, struct lq_printed_result out[LQ_PRINTED_RESULTS]);
