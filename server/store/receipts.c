/* Kept estimates into the database, out of it, and away when their time is over. */
#include "server/store/receipts.h"

#include "server/random.h"
#include "server/store/identity.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ID_BYTES = 16, DAY_S = 24 * 3600 };

const char *const LQ_RECEIPT_QUANTITY_NAMES[] = {"queries_per_s", "duration_s", "cost_usd", NULL};

/* Estimates on their way in. */
struct keeping {
    const char *token_id;
    const struct lq_new_receipt *receipts;
    size_t count;
    char (*ids)[LQ_RECEIPT_ID_MAX];
};

static void bind_receipt(struct lq_statement *statement, const struct lq_new_receipt *receipt)
{
    lq_bind_text(statement, 3, receipt->request);
    lq_bind_text(statement, 4, receipt->answer);
    lq_bind_number(statement, 6, receipt->level);
    for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) {
        const struct lq_receipt_figure *figure = &receipt->figure[q];
        lq_bind_number_or_null(statement, 7 + 3 * q, figure->value);
        lq_bind_number_or_null(statement, 8 + 3 * q, figure->low);
        lq_bind_number_or_null(statement, 9 + 3 * q, figure->high);
    }
    lq_bind_text(statement, 16, receipt->model);
    lq_bind_text(statement, 17, receipt->gpu);
}

static enum lq_code keep(struct lq_database *database, void *context, struct lq_effect *effect,
                         struct lq_error *err)
{
    static const char INSERT[] =
        "INSERT INTO kept_estimates (id, token_id, request_json, answer_json, stored_at_utc,"
        " interval_level, queries_per_s, least_queries_per_s, most_queries_per_s, duration_s,"
        " least_duration_s, most_duration_s, cost_usd, least_cost_usd, most_cost_usd, model_id, "
        "gpu_id)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    (void)effect;
    const struct keeping *keeping = context;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    for (size_t i = 0; i < keeping->count; i++) {
        lq_bind_text(statement, 1, keeping->ids[i]);
        lq_bind_text(statement, 2, keeping->token_id);
        lq_bind_text(statement, 5, now);
        bind_receipt(statement, &keeping->receipts[i]);
        LQ_TRY(lq_statement_run(statement, err));
    }
    return LQ_OK;
}

enum lq_code lq_store_keep_estimates(struct lq_store *store, const char *token_id,
                                     const struct lq_new_receipt *receipts, size_t count,
                                     char (*ids)[LQ_RECEIPT_ID_MAX], struct lq_error *err)
{
    for (size_t i = 0; i < count; i++) {
        LQ_TRY(lq_random_hex(ids[i], ID_BYTES, err));
    }
    struct keeping keeping = {token_id, receipts, count, ids};
    return lq_store_write(store, keep, &keeping, err);
}

#define RECEIPT_COLUMNS                                                                            \
    "k.id, k.token_id, k.stored_at_utc, k.interval_level, k.queries_per_s, k.least_queries_per_s," \
    " k.most_queries_per_s, k.duration_s, k.least_duration_s, k.most_duration_s, k.cost_usd,"      \
    " k.least_cost_usd, k.most_cost_usd, o.queries_per_s, o.duration_s, o.cost_usd, o.note,"       \
    " o.calibration_id, o.recorded_at_utc, k.model_id, k.gpu_id"
enum { RECEIPT_WIDTH = 21 };

/* Columns in the order of RECEIPT_COLUMNS; those of an outcome are NULL where there is none. */
static void read_receipt(const struct lq_statement *statement, struct lq_receipt *out)
{
    *out = (struct lq_receipt){.level = lq_column_number(statement, 3)};
    lq_column_copy(statement, 0, out->id, sizeof out->id);
    lq_column_copy(statement, 1, out->token_id, sizeof out->token_id);
    lq_column_copy(statement, 2, out->stored_at, sizeof out->stored_at);
    for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) {
        out->figure[q] = (struct lq_receipt_figure){lq_column_number(statement, 4 + 3 * q),
                                                    lq_column_number(statement, 5 + 3 * q),
                                                    lq_column_number(statement, 6 + 3 * q)};
        out->outcome.value[q] = lq_column_number(statement, 13 + q);
    }
    lq_column_copy(statement, 16, out->outcome.note, sizeof out->outcome.note);
    lq_column_copy(statement, 17, out->outcome.calibration, sizeof out->outcome.calibration);
    lq_column_copy(statement, 18, out->outcome.recorded_at, sizeof out->outcome.recorded_at);
    lq_column_copy(statement, 19, out->model, sizeof out->model);
    lq_column_copy(statement, 20, out->gpu, sizeof out->gpu);
}

