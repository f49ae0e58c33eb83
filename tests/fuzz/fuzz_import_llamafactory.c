/* Logs of LLaMA-Factory and what lies beside them. */
#include "tests/fuzz/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"trainer_log.jsonl", "training_args.yaml",
                                        "all_results.json", NULL};
    fuzz_import(NAMES, "", data, size);
    return 0;
}
