/* TrainingArguments as facts. Which file they stand in is the importers' to know. */
#include "kernels/import/arguments.h"

#include "kernels/import/config.h"

#include <stdio.h>
#include <string.h>

bool lq_argument_text(const struct lq_import_arguments *arguments, const char *name, char *out,
                      size_t size)
{
    char pointer[96];
    snprintf(pointer, sizeof pointer, "/%s", name);
    return arguments->json != NULL ? lq_log_text(arguments->json, pointer, out, size)
                                   : lq_import_setting(arguments->yaml, name, out, size);
}

bool lq_argument_number(const struct lq_import_arguments *arguments, const char *name, double *out)
{
    char pointer[96];
    snprintf(pointer, sizeof pointer, "/%s", name);
    return arguments->json != NULL ? lq_log_number(arguments->json, pointer, out)
                                   : lq_import_setting_number(arguments->yaml, name, out);
}

bool lq_argument_flag(const struct lq_import_arguments *arguments, const char *name)
{
    char pointer[96];
    bool flag = false;
    snprintf(pointer, sizeof pointer, "/%s", name);
    return (arguments->json != NULL ? lq_log_flag(arguments->json, pointer, &flag)
                                    : lq_import_setting_flag(arguments->yaml, name, &flag)) &&
           flag;
}

static void say_count(struct lq_import_run *run, const struct lq_import_arguments *arguments,
                      enum lq_fact fact, const char *name)
{
    double count = 0.0;
    if (lq_argument_number(arguments, name, &count)) {
        lq_fact_say(&run->facts, fact, arguments->from, "%.15g", count);
    }
}

/* The "z3" of a file's name, or NULL. */
static const char *find_stage(const char *name)
{
    const char *zero = strchr(name, 'z');
    while (zero != NULL && (zero[1] < '0' || zero[1] > '3')) {
        zero = strchr(zero + 1, 'z');
    }
    return zero;
}

/* FSDP's words and DeepSpeed's stages, the latter also by LLaMA-Factory's file names (ds_z3_...).
 */
static void say_sharding(struct lq_import_run *run, const struct lq_import_arguments *arguments)
{
    char fsdp[128] = "";
    char deepspeed[512] = "";
    double stage = 0.0;
    if (!lq_argument_text(arguments, "fsdp", fsdp, sizeof fsdp)) {
        (void)lq_argument_text(arguments, "fsdp/0", fsdp, sizeof fsdp);
    }
    const bool number =
        arguments->json != NULL &&
        lq_log_number(arguments->json, "/deepspeed/zero_optimization/stage", &stage);
    const bool file = lq_argument_text(arguments, "deepspeed", deepspeed, sizeof deepspeed) &&
                      strcmp(deepspeed, "null") != 0;
    const char *zero = file ? find_stage(deepspeed) : NULL;
    if (number || zero != NULL) {
        lq_fact_say(&run->facts, LQ_FACT_ZERO_STAGE, arguments->from, "%.0f",
                    number ? stage : (double)(zero[1] - '0'));
    } else if (strstr(fsdp, "full_shard") != NULL || strstr(fsdp, "shard_grad_op") != NULL) {
        lq_fact_say(&run->facts, LQ_FACT_ZERO_STAGE, arguments->from, "%d",
                    strstr(fsdp, "full_shard") != NULL ? 3 : 2);
    }
    run->sharded = run->sharded || file || number ||
                   (fsdp[0] != '\0' && strcmp(fsdp, "[]") != 0 && strcmp(fsdp, "null") != 0);
}

void lq_import_say_arguments(struct lq_import_run *run, const struct lq_import_arguments *arguments)
{
    char text[128];
    say_count(run, arguments, LQ_FACT_BATCH_SIZE, "per_device_train_batch_size");
    say_count(run, arguments, LQ_FACT_GRADIENT_ACCUMULATION_STEPS, "gradient_accumulation_steps");
    if (lq_argument_flag(arguments, "bf16") || lq_argument_flag(arguments, "pure_bf16")) {
        lq_fact_say(&run->facts, LQ_FACT_PRECISION, arguments->from, "bf16");
    } else if (lq_argument_flag(arguments, "fp16")) {
        lq_fact_say(&run->facts, LQ_FACT_PRECISION, arguments->from, "fp16");
    }
    if (lq_argument_text(arguments, "optim", text, sizeof text)) {
        lq_import_say_optimizer(run, arguments->from, text);
    }
    say_sharding(run, arguments);
}
