/* Exclusions and confirmations. What follows from them for fits stands in lq_point_counts. */
#include "server/store/trust.h"

#include "server/store/identity.h"
#include "server/store/rows.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <stdlib.h>
#include <time.h>

/* An exclusion on its way in. */
struct excluding {
    const char *id;
    const char *by;
    struct lq_exclusion *out;
    bool created;
};

#define POINTS_OF                                                                                  \
    "(SELECT count(*) FROM calibrations c WHERE NOT c.is_shipped AND e.id IN (c.token_id, "        \
    "c.source))"

static void read_exclusion(const struct lq_statement *statement, struct lq_exclusion *out)
{
    *out = (struct lq_exclusion){.points = lq_column_count(statement, 3)};
    lq_column_copy(statement, 0, out->id, sizeof out->id);
    lq_column_copy(statement, 1, out->excluded_by, sizeof out->excluded_by);
    lq_column_copy(statement, 2, out->excluded_at, sizeof out->excluded_at);
}

/* A name that nobody has would exclude nothing, and most likely is a slip. */
static enum lq_code check_known(struct lq_database *database, const char *id, struct lq_error *err)
{
    static const char FIND[] =
        "SELECT 1 FROM tokens WHERE id = ?1 COLLATE NOCASE UNION ALL"
        " SELECT 1 FROM calibrations WHERE source = ?1 COLLATE NOCASE AND NOT is_shipped LIMIT 1";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, FIND, &statement, err));
    lq_bind_text(statement, 1, id);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    return row ? LQ_OK
               : lq_fail(err, LQ_ENOTFOUND, NULL,
                         "no token has the id \"%s\", and no posted calibration that source", id);
}

static enum lq_code insert_exclusion(struct lq_database *database, struct excluding *excluding,
                                     struct lq_error *err)
{
    static const char INSERT[] = "INSERT INTO exclusions (id, excluded_by, excluded_at_utc)"
                                 " VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    LQ_TRY(lq_statement_open(database, INSERT, &statement, err));
    lq_bind_text(statement, 1, excluding->id);
    lq_bind_text(statement, 2, excluding->by);
    lq_bind_text(statement, 3, now);
    LQ_TRY(lq_statement_run(statement, err));
    excluding->created = lq_database_changes(database) > 0;
    return LQ_OK;
}

static enum lq_code exclude(struct lq_database *database, void *context, struct lq_effect *effect,
                            struct lq_error *err)
{
    static const char SELECT[] = "SELECT e.id, e.excluded_by, e.excluded_at_utc, " POINTS_OF
                                 " FROM exclusions e WHERE e.id = ?1";
    struct excluding *excluding = context;
    LQ_TRY(check_known(database, excluding->id, err));
    LQ_TRY(insert_exclusion(database, excluding, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, SELECT, &statement, err));
    lq_bind_text(statement, 1, excluding->id);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    read_exclusion(statement, excluding->out);
    effect->judged = excluding->created && excluding->out->points > 0 ? 1 : 0;
    effect->catalog = effect->judged > 0;
    return LQ_OK;
}

enum lq_code lq_store_exclude(struct lq_store *store, const char *id, const char *by,
                              struct lq_exclusion *out, bool *created, struct lq_error *err)
{
    struct excluding excluding = {.id = id, .by = by, .out = out};
    LQ_TRY(lq_store_write(store, exclude, &excluding, err));
    *created = excluding.created;
    return LQ_OK;
}

static enum lq_code readmit(struct lq_database *database, void *context, struct lq_effect *effect,
                            struct lq_error *err)
{
    const char *id = context;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "DELETE FROM exclusions WHERE id = ?1", &statement, err));
    lq_bind_text(statement, 1, id);
    LQ_TRY(lq_statement_run(statement, err));
    *effect = (struct lq_effect){.catalog = true, .judged = 1};
    return lq_database_changes(database) > 0
               ? LQ_OK
               : lq_fail(err, LQ_ENOTFOUND, NULL, "\"%s\" is not excluded", id);
}

enum lq_code lq_store_readmit(struct lq_store *store, const char *id, struct lq_error *err)
{
    return lq_store_write(store, readmit, (void *)(uintptr_t)id, err);
}

static enum lq_code list_exclusions(struct lq_database *database, struct lq_exclusion **list,
                                    size_t *count, struct lq_error *err)
{
    static const char SELECT[] = "SELECT e.id, e.excluded_by, e.excluded_at_utc, " POINTS_OF
                                 " FROM exclusions e ORDER BY e.id";
    int64_t rows = 0;
    LQ_TRY(lq_database_number(database, "SELECT count(*) FROM exclusions", &rows, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, SELECT, &statement, err));
    *list = calloc((size_t)rows + 1, sizeof **list);
    if (*list == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the list");
    }
    bool row = true;
    *count = 0;
    while (*count < (size_t)rows) {
        LQ_TRY(lq_statement_step(statement, &row, err));
        if (!row) {
            break;
        }
        read_exclusion(statement, &(*list)[(*count)++]);
    }
    return LQ_OK;
}

enum lq_code lq_store_list_exclusions(struct lq_store *store, struct lq_exclusion **list,
                                      size_t *count, struct lq_error *err)
{
    struct lq_exclusion *read = NULL;
    struct lq_database *reader = lq_store_lock_reader(store);
    const enum lq_code code = list_exclusions(reader, &read, count, err);
    lq_store_unlock_reader(store);
    if (code != LQ_OK) {
        free(read);
        return code;
    }
    *list = read;
    return LQ_OK;
}

/* A word about one point. */
struct confirming {
    const char *id;
    bool confirmed;
};

static enum lq_code confirm(struct lq_database *database, void *context, struct lq_effect *effect,
                            struct lq_error *err)
{
    static const char UPDATE[] =
        "UPDATE calibrations SET confirmed_at_utc ="
        " CASE WHEN ?2 = '' OR confirmed_at_utc = '' THEN ?2 ELSE confirmed_at_utc END"
        " WHERE sequence_number = ?1 RETURNING is_shipped";
    const struct confirming *confirming = context;
    int64_t number = 0;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    LQ_TRY(lq_point_find(database, confirming->id, &number, err));
    LQ_TRY(lq_statement_open(database, UPDATE, &statement, err));
    lq_bind_count(statement, 1, number);
    lq_bind_text(statement, 2, confirming->confirmed ? now : "");
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (lq_column_count(statement, 0) != 0) { /* and the change is rolled back */
        return lq_fail(err, LQ_ECONFLICT, NULL,
                       "\"%s\" is shipped with the catalog and taken as it is", confirming->id);
    }
    *effect = (struct lq_effect){.catalog = true, .judged = 1};
    return lq_statement_run(statement, err);
}

enum lq_code lq_store_confirm_point(struct lq_store *store, const char *id, bool confirmed,
                                    struct lq_error *err)
{
    struct confirming confirming = {id, confirmed};
    return lq_store_write(store, confirm, &confirming, err);
}
