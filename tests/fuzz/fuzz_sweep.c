/* Bodies of POST /v1/sweeps, from the decoder to the written answer. */
#include "server/api/sweeps.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(lq_sweeps_post, data, size);
    return 0;
}
