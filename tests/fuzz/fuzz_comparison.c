/* Bodies of POST /v1/comparisons, from the decoder to the written answer. */
#include "server/api/comparisons.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(lq_comparisons_post, data, size);
    return 0;
}
