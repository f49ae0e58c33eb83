/* What the decoders of price lists have in common: room for rows, and what a whole list must be.
 * For them alone. */
#pragma once

#include "server/json/price.h"

#include <stdbool.h>

/* USD per hour; nothing on offer is near either bound: of the shipped prices the least is some 0.1,
 * the most some 100. */
#define LQ_PRICE_USD_MIN 1e-9
#define LQ_PRICE_USD_MAX 1e6
enum { LQ_PRICE_GPUS_MAX = 4096 };

/* Room for one more row, zeroed, at its place; NULL and a fault where there is none. */
struct lq_price_row *lq_price_sheet_add(struct lq_price_sheet *sheet, size_t place,
                                        struct lq_faults *faults);

/* Sorts; faults for offers that are there twice, or, with `merge`, the cheapest of each in place of
 * all; a fault where nothing is left and there is none yet. Returns the first fault's code. */
LQ_MUST_USE enum lq_code lq_price_sheet_finish(struct lq_price_sheet *sheet, bool merge,
                                               struct lq_faults *faults);

/* Whether a text is UTF-8 without control characters, shorter than LQ_PRICE_TEXT_MAX. */
bool lq_price_text_is_plain(const char *text);

/* The catalog id of what SkyPilot calls an accelerator, on that instance type; NULL where there is
 * none. The same name without its punctuation counts as the same. */
const char *lq_price_gpu(const char *name, const char *instance_type);
/* Whether two names have the same letters and digits, of any case. */
bool lq_price_is_same_name(const char *a, const char *b);
/* The k-th id that lq_price_gpu may answer, NULL behind the last. */
const char *lq_price_gpu_at(size_t k);
