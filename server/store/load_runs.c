/* Published training runs into a snapshot: points, and capacities where a run only says what fits
 * a device of some size. */
#include "server/store/derive.h"
#include "server/store/identity.h"
#include "server/store/snapshot.h"

#include <stdio.h>
#include <string.h>

/* In the order of the SELECT below. */
enum {
    RUN_ID,
    RUN_SOURCE,
    RUN_MODEL,
    RUN_GPU,
    RUN_STACK,
    RUN_GPU_COUNT,
    RUN_METHOD,
    RUN_RANK,
    RUN_TARGETS,
    RUN_QUANTIZATION,
    RUN_PRECISION,
    RUN_OPTIMIZER,
    RUN_CHECKPOINTING,
    RUN_ATTENTION,
    RUN_MASTER,
    RUN_OPTIONS,
    RUN_ACCUMULATION,
    RUN_BATCH,
    RUN_SEQUENCE,
    RUN_LENGTHS,
    RUN_LONGEST,
    RUN_QUERIES,
    RUN_STEP,
    RUN_PEAK,
    RUN_OUT_OF_MEMORY,
    RUN_CAPACITY,
    RUN_USE_TIME,
    RUN_USE_MEMORY,
    RUN_LAYOUT
};

#define IS_CAPACITY "capacity_bytes IS NOT NULL AND memory_is_used"
#define IS_POINT "capacity_bytes IS NULL AND (time_is_used OR memory_is_used)"

static const char SELECT_RUNS[] =
    "SELECT id, source, model_id, gpu_id, stack, gpu_count, method_kind, adapter_rank,"
    " targets_names, coalesce(quantization, 'none'), precision, optimizer, checkpointing,"
    " attention, master_weights_are_kept, options_names, accumulation_steps_count,"
    " batch_size_rows, sequence_tokens, lengths_id, longest_tokens, queries_per_s, step_time_s,"
    " peak_memory_bytes, is_out_of_memory, capacity_bytes, time_is_used,"
    " memory_is_used, " LQ_LAYOUT_COLUMNS " FROM published_runs ORDER BY source, row_number";

/* "a;b" as a set of bits, by a NULL-terminated list of names; a name that is none is none. */
static uint32_t read_names(const char *text, const char *const *names)
{
    uint32_t bits = 0;
    while (*text != '\0') {
        const size_t size = strcspn(text, ";");
        for (int i = 0; names[i] != NULL; i++) {
            if (strlen(names[i]) == size && strncmp(names[i], text, size) == 0) {
                bits |= 1u << i;
            }
        }
        text += size;
        text += strspn(text, ";");
    }
    return bits;
}

static uint32_t read_targets(const char *text)
{
    return strcmp(text, "all-linear") == 0 ? LQ_TARGETS_ALL_LINEAR
                                           : read_names(text, LQ_TARGET_NAMES);
}

static enum lq_code read_identity(const struct lq_statement *statement, struct lq_identity *out,
                                  struct lq_error *err)
{
    int kind = 0;
    int quantization = 0;
    int precision = 0;
    int optimizer = 0;
    int checkpointing = 0;
    int attention = 0;
    LQ_TRY(lq_column_name(statement, RUN_METHOD, LQ_METHOD_NAMES, &kind, err));
    LQ_TRY(lq_column_name(statement, RUN_QUANTIZATION, LQ_QUANTIZATION_NAMES, &quantization, err));
    LQ_TRY(lq_column_name(statement, RUN_PRECISION, LQ_PRECISION_NAMES, &precision, err));
    LQ_TRY(lq_column_name(statement, RUN_OPTIMIZER, LQ_OPTIMIZER_NAMES, &optimizer, err));
    LQ_TRY(
        lq_column_name(statement, RUN_CHECKPOINTING, LQ_CHECKPOINTING_NAMES, &checkpointing, err));
    LQ_TRY(lq_column_name(statement, RUN_ATTENTION, LQ_ATTENTION_NAMES, &attention, err));
    *out = (struct lq_identity){
        .gpu_count = lq_column_count(statement, RUN_GPU_COUNT),
        .method = {.kind = (enum lq_method_kind)kind,
                   .rank = lq_column_count(statement, RUN_RANK),
                   .targets = read_targets(lq_column_text(statement, RUN_TARGETS)),
                   .quantization = (enum lq_quantization)quantization},
        .precision = (enum lq_precision)precision,
        .optimizer = (enum lq_optimizer)optimizer,
        .checkpointing = (enum lq_checkpointing)checkpointing,
        .attention = (enum lq_attention)attention,
        .master_weights = lq_column_count(statement, RUN_MASTER) != 0,
        .options = read_names(lq_column_text(statement, RUN_OPTIONS), LQ_OPTION_NAMES),
        .layout = lq_layout_read(statement, RUN_LAYOUT),
    };
    lq_column_copy(statement, RUN_MODEL, out->model, sizeof out->model);
    lq_column_copy(statement, RUN_GPU, out->gpu, sizeof out->gpu);
    lq_column_copy(statement, RUN_STACK, out->stack, sizeof out->stack);
    return LQ_OK;
}

