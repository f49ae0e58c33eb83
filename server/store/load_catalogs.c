/* Models, GPUs and length distributions from the database into a snapshot. */
#include "server/store/identity.h"
#include "server/store/snapshot.h"

#include <string.h>

/* One row as an entry; `*usable` is false where the configuration is one that this program cannot
 * read (any more): the row stays in the database, and the server stays up. */
static enum lq_code read_model(struct lq_loader *loader, const struct lq_statement *statement,
                               struct lq_model_entry *entry, bool *usable, struct lq_error *err)
{
    bool failed = false;
    struct lq_error cause = {0};
    *entry = (struct lq_model_entry){
        .config = lq_load_text(loader, statement, 1, &failed),
        .published_parameters = lq_column_count(statement, 2),
        .published_active_parameters = lq_column_count(statement, 3),
        .provenance = lq_load_provenance(loader, statement, 4, &failed),
    };
    if (failed) {
        return lq_load_out_of_memory(err);
    }
    const char *id = lq_column_text(statement, 0);
    *usable = loader->hooks->decode_model(id, entry->config, &entry->model, &cause) == LQ_OK;
    if (*usable) {
        lq_column_copy(statement, 0, entry->model.id, sizeof entry->model.id);
        entry->parameters = lq_model_parameters(&entry->model, 0);
    }
    return LQ_OK;
}

enum lq_code lq_load_models(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_MODELS[] =
        "SELECT id, config_json, published_parameters_count, published_active_parameters_count,"
        " source, note, is_recalled, is_shipped FROM models_in_force ORDER BY id";
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "models_in_force", sizeof(struct lq_model_entry), &list, &capacity,
                        err));
    struct lq_model_entry *models = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_MODELS, &statement, err));
    size_t count = 0;
    for (size_t i = 0; i < capacity; i++) {
        bool row = false;
        bool usable = false;
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        LQ_TRY(read_model(loader, statement, &models[count], &usable, err));
        count += usable;
    }
    loader->snapshot->catalog.models = models;
    loader->snapshot->catalog.model_count = count;
    return LQ_OK;
}

void lq_load_gpu(const struct lq_statement *statement, struct lq_gpu *gpu)
{
    *gpu = (struct lq_gpu){
        .memory_bytes = lq_column_number(statement, 4),
        .memory_is_reported = lq_column_count(statement, 5) != 0,
        .memory_nominal_bytes = lq_column_number(statement, 6),
        .memory_bandwidth_bytes_per_s = lq_column_number(statement, 7),
        .fp32_flop_per_s = lq_column_number(statement, 8),
        .tf32_flop_per_s = lq_column_number(statement, 9),
        .fp16_flop_per_s = lq_column_number(statement, 10),
        .fp8_flop_per_s = lq_column_number(statement, 11),
        .int8_op_per_s = lq_column_number(statement, 12),
        .fp4_flop_per_s = lq_column_number(statement, 13),
        .interconnect_bytes_per_s = lq_column_number(statement, 14),
        .pcie_generation = lq_column_count(statement, 15),
        .sm_count = lq_column_count(statement, 16),
        .tdp_w = lq_column_number(statement, 17),
        .l2_bytes = lq_column_number(statement, 18),
        .boost_hz = lq_column_number(statement, 19),
    };
    lq_column_copy(statement, 0, gpu->id, sizeof gpu->id);
    lq_column_copy(statement, 1, gpu->vendor, sizeof gpu->vendor);
    lq_column_copy(statement, 2, gpu->architecture, sizeof gpu->architecture);
    lq_column_copy(statement, 3, gpu->compute_capability, sizeof gpu->compute_capability);
}

enum lq_code lq_load_gpus(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_GPUS[] =
        "SELECT " LQ_GPU_COLUMNS ", source, note, is_recalled, is_shipped"
        " FROM gpus_in_force WHERE is_listed = 1 ORDER BY id";
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "gpus_in_force WHERE is_listed = 1", sizeof(struct lq_gpu_entry),
                        &list, &capacity, err));
    struct lq_gpu_entry *gpus = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_GPUS, &statement, err));
    size_t count = 0;
    bool row = true;
    bool failed = false;
    while (count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        lq_load_gpu(statement, &gpus[count].gpu);
        gpus[count].provenance = lq_load_provenance(loader, statement, 20, &failed);
        count++;
    }
    loader->snapshot->catalog.gpus = gpus;
    loader->snapshot->catalog.gpu_count = count;
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

/* The bins of one distribution, ascending. */
static enum lq_code load_bins(struct lq_loader *loader, struct lq_dataset *dataset,
                              struct lq_error *err)
{
    static const char SELECT_BINS[] =
        "SELECT length_tokens, queries_count, count(*) OVER () FROM dataset_bins"
        " WHERE dataset_id = ?1 ORDER BY length_tokens";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_BINS, &statement, err));
    lq_bind_text(statement, 1, dataset->id);
    bool row = false;
    LQ_TRY(lq_load_next(loader, statement, &row, err));
    size_t capacity = row ? (size_t)lq_column_count(statement, 2) : 0;
    struct lq_length_bin *bins =
        lq_pool_take(&loader->snapshot->pool, capacity, sizeof(struct lq_length_bin));
    if (bins == NULL) {
        return lq_load_out_of_memory(err);
    }
    while (row && dataset->count < capacity) {
        bins[dataset->count++] = (struct lq_length_bin){.tokens = lq_column_count(statement, 0),
                                                        .queries = lq_column_number(statement, 1)};
        dataset->queries += lq_column_number(statement, 1);
        LQ_TRY(lq_load_next(loader, statement, &row, err));
    }
    dataset->bins = bins;
    return LQ_OK;
}

enum lq_code lq_load_datasets(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_DATASETS[] =
        "SELECT id, description, length_unit, source, note, is_recalled, is_shipped"
        " FROM datasets ORDER BY id";
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "datasets", sizeof(struct lq_dataset), &list, &capacity, err));
    struct lq_dataset *datasets = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_DATASETS, &statement, err));
    size_t count = 0;
    bool row = true;
    bool failed = false;
    while (count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        datasets[count] = (struct lq_dataset){
            .id = lq_load_text(loader, statement, 0, &failed),
            .description = lq_load_text(loader, statement, 1, &failed),
            .unit = lq_load_text(loader, statement, 2, &failed),
            .provenance = lq_load_provenance(loader, statement, 3, &failed),
        };
        LQ_TRY(load_bins(loader, &datasets[count], err));
        count++;
    }
    loader->snapshot->catalog.datasets = datasets;
    loader->snapshot->catalog.dataset_count = count;
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}
