/* Bodies of POST /v1/losses, from the decoder to the written answer. */
#include "server/api/losses.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(lq_losses_post, data, size);
    return 0;
}
