/* A measurement's identity as columns of a table, in the order of LQ_IDENTITY_COLUMNS. */
#pragma once

#include "core/base/error.h"
#include "core/finetune/point.h"
#include "server/store/statement.h"

#define LQ_IDENTITY_COLUMNS                                                                        \
    "model_id, gpu_id, stack, gpu_count, method_kind, adapter_rank, targets_bits, quantization, "  \
    "embeddings_are_trained, precision, optimizer, checkpointing, attention, "                     \
    "master_weights_are_kept, options_bits, " LQ_LAYOUT_COLUMNS
#define LQ_LAYOUT_COLUMNS                                                                          \
    "data_ranks_count, tensor_ranks_count, pipeline_stages_count, expert_ranks_count, "            \
    "context_ranks_count, zero_stage_number, zero_group_ranks_count, nodes_count"
enum { LQ_LAYOUT_WIDTH = 8, LQ_IDENTITY_WIDTH = 15 + LQ_LAYOUT_WIDTH };

/* Binds the identity to LQ_IDENTITY_WIDTH parameters from `first`. */
void lq_identity_bind(struct lq_statement *statement, int first,
                      const struct lq_identity *identity);

/* Reads it back from as many columns. Errors: LQ_ESTORE for a name that no release
 * of this program has written. */
LQ_MUST_USE enum lq_code lq_identity_read(const struct lq_statement *statement, int first,
                                          struct lq_identity *identity, struct lq_error *err);

/* A layout from LQ_LAYOUT_WIDTH columns. */
struct lq_layout lq_layout_read(const struct lq_statement *statement, int first);

/* The index of the name in a column, from a NULL-terminated list. Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_column_name(const struct lq_statement *statement, int column,
                                        const char *const *names, int *index, struct lq_error *err);

/* Copies a column's text, cut to `size`. */
void lq_column_copy(const struct lq_statement *statement, int column, char *text, size_t size);
