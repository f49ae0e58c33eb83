/* Price lists as CSV in either layout. */
#include "tests/fuzz/prices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_prices(lq_price_decode_csv, data, size);
    return 0;
}
