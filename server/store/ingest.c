/* Calibrations: batches in, one document out, one point deleted. */
#include "server/store/identity.h"
#include "server/store/rows.h"
#include "server/store/sha256.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A batch on its way in, and the answer to it. */
struct ingest {
    const struct lq_batch *batch;
    char (*contents)[LQ_SHA256_HEX];
    char (*ids)[LQ_ID_MAX];
    size_t duplicates;
    size_t inserted;
};

static void add_number(struct lq_sha256 *sha, double number)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", number);
    lq_sha256_add_text(sha, text);
}

static void add_count(struct lq_sha256 *sha, int64_t count)
{
    char text[32] = ""; /* in decimal, from the right */
    char *first = text + sizeof text - 1;
    uint64_t rest = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (count < 0) {
        *--first = '-';
    }
    lq_sha256_add_text(sha, first);
}

static void add_identity(struct lq_sha256 *sha, const struct lq_identity *identity)
{
    lq_sha256_add_text(sha, identity->model);
    lq_sha256_add_text(sha, identity->gpu);
    lq_sha256_add_text(sha, identity->stack);
    lq_sha256_add_text(sha, LQ_METHOD_NAMES[identity->method.kind]);
    lq_sha256_add_text(sha, LQ_QUANTIZATION_NAMES[identity->method.quantization]);
    lq_sha256_add_text(sha, LQ_PRECISION_NAMES[identity->precision]);
    lq_sha256_add_text(sha, LQ_OPTIMIZER_NAMES[identity->optimizer]);
    lq_sha256_add_text(sha, LQ_CHECKPOINTING_NAMES[identity->checkpointing]);
    add_count(sha, identity->gpu_count);
    add_count(sha, identity->method.rank);
    add_count(sha, identity->method.targets);
    add_count(sha, identity->method.train_embeddings);
}

/* The digest of what was posted; what a later release may derive differently is left out. */
static void digest_point(const struct lq_new_point *new_point, char hex[LQ_SHA256_HEX])
{
    const struct lq_point *point = &new_point->point;
    const struct lq_conditions *run = &point->conditions;
    struct lq_sha256 sha;
    lq_sha256_start(&sha);
    add_identity(&sha, &point->identity);
    add_count(&sha, run->active_experts);
    add_count(&sha, run->batch_size);
    add_count(&sha, run->accumulation_steps);
    add_count(&sha, run->sequence_tokens);
    lq_sha256_add_text(&sha, run->lengths);
    lq_sha256_add_text(&sha, LQ_PADDING_NAMES[run->rule.padding]);
    add_count(&sha, run->rule.cutoff_tokens);
    add_count(&sha, run->rule.padding_multiple);
    add_number(&sha, point->queries_per_s);
    add_number(&sha, point->peak_memory_bytes);
    lq_sha256_add_text(&sha, point->source);
    lq_sha256_add_text(&sha, point->dataset);
    lq_sha256_add_text(&sha, new_point->measured_at);
    lq_sha256_add_text(&sha, new_point->document);
    lq_sha256_end_hex(&sha, hex);
}

/* Whether the point that has the id already is this one: ids are the digest's first 64 bits. */
static enum lq_code check_duplicate(struct lq_database *database, const char *content,
                                    const char *id, struct lq_error *err)
{
    static const char FIND[] =
        "SELECT content_sha256_hex FROM calibrations WHERE sequence_number = ?1";
    struct lq_statement *find LQ_AUTO(lq_statement_close) = NULL;
    int64_t number = 0;
    bool row = false;
    LQ_TRY(lq_point_find(database, id, &number, err));
    LQ_TRY(lq_statement_open(database, FIND, &find, err));
    lq_bind_count(find, 1, number);
    LQ_TRY(lq_statement_step(find, &row, err));
    return row && strcmp(lq_column_text(find, 0), content) == 0
               ? LQ_OK
               : lq_fail(err, LQ_ECONFLICT, NULL,
                         "another point has the id \"%s\" by chance; alter this one", id);
}

void lq_points_digest(const struct lq_batch *batch, char (*contents)[LQ_SHA256_HEX])
{
    for (size_t i = 0; i < batch->count; i++) {
        digest_point(&batch->points[i], contents[i]);
    }
}

