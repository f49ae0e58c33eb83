/* Models and GPUs that published runs have and the catalog does not list. */
#include "server/store/snapshot.h"

#include <stdio.h>

/* Models stand under "measured:NAME". One that cannot be read any more is left out. */
static enum lq_code load_models(struct lq_loader *loader, struct lq_error *err)
{
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "measured_models", sizeof(struct lq_model), &list, &capacity, err));
    struct lq_model *models = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database,
                             "SELECT name, config_json FROM measured_models"
                             " ORDER BY name COLLATE NOCASE",
                             &statement, err));
    bool row = true;
    size_t count = 0;
    while (count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        char id[LQ_ID_MAX];
        struct lq_error cause = {0};
        snprintf(id, sizeof id, "measured:%.48s", lq_column_text(statement, 0));
        count += loader->hooks->decode_model(id, lq_column_text(statement, 1), &models[count],
                                             &cause) == LQ_OK;
    }
    catalog->measured_models = models;
    catalog->measured_model_count = count;
    return LQ_OK;
}

static enum lq_code load_gpus(struct lq_loader *loader, struct lq_error *err)
{
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "gpus WHERE is_listed = 0", sizeof(struct lq_gpu), &list, &capacity,
                        err));
    struct lq_gpu *gpus = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database,
                             "SELECT " LQ_GPU_COLUMNS " FROM gpus WHERE is_listed = 0 ORDER BY id",
                             &statement, err));
    bool row = true;
    size_t count = 0;
    while (count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        lq_load_gpu(statement, &gpus[count++]);
    }
    catalog->measured_gpus = gpus;
    catalog->measured_gpu_count = count;
    return LQ_OK;
}

enum lq_code lq_load_measured(struct lq_loader *loader, struct lq_error *err)
{
    LQ_TRY(load_models(loader, err));
    return load_gpus(loader, err);
}
