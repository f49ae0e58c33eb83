/* Points of POST /v1/calibrations: decoded, and written as they are listed. */
#include "server/json/calibration.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    json_t *root = fuzz_parse(data, size, &faults);
    if (root == NULL) {
        return 0;
    }
    struct lq_point_document document;
    const struct lq_lookup lookup = fuzz_lookup();
    if (fuzz_decoded(lq_point_decode(root, "/points/0", &lookup, &document, &faults), &faults)) {
        json_decref(lq_point_encode(&document.point));
        json_decref(lq_identity_encode(&document.point.identity));
    }
    json_decref(root);
    return 0;
}