static enum lq_code copy_text(const struct lq_statement *statement, int column, char **out,
                              struct lq_error *err)
{
    if (out == NULL) {
        return LQ_OK;
    }
    *out = strdup(lq_column_text(statement, column));
    return *out != NULL ? LQ_OK : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
}

static enum lq_code get_receipt(struct lq_database *database, const char *id,
                                struct lq_receipt *out, char **request, char **answer,
                                struct lq_error *err)
{
    static const char SELECT[] = "SELECT " RECEIPT_COLUMNS ", k.request_json, k.answer_json"
                                 " FROM kept_estimates k LEFT JOIN outcomes o"
                                 " ON o.estimate_id = k.id WHERE k.id = ?1";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, SELECT, &statement, err));
    lq_bind_text(statement, 1, id);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (!row) {
        return lq_fail(err, LQ_ENOTFOUND, NULL, "no estimate is kept under the id \"%s\"", id);
    }
    read_receipt(statement, out);
    LQ_TRY(copy_text(statement, RECEIPT_WIDTH, request, err));
    const enum lq_code code = copy_text(statement, RECEIPT_WIDTH + 1, answer, err);
    if (code != LQ_OK && request != NULL) {
        free(*request);
        *request = NULL;
    }
    return code;
}

enum lq_code lq_store_get_receipt(struct lq_store *store, const char *id, struct lq_receipt *out,
                                  char **request, char **answer, struct lq_error *err)
{
    struct lq_database *reader = lq_store_lock_reader(store);
    const enum lq_code code = get_receipt(reader, id, out, request, answer, err);
    lq_store_unlock_reader(store);
    return code;
}

/* A list that grows. */
struct growing {
    struct lq_receipt *item;
    size_t count;
    size_t capacity;
};

static enum lq_code append(struct growing *list, const struct lq_statement *statement,
                           struct lq_error *err)
{
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        struct lq_receipt *item = realloc(list->item, capacity * sizeof *item);
        if (item == NULL) {
            return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the list");
        }
        list->item = item;
        list->capacity = capacity;
    }
    read_receipt(statement, &list->item[list->count++]);
    return LQ_OK;
}

static enum lq_code list_receipts(struct lq_database *database, const char *token_id,
                                  struct growing *list, struct lq_error *err)
{
    static const char OWN[] = "SELECT " RECEIPT_COLUMNS " FROM kept_estimates k LEFT JOIN outcomes"
                              " o ON o.estimate_id = k.id WHERE k.token_id = ?1"
                              " ORDER BY k.sequence_number DESC";
    static const char ENDED[] = "SELECT " RECEIPT_COLUMNS " FROM kept_estimates k JOIN outcomes o"
                                " ON o.estimate_id = k.id"
                                " ORDER BY o.recorded_at_utc, k.sequence_number";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, token_id != NULL ? OWN : ENDED, &statement, err));
    if (token_id != NULL) {
        lq_bind_text(statement, 1, token_id);
    }
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    while (row) {
        LQ_TRY(append(list, statement, err));
        LQ_TRY(lq_statement_step(statement, &row, err));
    }
    return LQ_OK;
}

enum lq_code lq_store_list_receipts(struct lq_store *store, const char *token_id,
                                    struct lq_receipt **list, size_t *count, struct lq_error *err)
{
    struct growing growing = {.count = 0};
    struct lq_database *reader = lq_store_lock_reader(store);
    const enum lq_code code = list_receipts(reader, token_id, &growing, err);
    lq_store_unlock_reader(store);
    if (code != LQ_OK) {
        free(growing.item);
        return code;
    }
    *list = growing.item;
    *count = growing.count;
    return LQ_OK;
}

/* An outcome on its way in. */
struct recording {
    const char *id;
    const char *token_id;
    struct lq_outcome *outcome;
    const struct lq_batch *point;
};

