/* Calibrations and capacities from the database into a snapshot. */
#include "server/store/derive.h"
#include "server/store/identity.h"
#include "server/store/rows.h"
#include "server/store/store_private.h"

#include <stdlib.h>
#include <string.h>

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

#define POINT_COLUMNS                                                                              \
    LQ_IDENTITY_COLUMNS                                                                            \
    ", active_experts_count, batch_size_rows, accumulation_steps_count, sequence_tokens,"          \
    " lengths_id, padding, cutoff_tokens, padding_multiple_tokens, row_tokens, queries_per_row,"   \
    " queries_per_s, step_time_s, peak_memory_bytes, is_out_of_memory, longest_tokens, source,"    \
    " dataset, id, is_shipped, CASE WHEN measured_at_utc <> '' OR is_shipped"                      \
    " THEN measured_at_utc ELSE stored_at_utc END, token_id, confirmed_at_utc, NOT is_shipped AND" \
    " EXISTS (SELECT 1 FROM exclusions e WHERE e.id IN (token_id, points.source))"
enum { POINT_WIDTH = LQ_IDENTITY_WIDTH + 23 };

static enum lq_code complete(const struct lq_hooks *hooks, const struct lq_catalog *catalog,
                             struct lq_derivation *derivation, struct lq_point *point,
                             struct lq_error *err)
{
    LQ_TRY(lq_derive_point(catalog, derivation, point, err));
    point->implausible = hooks->plausible != NULL && !hooks->plausible(catalog, point);
    return LQ_OK;
}

/* Adds the shipped rows, or the others, that follow a sequence number. */
static enum lq_code load_rows(struct lq_loader *loader, bool shipped, struct lq_point *points,
                              size_t capacity, struct lq_error *err)
{
    static const char SELECT_POINTS[] =
        "SELECT " POINT_COLUMNS " FROM points WHERE is_shipped = ?1 AND sequence_number > ?2"
        " ORDER BY sequence_number";
    struct lq_derivation derivation LQ_AUTO(lq_derivation_release) = {0};
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_POINTS, &statement, err));
    lq_bind_count(statement, 1, shipped);
    lq_bind_count(statement, 2, loader->snapshot->last_point_number);
    bool row = true;
    while (catalog->point_count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        struct lq_point *point = &points[catalog->point_count];
        LQ_TRY(read_point(statement, point, err));
        LQ_TRY(complete(loader->hooks, catalog, &derivation, point, err));
        catalog->point_count++;
    }
    return LQ_OK;
}

/* Takes over the points of the snapshot before, where all that has happened since is that others
 * came behind them and what completes them is the same. */
static enum lq_code take_over(struct lq_loader *loader, struct lq_point *points, size_t capacity,
                              struct lq_error *err)
{
    static const char COUNT_LATER[] =
        "SELECT count(*) FROM calibrations WHERE sequence_number > ?1";
    const struct lq_snapshot *last = loader->previous;
    struct lq_snapshot *next = loader->snapshot;
    if (last == NULL || last->mark.deleted != next->mark.deleted ||
        last->mark.judged != next->mark.judged ||
        strcmp(last->catalog.catalog_version, next->catalog.catalog_version) != 0) {
        return LQ_OK;
    }
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    bool row = false;
    LQ_TRY(lq_statement_open(loader->database, COUNT_LATER, &statement, err));
    lq_bind_count(statement, 1, last->last_point_number);
    LQ_TRY(lq_statement_step(statement, &row, err));
    const size_t later = row ? (size_t)lq_column_count(statement, 0) : 0;
    if (last->catalog.point_count + later != capacity) { /* another process deleted some */
        return LQ_OK;
    }
    memcpy(points, last->catalog.points, last->catalog.point_count * sizeof *points);
    next->catalog.point_count = last->catalog.point_count;
    for (size_t i = 0; i < next->catalog.point_count; i++) {
        points[i].outlier = false; /* as the next fits find it */
    }
    next->last_point_number = last->last_point_number;
    loader->hash = last->points_hash;
    return LQ_OK;
}

enum lq_code lq_load_points(struct lq_loader *loader, struct lq_error *err)
{
    void *list;
    size_t capacity;
    struct lq_snapshot *snapshot = loader->snapshot;
    const uint64_t hash_before = loader->hash;
    LQ_TRY(lq_load_list(loader, "calibrations", sizeof(struct lq_point), &list, &capacity, err));
    snapshot->catalog.points = list;
    loader->hash = LQ_HASH_START;
    LQ_TRY(take_over(loader, list, capacity, err));
    LQ_TRY(load_rows(loader, true, list, capacity, err));
    LQ_TRY(load_rows(loader, false, list, capacity, err));
    LQ_TRY(lq_database_number(loader->database,
                              "SELECT coalesce(max(sequence_number), 0) FROM calibrations",
                              &snapshot->last_point_number, err));
    snapshot->points_hash = loader->hash;
    loader->hash = lq_hash_bytes(hash_before, &snapshot->points_hash, sizeof loader->hash);
    return LQ_OK;
}

static enum lq_code get_point(struct lq_database *database, const char *id,
                              struct lq_stored_point *out, struct lq_error *err)
{
    static const char SELECT_POINT[] =
        "SELECT " POINT_COLUMNS ", document_json FROM points WHERE sequence_number = ?1";
    int64_t number = 0;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_point_find(database, id, &number, err));
    LQ_TRY(lq_statement_open(database, SELECT_POINT, &statement, err));
    lq_bind_count(statement, 1, number);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (!row) {
        return lq_fail(err, LQ_ESTORE, NULL, "the settings of %s are not in the database", id);
    }
    out->point = (struct lq_point){.shipped = false};
    LQ_TRY(read_point(statement, &out->point, err));
    out->document = strdup(lq_column_text(statement, POINT_WIDTH));
    return out->document != NULL ? LQ_OK : lq_fail(err, LQ_ESTORE, NULL, "out of memory");
}

enum lq_code lq_store_get_point(struct lq_store *store, const struct lq_catalog *catalog,
                                const char *id, struct lq_stored_point *out, struct lq_error *err)
{
    struct lq_derivation derivation LQ_AUTO(lq_derivation_release) = {0};
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = get_point(reader, id, out, err);
    lq_store_unlock_reader(store);
    LQ_TRY(code);
    code = complete(&store->hooks, catalog, &derivation, &out->point, err);
    if (code != LQ_OK) {
        free(out->document);
    }
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
