/* Bodies of POST /v1/comparisons, decoded; of some, the written answer. */
#include "server/api/comparisons.h"
#include "server/json/comparison.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    static struct lq_comparison_document document;
    const struct lq_lookup lookup = fuzz_lookup();
    const enum lq_code code = lq_comparison_decode(root, "A40", &lookup, &document, faults);
    if (code == LQ_OK) {
        fuzz_encoded(lq_comparison_document_encode(&document));
    }
    lq_comparison_release(&document);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(decode, lq_comparisons_post, data, size);
    return 0;
}
