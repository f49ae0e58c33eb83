/* Users' scaling laws into the database and from there into a snapshot. */
#include "server/store/laws.h"

#include "server/store/snapshot.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <string.h>
#include <strings.h>
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

/* The pairs of a range in the order of the columns. */
enum { RANGE_PAIRS = 4 };

static const double *range_pair(const struct lq_law_range *range, int i)
{
    const double *const pairs[RANGE_PAIRS] = {range->parameters, range->tokens, range->experts,
                                              range->tokens_per_parameter};
    return pairs[i];
}

static enum lq_code insert_row(struct lq_database *database, const struct lq_new_law *new_law,
                               struct lq_error *err)
{
    static const char INSERT_LAW[] =
        "INSERT INTO scaling_laws (id, form, source, fit_json, posted_by, stored_at_utc,"
        " least_parameters_count, most_parameters_count, least_tokens_count, most_tokens_count,"
        " least_experts_count, most_experts_count, least_tokens_per_parameter,"
        " most_tokens_per_parameter)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    const struct lq_law *law = new_law->law;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_LAW, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    lq_bind_text(statement, 1, law->id);
    lq_bind_text(statement, 2, law->form->name);
    lq_bind_text(statement, 3, law->source);
    lq_bind_text(statement, 4, new_law->fit);
    lq_bind_text(statement, 5, new_law->token_name);
    lq_bind_text(statement, 6, now);
    for (int i = 0; i < RANGE_PAIRS; i++) {
        lq_bind_number(statement, 7 + 2 * i, range_pair(&law->range, i)[0]);
        lq_bind_number(statement, 8 + 2 * i, range_pair(&law->range, i)[1]);
    }
    return lq_statement_run(statement, err);
}

static enum lq_code insert_law(struct lq_database *database, void *context,
                               struct lq_effect *effect, struct lq_error *err)
{
    static const char INSERT_COEFFICIENT[] =
        "INSERT INTO scaling_law_coefficients (law_id, name, value) VALUES (?1, ?2, ?3)";
    const struct lq_new_law *new_law = context;
    const struct lq_law *law = new_law->law;
    LQ_TRY(refuse_taken(database, law->id, err));
    LQ_TRY(insert_row(database, new_law, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_COEFFICIENT, &statement, err));
    for (int i = 0; i < law->form->coefficients; i++) {
        lq_bind_text(statement, 1, law->id);
        lq_bind_text(statement, 2, law->form->coefficient[i].name);
        lq_bind_number(statement, 3, law->coefficient[i]);
        LQ_TRY(lq_statement_run(statement, err));
    }
    effect->catalog = true;
    return LQ_OK;
}

enum lq_code lq_store_add_law(struct lq_store *store, const struct lq_new_law *law,
                              struct lq_error *err)
{
    const size_t size = strlen(law->law->id);
    if (size == 0 || size >= LQ_ID_MAX) {
        return lq_fail(err, LQ_EFIELD, "/name", "must have 1..%d characters, got %zu",
                       LQ_ID_MAX - 1, size);
    }
    struct lq_new_law copy = *law;
    return lq_store_write(store, insert_law, &copy, err);
}

/* The number of the coefficient with that name, or -1. */
static int find_coefficient(const struct lq_law_form *form, const char *name)
{
    for (int i = 0; i < form->coefficients; i++) {
        if (strcmp(form->coefficient[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Reads a law's coefficients; `*usable` is false where they are not those of its form as this
 * program knows it. */
static enum lq_code read_coefficients(struct lq_statement *statement, const char *id,
                                      struct lq_loader *loader, struct lq_law *law, bool *usable,
                                      struct lq_error *err)
{
    lq_bind_text(statement, 1, id);
    bool row = false;
    int found = 0;
    *usable = true;
    LQ_TRY(lq_load_next(loader, statement, &row, err));
    while (row) {
        const int i = find_coefficient(law->form, lq_column_text(statement, 0));
        if (i >= 0) {
            law->coefficient[i] = lq_column_number(statement, 1);
        }
        *usable = *usable && i >= 0;
        found++;
        LQ_TRY(lq_load_next(loader, statement, &row, err));
    }
    *usable = *usable && found == law->form->coefficients;
    return LQ_OK;
}

/* A row without its coefficients. */
static enum lq_code read_law(struct lq_loader *loader, const struct lq_statement *statement,
                             struct lq_law_entry *entry, bool *usable, struct lq_error *err)
{
    bool failed = false;
    struct lq_error cause = {0};
    const char *id = lq_load_text(loader, statement, 0, &failed);
    *usable = lq_law_user(lq_column_text(statement, 1), id, &entry->law, &cause) == LQ_OK;
    entry->law.source = lq_load_text(loader, statement, 2, &failed);
    entry->fit = lq_load_text(loader, statement, 3, &failed);
    entry->posted_by = lq_load_text(loader, statement, 4, &failed);
    entry->created_at = lq_load_text(loader, statement, 5, &failed);
    struct lq_law_range *range = &entry->law.range;
    double *const pairs[RANGE_PAIRS] = {range->parameters, range->tokens, range->experts,
                                        range->tokens_per_parameter};
    for (int i = 0; i < RANGE_PAIRS; i++) {
        pairs[i][0] = lq_column_number(statement, 6 + 2 * i);
        pairs[i][1] = lq_column_number(statement, 7 + 2 * i);
    }
    range->source = entry->fit[0] != '\0' ? "the runs that it was fitted to" : "its poster";
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

enum lq_code lq_load_laws(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_LAWS[] =
        "SELECT id, form, source, fit_json, posted_by, stored_at_utc, least_parameters_count,"
        " most_parameters_count, least_tokens_count, most_tokens_count, least_experts_count,"
        " most_experts_count, least_tokens_per_parameter, most_tokens_per_parameter"
        " FROM scaling_laws ORDER BY id";
    static const char SELECT_COEFFICIENTS[] =
        "SELECT name, value FROM scaling_law_coefficients WHERE law_id = ?1 ORDER BY name";
    void *list;
    size_t capacity;
    LQ_TRY(
        lq_load_list(loader, "scaling_laws", sizeof(struct lq_law_entry), &list, &capacity, err));
    struct lq_law_entry *laws = list;
    struct lq_statement *rows LQ_AUTO(lq_statement_close) = NULL;
    struct lq_statement *coefficients LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_LAWS, &rows, err));
    LQ_TRY(lq_statement_open(loader->database, SELECT_COEFFICIENTS, &coefficients, err));
    size_t count = 0;
    for (size_t i = 0; i < capacity; i++) {
        bool row = false;
        bool usable = false;
        LQ_TRY(lq_load_next(loader, rows, &row, err));
        if (!row) {
            break;
        }
        struct lq_law_entry *entry = &laws[count];
        LQ_TRY(read_law(loader, rows, entry, &usable, err));
        if (usable) {
            LQ_TRY(
                read_coefficients(coefficients, entry->law.id, loader, &entry->law, &usable, err));
        }
        count += usable;
    }
    loader->snapshot->catalog.laws = laws;
    loader->snapshot->catalog.law_count = count;
    return LQ_OK;
}
