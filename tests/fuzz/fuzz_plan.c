/* Bodies of POST /v1/plans, from the decoder to the written answer. */
#include "server/api/plans.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(lq_plans_post, data, size);
    return 0;
}
