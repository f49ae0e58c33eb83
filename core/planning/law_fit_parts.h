/* What the files of the fit share; for them only. */
#pragma once

#include "core/planning/law_fit.h"

/* The objective of a dense form by its searched numbers, amplitudes taken at the means of ln N and
 * ln D: a line of `centred` is ln(A N^-alpha) at the mean N, and so on. */
double lq_law_fit_dense_objective(const struct lq_law_fit_problem *problem, const double *centred,
                                  double *gradient);

/* Coefficients, by bit, whose directions leave no trace in the runs near `coefficient`. */
unsigned lq_law_fit_flat(const struct lq_law_fit_problem *problem, const double *coefficient);
