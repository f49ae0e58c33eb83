/* Problems (RFC 9457): the one place that knows which status a code has and how faults are told. */
#pragma once

#include "server/json/faults.h"

#include <jansson.h>
#include <stddef.h>

/* The HTTP status of a code. LQ_OK is 200. */
int lq_problem_status(enum lq_code code);

/* The problem that `faults` (at least one) amount to; the first decides type, title and status.
 * Faults of a document are listed under `errors`, with `error_count` where there are more than are
 * kept. A status of 500 and above tells nothing of the inside. `instance` is the request id.
 * The value is new; NULL when out of memory. */
json_t *lq_problem_new(const struct lq_faults *faults, const char *instance);

/* The same as text (lq_text_free). */
char *lq_problem_encode(const struct lq_faults *faults, const char *instance, size_t *size);
