/* Searches along one line: the minimum of a function with one dip, the crossing of one with a
 * change of sign. */
#pragma once

#include <stdbool.h>

/* A function of one number. */
struct lq_line {
    double (*at)(const void *context, double x);
    const void *context;
};

/* The minimum between `lower` and `upper`, by golden section and parabolas (Brent 1973, chapter 5).
 * Values that are not finite count as infinite. x comes out to about 1e-9 (|x| + 1), which is what
 * function values can tell. Writes the value to *least. */
double lq_search_minimum(const struct lq_line *line, double lower, double upper, double *least);

/* The x between `lower` and `upper` where the function changes its sign, by secants that
 * every fourth step is a halving. Returns false where the ends have one sign. */
bool lq_search_crossing(const struct lq_line *line, double lower, double upper, double *x);
