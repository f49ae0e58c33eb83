/* Logs of torchtune and their settings. */
#include "tests/fuzz/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"log_1729843200.txt", "torchtune_config.yaml", NULL};
    fuzz_import(NAMES, "", data, size);
    return 0;
}
