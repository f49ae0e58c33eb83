/* Bodies of POST /v1/servings, from the decoder to the written answer. */
#include "server/api/servings.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(lq_servings_post, data, size);
    return 0;
}
