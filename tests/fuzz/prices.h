/* Price lists in either of their forms. */
#pragma once

#include "server/json/price_sheet.h"
#include "tests/fuzz/fuzz.h"

/* lq_price_decode_csv or lq_price_decode_json. */
typedef enum lq_code (*fuzz_sheet_decoder)(const char *body, size_t size,
                                           const struct lq_price_terms *terms,
                                           struct lq_price_sheet *out, struct lq_faults *faults);

/* Decodes a list; a row without a price or a GPU is a finding. */
void fuzz_prices(fuzz_sheet_decoder decode, const uint8_t *data, size_t size);
