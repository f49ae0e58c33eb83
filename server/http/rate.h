/* How often somebody may ask: token buckets in a table of fixed size. */
#pragma once

#include "core/base/error.h"

#include <stdint.h>

struct lq_rate;

/* Buckets that hold `burst` requests and gain `per_s` a second; both positive, or per_s 0 for no
 * limit (`*rate` is then NULL). `*rate` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_rate_new(double per_s, double burst, struct lq_rate **rate,
                                     struct lq_error *err);
void lq_rate_free(struct lq_rate *rate);

/* Takes one request out of the bucket of `key`, a hash that nobody can aim at. Returns 0 or, where
 * it is empty, the whole seconds (from 1) after which there is one. A key that was not seen for
 * long, or made room for others, begins with a full bucket. now_ns: of a clock that never goes
 * back. From any thread. NULL is no limit. */
int lq_rate_take(struct lq_rate *rate, uint64_t key, int64_t now_ns);