enum lq_code lq_points_insert(struct lq_database *database, const struct lq_batch *batch,
                              char (*contents)[LQ_SHA256_HEX], char (*ids)[LQ_ID_MAX],
                              size_t *duplicates, struct lq_error *err)
{
    struct lq_point_writer writer LQ_AUTO(lq_point_writer_close) = {0};
    LQ_TRY(lq_point_writer_open(database, &writer, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    for (size_t i = 0; i < batch->count; i++) {
        const struct lq_new_point *point = &batch->points[i];
        const struct lq_point_row row = {.point = &point->point,
                                         .content = contents[i],
                                         .note = "",
                                         .measured_at = point->measured_at,
                                         .document = point->document,
                                         .posted_by = batch->token_name,
                                         .token_id = batch->token_id,
                                         .stored_at = now};
        bool written = false;
        lq_point_id(contents[i], ids[i]);
        LQ_TRY(lq_point_write(&writer, &row, &written, err));
        if (!written) {
            LQ_TRY(check_duplicate(database, contents[i], ids[i], err));
            (*duplicates)++;
        }
    }
    return LQ_OK;
}

/* Reads the ids of an earlier answer, one a line. */
static enum lq_code read_ids(const char *lines, struct ingest *ingest, struct lq_error *err)
{
    for (size_t i = 0; i < ingest->batch->count; i++) {
        size_t size = strcspn(lines, "\n");
        if (size == 0 || size >= LQ_ID_MAX) {
            return lq_fail(err, LQ_ESTORE, NULL, "a stored answer has fewer ids than its body");
        }
        memcpy(ingest->ids[i], lines, size);
        ingest->ids[i][size] = '\0';
        lines += size + (lines[size] == '\n');
    }
    return LQ_OK;
}

/* The receipt of an earlier call with this key, if there is one. */
static enum lq_code find_receipt(struct lq_database *database, const struct lq_batch *batch,
                                 struct lq_statement **statement, bool *found, struct lq_error *err)
{
    static const char FIND_RECEIPT[] =
        "SELECT body_digest_hex, calibration_ids_lines, duplicates_count, implausible_ids_lines"
        " FROM receipts WHERE token_id = ?1 AND idempotency_key = ?2";
    LQ_TRY(lq_statement_open(database, FIND_RECEIPT, statement, err));
    lq_bind_text(*statement, 1, batch->token_id);
    lq_bind_text(*statement, 2, batch->idempotency_key);
    LQ_TRY(lq_statement_step(*statement, found, err));
    return !*found || strcmp(lq_column_text(*statement, 0), batch->body_digest) == 0
               ? LQ_OK
               : lq_fail(err, LQ_ECONFLICT, NULL,
                         "the Idempotency-Key \"%s\" was used before, with another body",
                         batch->idempotency_key);
}

/* Answers a batch that came while an equal one was on its way. */
static enum lq_code replay(struct lq_database *database, struct ingest *ingest, bool *replayed,
                           struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(find_receipt(database, ingest->batch, &statement, replayed, err));
    if (!*replayed) {
        return LQ_OK;
    }
    ingest->duplicates = (size_t)lq_column_count(statement, 2);
    return read_ids(lq_column_text(statement, 1), ingest, err);
}

static enum lq_code read_answer(struct lq_database *database, const struct lq_batch *batch,
                                struct lq_batch_answer *answer, struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    bool found = false;
    LQ_TRY(find_receipt(database, batch, &statement, &found, err));
    if (!found) {
        return LQ_OK;
    }
    answer->duplicates = (size_t)lq_column_count(statement, 2);
    answer->ids = strdup(lq_column_text(statement, 1));
    answer->implausible = strdup(lq_column_text(statement, 3));
    return answer->ids != NULL && answer->implausible != NULL
               ? LQ_OK
               : lq_fail(err, LQ_ESTORE, NULL, "out of memory");
}

enum lq_code lq_store_find_answer(struct lq_store *store, const struct lq_batch *batch,
                                  struct lq_batch_answer *answer, struct lq_error *err)
{
    *answer = (struct lq_batch_answer){.ids = NULL};
    struct lq_database *reader = lq_store_lock_reader(store);
    const enum lq_code code = read_answer(reader, batch, answer, err);
    lq_store_unlock_reader(store);
    if (code != LQ_OK) {
        lq_batch_answer_free(answer);
    }
    return code;
}

void lq_batch_answer_free(struct lq_batch_answer *answer)
{
    free(answer->ids);
    free(answer->implausible);
    *answer = (struct lq_batch_answer){.ids = NULL};
}

static enum lq_code insert_receipt(struct lq_database *database, const struct ingest *ingest,
                                   const char *lines, const char *implausible, struct lq_error *err)
{
    static const char INSERT_RECEIPT[] =
        "INSERT INTO receipts (token_id, idempotency_key, body_digest_hex,"
        " calibration_ids_lines, duplicates_count, stored_at_utc, implausible_ids_lines)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_RECEIPT, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    lq_bind_text(statement, 1, ingest->batch->token_id);
    lq_bind_text(statement, 2, ingest->batch->idempotency_key);
    lq_bind_text(statement, 3, ingest->batch->body_digest);
    lq_bind_text(statement, 4, lines);
    lq_bind_count(statement, 5, (int64_t)ingest->duplicates);
    lq_bind_text(statement, 6, now);
    lq_bind_text(statement, 7, implausible);
    return lq_statement_run(statement, err);
}

static enum lq_code keep_receipt(struct lq_database *database, const struct ingest *ingest,
                                 struct lq_error *err)
{
    const struct lq_batch *batch = ingest->batch;
    const size_t room = batch->count * LQ_ID_MAX + 1;
    char *lines = malloc(2 * room);
    if (lines == NULL) {
        return lq_fail(err, LQ_ESTORE, NULL, "out of memory");
    }
    char *implausible = lines + room;
    char *end = lines;
    char *implausible_end = implausible;
    for (size_t i = 0; i < batch->count; i++) {
        end = stpcpy(stpcpy(end, ingest->ids[i]), "\n");
        if (batch->points[i].implausible) {
            implausible_end = stpcpy(stpcpy(implausible_end, ingest->ids[i]), "\n");
        }
    }
    *end = *implausible_end = '\0';
    enum lq_code code = insert_receipt(database, ingest, lines, implausible, err);
    free(lines);
    return code;
}

static enum lq_code add_points(struct lq_database *database, void *context,
                               struct lq_effect *effect, struct lq_error *err)
{
    struct ingest *ingest = context;
    bool has_key = ingest->batch->idempotency_key != NULL;
    bool replayed = false;
    if (has_key) {
        LQ_TRY(replay(database, ingest, &replayed, err));
    }
    if (replayed) {
        effect->repeated = (int64_t)ingest->batch->count;
        return LQ_OK;
    }
    LQ_TRY(lq_points_insert(database, ingest->batch, ingest->contents, ingest->ids,
                            &ingest->duplicates, err));
    ingest->inserted = ingest->batch->count - ingest->duplicates;
    effect->inserted = (int64_t)ingest->inserted;
    effect->repeated = (int64_t)ingest->duplicates;
    return has_key ? keep_receipt(database, ingest, err) : LQ_OK;
}

enum lq_code lq_store_add_points(struct lq_store *store, const struct lq_batch *batch,
                                 char (*ids)[LQ_ID_MAX], size_t *duplicates, size_t *inserted,
                                 struct lq_error *err)
{
    struct ingest ingest = {.batch = batch, .ids = ids};
    ingest.contents = calloc(batch->count, sizeof *ingest.contents);
    if (ingest.contents == NULL) {
        return lq_fail(err, LQ_ESTORE, NULL, "out of memory");
    }
    lq_points_digest(batch, ingest.contents); /* here, since the writer is one for all */
    const enum lq_code code = lq_store_write(store, add_points, &ingest, err);
    free(ingest.contents);
    *duplicates = ingest.duplicates;
    if (inserted != NULL) {
        *inserted = code == LQ_OK ? ingest.inserted : 0;
    }
    return code;
}

static enum lq_code delete_point(struct lq_database *database, void *context,
                                 struct lq_effect *effect, struct lq_error *err)
{
    static const char DELETE_POINT[] =
        "DELETE FROM calibrations WHERE sequence_number = ?1 RETURNING is_shipped";
    const char *id = context;
    int64_t number = 0;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_point_find(database, id, &number, err));
    LQ_TRY(lq_statement_open(database, DELETE_POINT, &statement, err));
    lq_bind_count(statement, 1, number);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (lq_column_count(statement, 0) != 0) { /* and the deletion is rolled back */
        return lq_fail(err, LQ_ECONFLICT, NULL, "\"%s\" is shipped with the catalog and read-only",
                       id);
    }
    effect->deleted = 1;
    LQ_TRY(lq_statement_run(statement, err));
    return lq_settings_sweep(database, err);
}

enum lq_code lq_store_delete_point(struct lq_store *store, const char *id, struct lq_error *err)
{
    return lq_store_write(store, delete_point, (void *)(uintptr_t)id, err);
}
