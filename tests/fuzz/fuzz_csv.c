/* CSV: records, and their fields as numbers. */
#include "server/csv.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>

/* Reads on behind a bad record, as long as the reader gets on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_csv csv;
    struct lq_error err = {0};
    if (lq_csv_open(&csv, "fuzz.csv", (const char *)data, size, NULL, &err) != LQ_OK) {
        return 0;
    }
    bool more = true;
    for (size_t records = 0; more; records++) {
        err = (struct lq_error){0};
        if (records > size) {
            fuzz_fail("the reader does not get on");
        }
        if (lq_csv_next(&csv, &more, &err) != LQ_OK || !more) {
            continue;
        }
        for (size_t i = 0; i < csv.count; i++) {
            double number = 0.0;
            int64_t count = 0;
            if (lq_csv_number(&csv, i, 1.0, &number, &err) == LQ_OK && !isfinite(number)) {
                fuzz_fail("a number that is not finite: %s", csv.fields[i]);
            }
            if (lq_csv_count(&csv, i, 1, &count, &err) != LQ_OK && err.detail[0] == '\0') {
                fuzz_fail("refused without a word");
            }
        }
    }
    return 0;
}
