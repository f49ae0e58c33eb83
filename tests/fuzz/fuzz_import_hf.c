/* Logs of the Hugging Face Trainer and what lies beside them. */
#include "tests/fuzz/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"trainer_state.json", "adapter_config.json",
                                        "all_results.json",   "training_args.json",
                                        "config.json",        NULL};
    fuzz_import(NAMES, "", data, size);
    return 0;
}
