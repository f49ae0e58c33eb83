/* POST /v1/losses: points of one law, and what it says of them. */
#pragma once

#include "core/planning/law.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stddef.h>

struct lq_lookup;

enum { LQ_LOSS_POINTS_MAX = 10000 };

/* Decodes the request, evaluates every point, and returns the answer as a new value; NULL with
 * faults: LQ_EFIELD, LQ_EREFERENCE (no such law or model), LQ_EIMPOSSIBLE (the law gives no loss,
 * or not for that number of experts), LQ_ETOOLARGE (too many points). */
json_t *lq_losses_answer(const json_t *root, const struct lq_lookup *lookup,
                         struct lq_faults *faults);
