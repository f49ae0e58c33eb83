/* Enumerations are stored by their API names, so that their order in the program may change. */
#include "server/store/identity.h"

#include <stdio.h>
#include <string.h>

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
    LQ_TRY(lq_column_name(statement, first + 4, LQ_METHOD_NAMES, &kind, err));
    LQ_TRY(lq_column_name(statement, first + 7, LQ_QUANTIZATION_NAMES, &quantization, err));
    LQ_TRY(lq_column_name(statement, first + 9, LQ_PRECISION_NAMES, &precision, err));
    LQ_TRY(lq_column_name(statement, first + 10, LQ_OPTIMIZER_NAMES, &optimizer, err));
    LQ_TRY(lq_column_name(statement, first + 11, LQ_CHECKPOINTING_NAMES, &checkpointing, err));
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
    };
    lq_column_copy(statement, first, identity->model, sizeof identity->model);
    lq_column_copy(statement, first + 1, identity->gpu, sizeof identity->gpu);
    lq_column_copy(statement, first + 2, identity->stack, sizeof identity->stack);
    return LQ_OK;
}
