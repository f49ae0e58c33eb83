/* Price lists as a JSON document. */
#include "tests/fuzz/prices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_prices(lq_price_decode_json, data, size);
    return 0;
}
