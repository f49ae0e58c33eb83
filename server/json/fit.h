/* Fits as they are listed. */
#pragma once

#include "core/finetune/fit.h"

#include <jansson.h>

/* A fit as a new object: what it is of, coefficients by name with unit and standard error,
 * objective, errors on its own points. */
json_t *lq_fit_encode(const struct lq_fit *fit);

/* Names of sources, commas between them, as a new list: "a,b" and "a, b" -> ["a", "b"]. */
json_t *lq_sources_encode(const char *sources);