static enum lq_code check_owner(struct lq_database *database, const struct recording *recording,
                                struct lq_error *err)
{
    struct lq_receipt receipt;
    LQ_TRY(get_receipt(database, recording->id, &receipt, NULL, NULL, err));
    if (strcmp(receipt.token_id, recording->token_id) != 0) {
        return lq_fail(err, LQ_ESCOPE, NULL, "the estimate was saved with another token");
    }
    if (receipt.outcome.recorded_at[0] != '\0') {
        return lq_fail(err, LQ_ECONFLICT, NULL, "the outcome was recorded at %s, and is so once",
                       receipt.outcome.recorded_at);
    }
    return LQ_OK;
}

static enum lq_code insert_outcome(struct lq_database *database, const struct recording *recording,
                                   struct lq_error *err)
{
    static const char INSERT[] =
        "INSERT INTO outcomes (estimate_id, queries_per_s, duration_s, cost_usd, note,"
        " calibration_id, recorded_at_utc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    struct lq_outcome *outcome = recording->outcome;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT, &statement, err));
    lq_utc_text(time(NULL), outcome->recorded_at);
    lq_bind_text(statement, 1, recording->id);
    for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) {
        lq_bind_number_or_null(statement, 2 + q, outcome->value[q]);
    }
    lq_bind_text(statement, 5, outcome->note);
    lq_bind_text(statement, 6, outcome->calibration);
    lq_bind_text(statement, 7, outcome->recorded_at);
    return lq_statement_run(statement, err);
}

static enum lq_code record(struct lq_database *database, void *context, struct lq_effect *effect,
                           struct lq_error *err)
{
    const struct recording *recording = context;
    LQ_TRY(check_owner(database, recording, err));
    if (recording->point != NULL) {
        size_t duplicates = 0;
        char ids[1][LQ_ID_MAX];
        char contents[1][LQ_SHA256_HEX];
        lq_points_digest(recording->point, contents);
        LQ_TRY(lq_points_insert(database, recording->point, contents, ids, &duplicates, err));
        memcpy(recording->outcome->calibration, ids[0], LQ_ID_MAX);
        effect->inserted = duplicates == 0 ? 1 : 0;
    }
    return insert_outcome(database, recording, err);
}

enum lq_code lq_store_record_outcome(struct lq_store *store, const char *id, const char *token_id,
                                     struct lq_outcome *outcome, const struct lq_batch *point,
                                     struct lq_error *err)
{
    struct recording recording = {id, token_id, outcome, point};
    return lq_store_write(store, record, &recording, err);
}

enum lq_code lq_store_outcomes_version(struct lq_store *store,
                                       char version[LQ_OUTCOMES_VERSION_MAX], struct lq_error *err)
{
    /* The oldest estimates go first and numbers are not used twice: what comes in place of as many
     * that went has larger ones. */
    static const char COUNT[] = "SELECT count(*) FROM outcomes";
    static const char SUM[] = "SELECT coalesce(sum(k.sequence_number), 0) FROM outcomes o"
                              " JOIN kept_estimates k ON k.id = o.estimate_id";
    int64_t count = 0;
    int64_t sum = 0;
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = lq_database_number(reader, COUNT, &count, err);
    if (code == LQ_OK) {
        code = lq_database_number(reader, SUM, &sum, err);
    }
    lq_store_unlock_reader(store);
    snprintf(version, LQ_OUTCOMES_VERSION_MAX, "%lld.%lld", (long long)count, (long long)sum);
    return code;
}

/* Estimates whose time is over. */
struct expiry {
    char before[LQ_UTC_MAX];
    size_t deleted;
};

static enum lq_code expire(struct lq_database *database, void *context, struct lq_effect *effect,
                           struct lq_error *err)
{
    (void)effect;
    struct expiry *expiry = context;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "DELETE FROM kept_estimates WHERE stored_at_utc < ?1",
                             &statement, err));
    lq_bind_text(statement, 1, expiry->before);
    LQ_TRY(lq_statement_run(statement, err));
    expiry->deleted = (size_t)lq_database_changes(database);
    return LQ_OK;
}

enum lq_code lq_store_expire_estimates(struct lq_store *store, int days, size_t *deleted,
                                       struct lq_error *err)
{
    struct expiry expiry = {.deleted = 0};
    lq_utc_text(time(NULL) - (time_t)days * DAY_S, expiry.before);
    LQ_TRY(lq_store_write(store, expire, &expiry, err));
    *deleted = expiry.deleted;
    return LQ_OK;
}
