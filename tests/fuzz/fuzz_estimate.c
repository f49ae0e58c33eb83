/* Bodies of POST /v1/estimates: decoded, estimated, priced and written. */
#include "server/api/estimates.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(lq_estimates_post, data, size);
    return 0;
}
