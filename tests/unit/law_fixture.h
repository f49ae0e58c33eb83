/* Posted laws as documents, for the tests of fits. */
#pragma once

#include "server/json/law_fit.h"

/* Decodes a law with runs from JSON in single quotes; without a catalog. False with faults. */
bool read_fit(const char *text, struct lq_law_document *posted,
              struct lq_law_fit_document *document, struct lq_faults *faults);

/* Runs of a dense law with noise that repeats: ",{...},{...}" without the first comma, new. */
char *dense_runs(int count, double noise);
