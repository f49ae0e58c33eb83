/* Price lists as CSV in either layout. */
#include "server/json/price_sheet.h"
#include "tests/fuzz/server.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    char *body = fuzz_text(data, size);
    const struct lq_lookup lookup = fuzz_lookup();
    const struct lq_price_terms terms = {
        .provider = "fuzz", .date = "2026-01-01", .source = "fuzz", .lookup = &lookup};
    struct lq_price_sheet sheet = {0};
    const enum lq_code code = lq_price_decode_csv(body, size, &terms, &sheet, &faults);
    if (fuzz_decoded(code, &faults)) {
        for (size_t i = 0; i < sheet.count; i++) {
            const struct lq_price_row *row = &sheet.rows[i];
            if (!isfinite(row->usd_per_h) || !isfinite(row->spot_usd_per_h) || row->gpu_count < 1) {
                fuzz_fail("row %zu has a price that is none", row->place);
            }
        }
        json_decref(lq_price_skips_encode(&sheet.skips));
    }
    lq_price_sheet_release(&sheet);
    free(body);
    return 0;
}
