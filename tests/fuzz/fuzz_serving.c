/* Bodies of POST /v1/servings, decoded; of some, the written answer. */
#include "server/api/servings.h"
#include "server/json/serving.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    static struct lq_serving_document document;
    const struct lq_lookup lookup = fuzz_lookup();
    const enum lq_code code = lq_serving_decode(root, &lookup, &document, faults);
    if (code == LQ_OK) {
        fuzz_encoded(lq_serving_document_encode(&document));
    }
    lq_serving_release(&document);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(decode, lq_servings_post, data, size);
    return 0;
}
