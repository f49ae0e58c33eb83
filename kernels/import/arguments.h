/* Training arguments of Transformers, which LLaMA-Factory takes too, from JSON or from YAML. */
#pragma once

#include "kernels/import/file.h"

/* Where arguments stand: exactly one of the two readers is set. */
struct lq_import_arguments {
    const struct lq_log_document *json;
    const struct lq_import_text *yaml;
    const char *from;
};

/* One argument as text, number or flag. False where it is not there. */
bool lq_argument_text(const struct lq_import_arguments *arguments, const char *name, char *out,
                      size_t size);
bool lq_argument_number(const struct lq_import_arguments *arguments, const char *name, double *out);
bool lq_argument_flag(const struct lq_import_arguments *arguments, const char *name);

/* Says what the arguments tell: batch size, accumulation, checkpointing, precision, optimizer,
 * sharding. */
void lq_import_say_arguments(struct lq_import_run *run,
                             const struct lq_import_arguments *arguments);
