/* Bodies of POST /v1/scaling-laws: the law, its runs and the settings of their fit. */
#include "server/json/law_fit.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    json_t *root = fuzz_parse(data, size, &faults);
    if (root == NULL) {
        return 0;
    }
    struct lq_law_document posted = {0};
    if (fuzz_decoded(lq_law_decode(root, &posted, &faults), &faults)) {
        const struct lq_lookup lookup = fuzz_lookup();
        struct lq_law_fit_document fit = {0};
        if (posted.runs == NULL) {
            json_decref(lq_law_encode(&posted.law, NULL, true));
        } else {
            (void)fuzz_decoded(lq_law_fit_decode(&posted, &lookup, &fit, &faults), &faults);
        }
        lq_law_fit_release(&fit);
    }
    json_decref(root);
    return 0;
}
