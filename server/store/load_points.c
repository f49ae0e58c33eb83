/* Calibrations and capacities from the database into a snapshot. */
#include "server/store/derive.h"
#include "server/store/identity.h"
#include "server/store/snapshot.h"

/* Columns behind those of the identity. */
static enum lq_code read_point(const struct lq_statement *statement, struct lq_point *point,
                               struct lq_error *err)
{
    const int first = LQ_IDENTITY_WIDTH;
    int padding = 0;
    LQ_TRY(lq_identity_read(statement, 0, &point->identity, err));
    LQ_TRY(lq_column_name(statement, first + 5, LQ_PADDING_NAMES, &padding, err));
    point->conditions = (struct lq_conditions){
        .active_experts = lq_column_count(statement, first),
        .batch_size = lq_column_count(statement, first + 1),
        .accumulation_steps = lq_column_count(statement, first + 2),
        .sequence_tokens = lq_column_count(statement, first + 3),
        .rule = {.padding = (enum lq_padding)padding,
                 .cutoff_tokens = lq_column_count(statement, first + 6),
                 .padding_multiple = lq_column_count(statement, first + 7)},
        .row_tokens = lq_column_number(statement, first + 8),
        .queries_per_row = lq_column_number(statement, first + 9),
    };
    lq_column_copy(statement, first + 4, point->conditions.lengths,
                   sizeof point->conditions.lengths);
    point->queries_per_s = lq_column_number(statement, first + 10);
    point->step_time_s = lq_column_number(statement, first + 11);
    point->peak_memory_bytes = lq_column_number(statement, first + 12);
    point->out_of_memory = lq_column_count(statement, first + 13) != 0;
    point->longest_tokens = lq_column_number(statement, first + 14);
    lq_column_copy(statement, first + 15, point->source, sizeof point->source);
    lq_column_copy(statement, first + 16, point->dataset, sizeof point->dataset);
    lq_column_copy(statement, first + 17, point->id, sizeof point->id);
    point->shipped = lq_column_count(statement, first + 18) != 0;
    lq_column_copy(statement, first + 19, point->measured_at, sizeof point->measured_at);
    lq_column_copy(statement, first + 20, point->token_id, sizeof point->token_id);
    lq_column_copy(statement, first + 21, point->confirmed_at, sizeof point->confirmed_at);
    point->excluded = lq_column_count(statement, first + 22) != 0;
    return LQ_OK;
}

static enum lq_code load_rows(struct lq_loader *loader, struct lq_derivation *derivation,
                              struct lq_point *points, size_t capacity, struct lq_error *err)
{
    static const char SELECT_POINTS[] =
        "SELECT " LQ_IDENTITY_COLUMNS
        ", active_experts_count, batch_size_rows, accumulation_steps_count, sequence_tokens,"
        " lengths_id, padding, cutoff_tokens, padding_multiple_tokens, row_tokens,"
        " queries_per_row, queries_per_s, step_time_s, peak_memory_bytes, is_out_of_memory,"
        " longest_tokens, source, dataset, id, is_shipped, CASE WHEN measured_at_utc <> '' OR "
        "is_shipped THEN measured_at_utc"
        " ELSE stored_at_utc END, token_id, confirmed_at_utc, NOT is_shipped AND EXISTS"
        " (SELECT 1 FROM exclusions e WHERE e.id IN (token_id, source)) FROM calibrations ORDER BY "
        "is_shipped DESC, sequence_number";
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_POINTS, &statement, err));
    bool row = true;
    catalog->points = points;
    while (catalog->point_count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        struct lq_point *point = &points[catalog->point_count];
        LQ_TRY(read_point(statement, point, err));
        LQ_TRY(lq_derive_point(catalog, derivation, point, err));
        point->implausible =
            loader->hooks->plausible != NULL && !loader->hooks->plausible(catalog, point);
        catalog->point_count++;
    }
    return LQ_OK;
}

enum lq_code lq_load_points(struct lq_loader *loader, struct lq_error *err)
{
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "calibrations", sizeof(struct lq_point), &list, &capacity, err));
    struct lq_derivation derivation LQ_AUTO(lq_derivation_release) = {0};
    return load_rows(loader, &derivation, list, capacity, err);
}

static enum lq_code read_capacity(const struct lq_statement *statement,
                                  struct lq_capacity *capacity, struct lq_error *err)
{
    const int first = LQ_IDENTITY_WIDTH;
    LQ_TRY(lq_identity_read(statement, 0, &capacity->identity, err));
    capacity->active_experts = lq_column_count(statement, first);
    capacity->longest_tokens = lq_column_count(statement, first + 1);
    capacity->max_batch_size = lq_column_count(statement, first + 2);
    lq_column_copy(statement, first + 3, capacity->lengths, sizeof capacity->lengths);
    capacity->measured = lq_column_count(statement, first + 4) != 0;
    lq_column_copy(statement, first + 5, capacity->source, sizeof capacity->source);
    return LQ_OK;
}

enum lq_code lq_load_capacities(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_CAPACITIES[] =
        "SELECT " LQ_IDENTITY_COLUMNS ", active_experts_count, longest_tokens, max_batch_rows,"
        " lengths_id, is_measured, source FROM capacities ORDER BY sequence_number";
    void *list;
    size_t room;
    LQ_TRY(lq_load_list(loader, "capacities", sizeof(struct lq_capacity), &list, &room, err));
    struct lq_capacity *capacities = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_CAPACITIES, &statement, err));
    size_t count = 0;
    bool row = true;
    while (count < room) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        LQ_TRY(read_capacity(statement, &capacities[count], err));
        count++;
    }
    loader->snapshot->catalog.capacities = capacities;
    loader->snapshot->catalog.capacity_count = count;
    return LQ_OK;
}
