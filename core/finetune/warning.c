/* The warnings of an estimate: their codes and what they say. When each is given stands where its
 * cause is found. */
#include "core/finetune/estimate.h"

const char *const LQ_WARNING_CODES[] = {
    [LQ_WARN_PRIOR] = "prior",
    [LQ_WARN_TRANSFERRED] = "transferred",
    [LQ_WARN_MEMORY_PRIOR] = "memory-prior",
    [LQ_WARN_MEMORY_TRANSFERRED] = "memory-transferred",
    [LQ_WARN_MAY_NOT_FIT] = "may-not-fit",
    [LQ_WARN_BATCH_MEASURED] = "batch-measured",
    [LQ_WARN_OUTSIDE_POINTS] = "outside-measured-range",
    [LQ_WARN_PAPER_FORM] = "paper-form",
    [LQ_WARN_EQ1_PRINTED] = "eq1-printed",
    [LQ_WARN_RATE_FALLBACK] = "rate-fallback",
    [LQ_WARN_MEMORY_NOMINAL] = "memory-nominal",
    [LQ_WARN_CONTEXT] = "beyond-context",
    [LQ_WARN_NO_BF16] = "no-bf16",
    [LQ_WARN_STACK] = "stack-not-measured",
    [LQ_WARN_INTERNODE] = "internode-assumed",
    [LQ_WARN_BATCH_OVER_DATA] = "batch-over-data",
    [LQ_WARN_LAYOUT] = "layout-not-in-stack",
};
const char *const LQ_WARNING_DETAILS[] = {
    [LQ_WARN_PRIOR] = "nothing was measured for a job like this: the throughput is physics with "
                      "default efficiencies and may be off by a factor of two or more",
    [LQ_WARN_TRANSFERRED] = "measured on another identity and carried over by physics; calibrate "
                            "this one for a narrower interval",
    [LQ_WARN_MEMORY_TRANSFERRED] = "the activations of this model were measured under other "
                                   "settings or on another stack",
    [LQ_WARN_MEMORY_PRIOR] = "the memory of this model, method and stack was never measured: "
                             "activations are counted, not fitted",
    [LQ_WARN_MAY_NOT_FIT] =
        "the batch is above the largest estimated to fit but within its interval",
    [LQ_WARN_BATCH_MEASURED] =
        "the batch is above the memory model's largest, but was measured to run",
    [LQ_WARN_OUTSIDE_POINTS] = "the padded tokens of a step lie outside those that were measured",
    [LQ_WARN_PAPER_FORM] =
        "the paper's logarithmic form has no limit at either end; outside its data "
        "prefer the default estimator",
    [LQ_WARN_EQ1_PRINTED] =
        "the pair printed for Eq. 1 does not reproduce the paper's own measured "
        "batch sizes",
    [LQ_WARN_RATE_FALLBACK] =
        "the catalog has no matrix rate of this precision for this GPU: another "
        "rate was taken",
    [LQ_WARN_MEMORY_NOMINAL] =
        "the memory that the driver reports is not known: the nominal capacity "
        "was taken",
    [LQ_WARN_NO_BF16] = "this device has no bf16 matrix units: the fp16 rate was taken",
    [LQ_WARN_STACK] = "nothing was measured on this stack: its times are physics with the factors "
                      "of others, and the interval is widened by what stacks differ by",
    [LQ_WARN_INTERNODE] = "the GPUs are spread over nodes and internode_gb_s was not given: the "
                          "network such nodes usually have was taken",
    [LQ_WARN_CONTEXT] = "rows are longer than the context the model was made for",
    [LQ_WARN_BATCH_OVER_DATA] = "one batch holds more queries than the data set",
    [LQ_WARN_LAYOUT] = "the layout is estimated though the stack is not known to offer all of its "
                       "kinds of parallelism with this method",
};
