/* How often somebody may ask: token buckets in a table of fixed size. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct lq_rate;

/* Buckets that hold `burst` requests and gain `per_s` a second; both positive, or per_s 0 for no
 * limit (`*rate` is then NULL). `*rate` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_rate_new(double per_s, double burst, struct lq_rate **rate,
                                     struct lq_error *err);
void lq_rate_free(struct lq_rate *rate);

/* Takes one request out of the bucket of `key`, a hash that nobody can aim at; false where it is
 * empty. A key that was not seen for long, or makes room for others, begins with a full bucket.
 * now_ns: of a clock that never goes back. From any thread. NULL is no limit. */
bool lq_rate_take(struct lq_rate *rate, uint64_t key, int64_t now_ns);
