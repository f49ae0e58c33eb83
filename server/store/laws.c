/* Users' scaling laws into the database and from there into a snapshot. */
#include "server/store/laws.h"

#include "server/store/snapshot.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <string.h>
#include <time.h>

static enum lq_code refuse_taken(struct lq_database *database, const char *id, struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "SELECT stored_at_utc FROM scaling_laws WHERE id = ?1",
                             &statement, err));
    lq_bind_text(statement, 1, id);
    bool taken = false;
    LQ_TRY(lq_statement_step(statement, &taken, err));
    return taken ? lq_fail(err, LQ_ECONFLICT, "/name",
                           "the law \"%s\" was stored at %s and never changes; choose another name",
                           id, lq_column_text(statement, 0))
                 : LQ_OK;
}

static enum lq_code insert_coefficients(struct lq_database *database, const struct lq_new_law *law,
                                        struct lq_error *err)
{
    static const char INSERT_COEFFICIENT[] =
        "INSERT INTO scaling_law_coefficients (law_id, name, value) VALUES (?1, ?2, ?3)";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_COEFFICIENT, &statement, err));
    for (size_t i = 0; i < law->coefficient_count; i++) {
        lq_bind_text(statement, 1, law->id);
        lq_bind_text(statement, 2, law->coefficients[i].name);
        lq_bind_number(statement, 3, law->coefficients[i].value);
        LQ_TRY(lq_statement_run(statement, err));
    }
    return LQ_OK;
}

static enum lq_code insert_law(struct lq_database *database, void *context, bool *rebuild,
                               struct lq_error *err)
{
    static const char INSERT_LAW[] =
        "INSERT INTO scaling_laws (id, form, source, fit_json, posted_by, stored_at_utc)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    const struct lq_new_law *law = context;
    LQ_TRY(refuse_taken(database, law->id, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_LAW, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    lq_bind_text(statement, 1, law->id);
    lq_bind_text(statement, 2, law->form);
    lq_bind_text(statement, 3, law->source);
    lq_bind_text(statement, 4, law->fit);
    lq_bind_text(statement, 5, law->token_name);
    lq_bind_text(statement, 6, now);
    LQ_TRY(lq_statement_run(statement, err));
    *rebuild = true;
    return insert_coefficients(database, law, err);
}

enum lq_code lq_store_add_law(struct lq_store *store, const struct lq_new_law *law,
                              struct lq_error *err)
{
    const size_t size = strlen(law->id);
    if (size == 0 || size >= LQ_ID_MAX) {
        return lq_fail(err, LQ_EFIELD, "/name", "must have 1..%d characters, got %zu",
                       LQ_ID_MAX - 1, size);
    }
    struct lq_new_law copy = *law;
    return lq_store_write(store, insert_law, &copy, err);
}

/* All coefficients in one list, by law as the laws are listed. */
static enum lq_code load_coefficients(struct lq_loader *loader, struct lq_law_entry *laws,
                                      size_t law_count, struct lq_error *err)
{
    static const char SELECT_COEFFICIENTS[] =
        "SELECT law_id, name, value FROM scaling_law_coefficients ORDER BY law_id, name";
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "scaling_law_coefficients", sizeof(struct lq_law_coefficient),
                        &list, &capacity, err));
    struct lq_law_coefficient *coefficients = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_COEFFICIENTS, &statement, err));
    size_t law = 0;
    bool row = true;
    bool failed = false;
    for (size_t i = 0; i < capacity; i++) {
        LQ_TRY(lq_statement_step(statement, &row, err));
        if (!row) {
            break;
        }
        lq_statement_hash(statement, &loader->hash);
        coefficients[i].name = lq_load_text(loader, statement, 1, &failed);
        coefficients[i].value = lq_column_number(statement, 2);
        while (law < law_count && lq_id_compare(laws[law].id, lq_column_text(statement, 0)) != 0) {
            law++;
        }
        if (law == law_count) {
            return lq_fail(err, LQ_ESTORE, NULL, "coefficients of no scaling law: \"%s\"",
                           lq_column_text(statement, 0));
        }
        if (laws[law].coefficient_count++ == 0) {
            laws[law].coefficients = &coefficients[i];
        }
    }
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

static enum lq_code load_laws(struct lq_loader *loader, struct lq_law_entry *laws, size_t capacity,
                              size_t *count, struct lq_error *err)
{
    static const char SELECT_LAWS[] =
        "SELECT id, form, source, fit_json, posted_by, stored_at_utc FROM scaling_laws ORDER BY id";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_LAWS, &statement, err));
    bool row = true;
    bool failed = false;
    for (*count = 0; *count < capacity; ++*count) {
        LQ_TRY(lq_statement_step(statement, &row, err));
        if (!row) {
            break;
        }
        lq_statement_hash(statement, &loader->hash);
        laws[*count] = (struct lq_law_entry){
            .id = lq_load_text(loader, statement, 0, &failed),
            .form = lq_load_text(loader, statement, 1, &failed),
            .source = lq_load_text(loader, statement, 2, &failed),
            .fit = lq_load_text(loader, statement, 3, &failed),
            .posted_by = lq_load_text(loader, statement, 4, &failed),
            .created_at = lq_load_text(loader, statement, 5, &failed),
        };
    }
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

enum lq_code lq_load_laws(struct lq_loader *loader, struct lq_error *err)
{
    void *list;
    size_t capacity;
    size_t count = 0;
    LQ_TRY(
        lq_load_list(loader, "scaling_laws", sizeof(struct lq_law_entry), &list, &capacity, err));
    LQ_TRY(load_laws(loader, list, capacity, &count, err));
    LQ_TRY(load_coefficients(loader, list, count, err));
    loader->snapshot->catalog.laws = list;
    loader->snapshot->catalog.law_count = count;
    return LQ_OK;
}
