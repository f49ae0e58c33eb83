/* Points of POST /v1/calibrations: decoded, and written as they are listed. */
#include "server/json/calibration.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    struct lq_point_document document;
    const struct lq_lookup lookup = fuzz_lookup();
    LQ_TRY(lq_point_decode(root, "/points/0", &lookup, &document, faults));
    fuzz_encoded(lq_point_encode(&document.point));
    fuzz_encoded(lq_identity_encode(&document.point.identity));
    return LQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    return 0;
}
