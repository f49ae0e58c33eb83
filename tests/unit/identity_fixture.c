/* See identity_fixture.h. */
#include "tests/unit/identity_fixture.h"

#include <check.h>
#include <stdio.h>

struct lq_identity identity(void)
{
    return (struct lq_identity){
        .model = "m",
        .gpu = "g",
        .stack = "s",
        .gpu_count = 1,
        .method = {.kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR},
        .checkpointing = LQ_CHECKPOINTING_FULL};
}

void change(struct lq_identity *id, int part)
{
    switch (part) {
    case 0:
        id->gpu_count = 8;
        break;
    case 1:
        id->method.rank = 8;
        break;
    case 2:
        id->method.targets = LQ_TARGETS_ATTENTION;
        break;
    case 3:
        id->method.train_embeddings = true;
        break;
    case 4:
        id->precision = LQ_PRECISION_FP32;
        break;
    case 5:
        id->optimizer = LQ_OPTIMIZER_SGD;
        break;
    case 6:
        id->checkpointing = LQ_CHECKPOINTING_NONE;
        break;
    case 7:
        id->method.quantization = LQ_QUANTIZATION_INT8;
        break;
    case 8:
        snprintf(id->gpu, sizeof id->gpu, "x");
        break;
    case 9:
        snprintf(id->stack, sizeof id->stack, "x");
        break;
    case 10:
        id->attention = LQ_ATTENTION_EAGER;
        break;
    case 11:
        id->master_weights = true;
        break;
    case 12:
        id->options = LQ_OPTION_BIT(LQ_OPTION_COMPILE);
        break;
    case 13:
        id->layout.zero_stage = 3;
        break;
    default:
        ck_abort();
    }
}
