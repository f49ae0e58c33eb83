/* Decodes price lists and looks at their rows. */
#include "tests/fuzz/prices.h"

#include "tests/fuzz/server.h"

#include <math.h>

void fuzz_prices(fuzz_sheet_decoder decode, const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    char *body = fuzz_begin(data, size);
    const struct lq_lookup lookup = fuzz_lookup();
    const struct lq_price_terms terms = {
        .provider = "fuzz", .date = "2026-01-01", .source = "fuzz", .lookup = &lookup};
    struct lq_price_sheet sheet = {0};
    if (fuzz_decoded(decode(body, size, &terms, &sheet, &faults), &faults)) {
        for (size_t i = 0; i < sheet.count; i++) {
            const struct lq_price_row *row = &sheet.rows[i];
            if (!isfinite(row->usd_per_h) || !isfinite(row->spot_usd_per_h) || row->gpu_count < 1) {
                fuzz_fail("row %zu has a price that is none", row->place);
            }
        }
        fuzz_encoded(lq_price_skips_encode(&sheet.skips));
    }
    lq_price_sheet_release(&sheet);
    fuzz_end(body);
}
