/* Bodies of POST /v1/scaling-laws: the law, its runs and the settings of their fit. */
#include "server/json/law_fit.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    struct lq_law_document posted = {0};
    LQ_TRY(lq_law_decode(root, &posted, faults));
    if (posted.runs == NULL) {
        fuzz_encoded(lq_law_encode(&posted.law, NULL, true));
        return LQ_OK;
    }
    const struct lq_lookup lookup = fuzz_lookup();
    struct lq_law_fit_document fit = {0};
    const enum lq_code code = lq_law_fit_decode(&posted, &lookup, &fit, faults);
    lq_law_fit_release(&fit);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    return 0;
}
