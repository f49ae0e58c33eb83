/* Calibrations and capacities from the database into a snapshot, with what their data sets add. */
#include "server/store/identity.h"
#include "server/store/snapshot.h"

#include <stdlib.h>

/* The last distribution that was prepared: neighbouring points mostly share one. */
struct rows {
    const struct lq_dataset *dataset;
    struct lq_padding_rule rule;
    struct lq_lengths lengths;
    struct lq_length_bin *scratch;
};

static bool same_rule(const struct lq_padding_rule *a, const struct lq_padding_rule *b)
{
    return a->padding == b->padding && a->cutoff_tokens == b->cutoff_tokens &&
           a->padding_multiple == b->padding_multiple;
}

static enum lq_code prepare(struct rows *rows, const struct lq_dataset *dataset,
                            const struct lq_padding_rule *rule, struct lq_error *err)
{
    if (rows->dataset == dataset && same_rule(&rows->rule, rule)) {
        return LQ_OK;
    }
    rows->dataset = NULL;
    free(rows->scratch);
    rows->scratch = calloc(dataset->count, sizeof *rows->scratch);
    if (rows->scratch == NULL) {
        return lq_load_out_of_memory(err);
    }
    struct lq_error cause = {0};
    if (lq_lengths_prepare(dataset->bins, dataset->count, rule, rows->scratch, &rows->lengths,
                           &cause) != LQ_OK) {
        return lq_fail(err, LQ_ESTORE, NULL, "data set %s: %s", dataset->id, cause.detail);
    }
    rows->dataset = dataset;
    rows->rule = *rule;
    return LQ_OK;
}

/* Completes a point: row length from its data set unless it came with one, and whichever of
 * throughput and step time it lacks. */
static enum lq_code derive(const struct lq_catalog *catalog, struct rows *rows,
                           struct lq_point *point, struct lq_error *err)
{
    struct lq_conditions *run = &point->conditions;
    if (run->queries_per_row <= 0.0) {
        run->queries_per_row = 1.0;
    }
    if (run->row_tokens <= 0.0 && run->sequence_tokens > 0) {
        run->row_tokens = (double)run->sequence_tokens;
    }
    const struct lq_dataset *dataset = lq_catalog_dataset(catalog, run->lengths);
    if (run->row_tokens <= 0.0 && dataset != NULL) {
        LQ_TRY(prepare(rows, dataset, &run->rule, err));
        run->row_tokens = lq_lengths_mean_row(&rows->lengths, run->batch_size);
        run->queries_per_row = rows->lengths.queries_per_row;
    }
    double step_queries =
        (double)run->batch_size * run->queries_per_row * (double)point->identity.gpu_count;
    if (point->queries_per_s <= 0.0) {
        point->queries_per_s = step_queries / point->step_time_s;
    }
    if (point->step_time_s <= 0.0) {
        point->step_time_s = step_queries / point->queries_per_s;
    }
    return LQ_OK;
}

/* Columns behind the identity's twelve. */
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
    lq_column_copy(statement, first + 13, point->source, sizeof point->source);
    lq_column_copy(statement, first + 14, point->dataset, sizeof point->dataset);
    lq_column_copy(statement, first + 15, point->id, sizeof point->id);
    point->shipped = lq_column_count(statement, first + 16) != 0;
    lq_column_copy(statement, first + 17, point->measured_at, sizeof point->measured_at);
    return LQ_OK;
}

static enum lq_code load_rows(struct lq_loader *loader, struct rows *rows, struct lq_point *points,
                              size_t capacity, struct lq_error *err)
{
    static const char SELECT_POINTS[] =
        "SELECT " LQ_IDENTITY_COLUMNS
        ", active_experts_count, batch_size_rows, accumulation_steps_count, sequence_tokens,"
        " lengths_id, padding, cutoff_tokens, padding_multiple_tokens, row_tokens,"
        " queries_per_row, queries_per_s, step_time_s, peak_memory_bytes, source, dataset, id,"
        " is_shipped, CASE WHEN measured_at_utc <> '' OR is_shipped THEN measured_at_utc"
        " ELSE stored_at_utc END FROM calibrations ORDER BY is_shipped DESC, sequence_number";
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
        LQ_TRY(derive(catalog, rows, point, err));
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
    struct rows rows = {0};
    enum lq_code code = load_rows(loader, &rows, list, capacity, err);
    free(rows.scratch);
    return code;
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