static int64_t active_experts(const struct lq_catalog *catalog, const char *id)
{
    const struct lq_model *model = lq_catalog_any_model(catalog, id);
    return model != NULL ? lq_model_active_experts(model) : 0;
}

/* A rate or a peak that is no evidence stays out. */
static enum lq_code read_point(const struct lq_statement *statement,
                               const struct lq_catalog *catalog, struct lq_point *point,
                               struct lq_error *err)
{
    const bool use_time = lq_column_count(statement, RUN_USE_TIME) != 0;
    const bool use_memory = lq_column_count(statement, RUN_USE_MEMORY) != 0;
    *point = (struct lq_point){
        .conditions = {.batch_size = lq_column_count(statement, RUN_BATCH),
                       .accumulation_steps = lq_column_count(statement, RUN_ACCUMULATION),
                       .sequence_tokens = lq_column_count(statement, RUN_SEQUENCE),
                       .rule = {.padding = LQ_PADDING_LONGEST, .padding_multiple = 1}},
        .queries_per_s = use_time ? lq_column_number(statement, RUN_QUERIES) : 0.0,
        .step_time_s = use_time ? lq_column_number(statement, RUN_STEP) : 0.0,
        .peak_memory_bytes = use_memory ? lq_column_number(statement, RUN_PEAK) : 0.0,
        .out_of_memory = use_memory && lq_column_count(statement, RUN_OUT_OF_MEMORY) != 0,
        .longest_tokens = lq_column_number(statement, RUN_LONGEST),
        .shipped = true,
    };
    LQ_TRY(read_identity(statement, &point->identity, err));
    lq_column_copy(statement, RUN_ID, point->id, sizeof point->id);
    lq_column_copy(statement, RUN_SOURCE, point->source, sizeof point->source);
    lq_column_copy(statement, RUN_SOURCE, point->dataset, sizeof point->dataset);
    lq_column_copy(statement, RUN_LENGTHS, point->conditions.lengths,
                   sizeof point->conditions.lengths);
    point->conditions.active_experts = active_experts(catalog, point->identity.model);
    return LQ_OK;
}

/* The longest row of one that fits; none of that length where it did not. */
static enum lq_code read_capacity(const struct lq_statement *statement,
                                  const struct lq_catalog *catalog, struct lq_capacity *out,
                                  struct lq_error *err)
{
    *out = (struct lq_capacity){
        .longest_tokens = (int64_t)lq_column_number(statement, RUN_LONGEST),
        .max_batch_size = lq_column_count(statement, RUN_OUT_OF_MEMORY) != 0 ? 0 : 1,
        .capacity_bytes = lq_column_number(statement, RUN_CAPACITY),
        .measured = true,
    };
    LQ_TRY(read_identity(statement, &out->identity, err));
    lq_column_copy(statement, RUN_SOURCE, out->source, sizeof out->source);
    out->active_experts = active_experts(catalog, out->identity.model);
    return LQ_OK;
}

/* Room for both lists, in the catalog. */
struct lists {
    struct lq_point *points;
    size_t points_room;
    struct lq_capacity *capacities;
    size_t capacities_room;
};

static enum lq_code allocate(struct lq_loader *loader, struct lists *lists, struct lq_error *err)
{
    void *list;
    LQ_TRY(lq_load_list(loader, "published_runs WHERE " IS_POINT, sizeof(struct lq_point), &list,
                        &lists->points_room, err));
    lists->points = list;
    loader->snapshot->catalog.runs = list;
    LQ_TRY(lq_load_list(loader, "published_runs WHERE " IS_CAPACITY, sizeof(struct lq_capacity),
                        &list, &lists->capacities_room, err));
    lists->capacities = list;
    loader->snapshot->catalog.run_capacities = list;
    return LQ_OK;
}

static enum lq_code read_run(const struct lq_statement *statement, struct lists *lists,
                             struct lq_catalog *catalog, struct lq_derivation *derivation,
                             struct lq_error *err)
{
    const bool memory = lq_column_count(statement, RUN_USE_MEMORY) != 0;
    const bool time = lq_column_count(statement, RUN_USE_TIME) != 0;
    if (lq_column_number(statement, RUN_CAPACITY) > 0.0) {
        return memory && catalog->run_capacity_count < lists->capacities_room
                   ? read_capacity(statement, catalog,
                                   &lists->capacities[catalog->run_capacity_count++], err)
                   : LQ_OK;
    }
    if ((!time && !memory) || catalog->run_count >= lists->points_room) {
        return LQ_OK;
    }
    struct lq_point *point = &lists->points[catalog->run_count++];
    LQ_TRY(read_point(statement, catalog, point, err));
    return lq_derive_point(catalog, derivation, point, err);
}

enum lq_code lq_load_runs(struct lq_loader *loader, struct lq_error *err)
{
    struct lists lists = {0};
    LQ_TRY(allocate(loader, &lists, err));
    struct lq_derivation derivation LQ_AUTO(lq_derivation_release) = {0};
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_RUNS, &statement, err));
    for (;;) {
        bool row = false;
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            return LQ_OK;
        }
        LQ_TRY(read_run(statement, &lists, &loader->snapshot->catalog, &derivation, err));
    }
}
