/* Bodies of POST /v1/plans, decoded; of some, the written answer. */
#include "server/api/plans.h"
#include "server/json/plan.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    static struct lq_plan_document document;
    const struct lq_lookup lookup = fuzz_lookup();
    const enum lq_code code = lq_plan_decode(root, &lookup, &document, faults);
    if (code == LQ_OK) {
        lq_plan_document_ask(&document, document.law);
        fuzz_encoded(lq_plan_document_encode(&document));
    }
    lq_plan_release(&document);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(decode, lq_plans_post, data, size);
    return 0;
}
