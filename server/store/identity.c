/* Enumerations are stored by their API names, so that their order in the program may change. */
#include "server/store/identity.h"

#include <stdio.h>
#include <string.h>

static void bind_layout(struct lq_statement *statement, int first, const struct lq_layout *layout)
{
    const int64_t sizes[LQ_LAYOUT_WIDTH] = {layout->data,       layout->tensor,  layout->pipeline,
                                            layout->expert,     layout->context, layout->zero_stage,
                                            layout->zero_group, layout->nodes};
    for (int i = 0; i < LQ_LAYOUT_WIDTH; i++) {
        lq_bind_count(statement, first + i, sizes[i]);
    }
}

struct lq_layout lq_layout_read(const struct lq_statement *statement, int first)
{
    return (struct lq_layout){.data = lq_column_count(statement, first),
                              .tensor = lq_column_count(statement, first + 1),
                              .pipeline = lq_column_count(statement, first + 2),
                              .expert = lq_column_count(statement, first + 3),
                              .context = lq_column_count(statement, first + 4),
                              .zero_stage = (int)lq_column_count(statement, first + 5),
                              .zero_group = lq_column_count(statement, first + 6),
                              .nodes = lq_column_count(statement, first + 7)};
}

void lq_identity_bind(struct lq_statement *statement, int first, const struct lq_identity *identity)
{
    const struct lq_method *method = &identity->method;
    lq_bind_text(statement, first, identity->model);
    lq_bind_text(statement, first + 1, identity->gpu);
    lq_bind_text(statement, first + 2, identity->stack);
    lq_bind_count(statement, first + 3, identity->gpu_count);
    lq_bind_text(statement, first + 4, LQ_METHOD_NAMES[method->kind]);
    lq_bind_count(statement, first + 5, method->rank);
    lq_bind_count(statement, first + 6, method->targets);
    lq_bind_text(statement, first + 7, LQ_QUANTIZATION_NAMES[method->quantization]);
    lq_bind_count(statement, first + 8, method->train_embeddings);
    lq_bind_text(statement, first + 9, LQ_PRECISION_NAMES[identity->precision]);
    lq_bind_text(statement, first + 10, LQ_OPTIMIZER_NAMES[identity->optimizer]);
    lq_bind_text(statement, first + 11, LQ_CHECKPOINTING_NAMES[identity->checkpointing]);
    lq_bind_text(statement, first + 12, LQ_ATTENTION_NAMES[identity->attention]);
    lq_bind_count(statement, first + 13, identity->master_weights);
    lq_bind_count(statement, first + 14, identity->options);
    bind_layout(statement, first + 15, &identity->layout);
}

enum lq_code lq_column_name(const struct lq_statement *statement, int column,
                            const char *const *names, int *index, struct lq_error *err)
{
    const char *text = lq_column_text(statement, column);
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *index = i;
            return LQ_OK;
        }
    }
    return lq_fail(err, LQ_ESTORE, NULL, "a stored row says \"%s\" where one of %s, ... stands",
                   text, names[0]);
}

void lq_column_copy(const struct lq_statement *statement, int column, char *text, size_t size)
{
    snprintf(text, size, "%s", lq_column_text(statement, column));
}

enum lq_code lq_identity_read(const struct lq_statement *statement, int first,
                              struct lq_identity *identity, struct lq_error *err)
{
    int kind = 0;
    int quantization = 0;
    int precision = 0;
    int optimizer = 0;
    int checkpointing = 0;
    int attention = 0;
    LQ_TRY(lq_column_name(statement, first + 4, LQ_METHOD_NAMES, &kind, err));
    LQ_TRY(lq_column_name(statement, first + 7, LQ_QUANTIZATION_NAMES, &quantization, err));
    LQ_TRY(lq_column_name(statement, first + 9, LQ_PRECISION_NAMES, &precision, err));
    LQ_TRY(lq_column_name(statement, first + 10, LQ_OPTIMIZER_NAMES, &optimizer, err));
    LQ_TRY(lq_column_name(statement, first + 11, LQ_CHECKPOINTING_NAMES, &checkpointing, err));
    LQ_TRY(lq_column_name(statement, first + 12, LQ_ATTENTION_NAMES, &attention, err));
    *identity = (struct lq_identity){
        .gpu_count = lq_column_count(statement, first + 3),
        .method = {.kind = (enum lq_method_kind)kind,
                   .rank = lq_column_count(statement, first + 5),
                   .targets = (uint32_t)lq_column_count(statement, first + 6),
                   .quantization = (enum lq_quantization)quantization,
                   .train_embeddings = lq_column_count(statement, first + 8) != 0},
        .precision = (enum lq_precision)precision,
        .optimizer = (enum lq_optimizer)optimizer,
        .checkpointing = (enum lq_checkpointing)checkpointing,
        .attention = (enum lq_attention)attention,
        .master_weights = lq_column_count(statement, first + 13) != 0,
        .options = (uint32_t)lq_column_count(statement, first + 14),
        .layout = lq_layout_read(statement, first + 15),
    };
    lq_column_copy(statement, first, identity->model, sizeof identity->model);
    lq_column_copy(statement, first + 1, identity->gpu, sizeof identity->gpu);
    lq_column_copy(statement, first + 2, identity->stack, sizeof identity->stack);
    return LQ_OK;
}
