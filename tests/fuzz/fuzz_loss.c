/* Bodies of POST /v1/losses, decoded point by point as they are answered. */
#include "server/json/loss.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    const struct lq_lookup lookup = fuzz_lookup();
    json_t *answer = lq_losses_answer(root, &lookup, faults);
    if (answer == NULL) {
        return faults->items[0].code;
    }
    fuzz_encoded(answer);
    return LQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    return 0;
}
