/* Bodies of PUT /v1/gpus/{id}: decoded, and written as they are listed. */
#include "server/json/catalog.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    json_t *root = fuzz_parse(data, size, &faults);
    if (root == NULL) {
        return 0;
    }
    struct lq_gpu_document document = {0};
    if (fuzz_decoded(lq_gpu_decode(root, &document, &faults), &faults)) {
        json_decref(lq_gpu_encode(&document.gpu));
    }
    json_decref(root);
    return 0;
}
