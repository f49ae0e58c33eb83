/* Bodies of PUT /v1/gpus/{id}: decoded, and written as they are listed. */
#include "server/json/catalog.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    struct lq_gpu_document document = {0};
    LQ_TRY(lq_gpu_decode(root, &document, faults));
    fuzz_encoded(lq_gpu_encode(&document.gpu));
    return LQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    return 0;
}
