/* Tables of measurements. */
#include "tests/fuzz/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"table.csv", NULL};
    fuzz_import(NAMES, "table.csv", data, size);
    return 0;
}
