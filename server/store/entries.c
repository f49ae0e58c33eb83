/* Own catalog entries: models and GPUs that users add beside the shipped ones. */
#include "server/store/identity.h"
#include "server/store/rows.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <string.h>
#include <time.h>

struct entry {
    const char *id;
    const char *config;       /* a model's */
    const struct lq_gpu *gpu; /* a GPU's */
    const char *source;
    bool exists; /* found out: an own entry has the id */
};

/* Refuses ids that a shipped entry has; sees whether an own one has it. `sql` takes the id and
 * yields is_shipped, shipped rows first. */
static enum lq_code look_up(struct lq_database *database, const char *sql, struct entry *entry,
                            struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, sql, &statement, err));
    lq_bind_text(statement, 1, entry->id);
    LQ_TRY(lq_statement_step(statement, &entry->exists, err));
    if (entry->exists && lq_column_count(statement, 0) != 0) {
        return lq_fail(err, LQ_ECONFLICT, NULL,
                       "\"%s\" is shipped with the catalog and read-only; choose an id of your own",
                       entry->id);
    }
    return LQ_OK;
}

static enum lq_code check_id(const char *id, struct lq_error *err)
{
    size_t size = strlen(id);
    if (size == 0 || size >= LQ_ID_MAX) {
        return lq_fail(err, LQ_EFIELD, "/id", "must have 1..%d characters, got %zu", LQ_ID_MAX - 1,
                       size);
    }
    return LQ_OK;
}

static const char FIND_MODEL[] =
    "SELECT is_shipped FROM models WHERE id = ?1 ORDER BY is_shipped DESC";

static enum lq_code put_model(struct lq_database *database, void *context, struct lq_effect *effect,
                              struct lq_error *err)
{
    static const char PUT_MODEL[] =
        "INSERT INTO models (id, is_shipped, config_json, source, stored_at_utc)"
        " VALUES (?1, 0, ?2, 'own', ?3) ON CONFLICT (id, is_shipped) DO UPDATE"
        " SET config_json = excluded.config_json, stored_at_utc = excluded.stored_at_utc";
    struct entry *entry = context;
    LQ_TRY(look_up(database, FIND_MODEL, entry, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, PUT_MODEL, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    lq_bind_text(statement, 1, entry->id);
    lq_bind_text(statement, 2, entry->config);
    lq_bind_text(statement, 3, now);
    effect->catalog = true;
    return lq_statement_run(statement, err);
}

enum lq_code lq_store_put_model(struct lq_store *store, const char *id, const char *config,
                                bool *created, struct lq_error *err)
{
    struct lq_model model = {0};
    LQ_TRY(check_id(id, err));
    LQ_TRY(store->hooks.decode_model(id, config, &model, err));
    struct entry entry = {.id = id, .config = config};
    LQ_TRY(lq_store_write(store, put_model, &entry, err));
    *created = !entry.exists;
    return LQ_OK;
}

static enum lq_code delete_model(struct lq_database *database, void *context,
                                 struct lq_effect *effect, struct lq_error *err)
{
    struct entry *entry = context;
    LQ_TRY(look_up(database, FIND_MODEL, entry, err));
    if (!entry->exists) {
        return lq_fail(err, LQ_ENOTFOUND, NULL, "no model has the id \"%s\"", entry->id);
    }
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "DELETE FROM models WHERE id = ?1 AND is_shipped = 0",
                             &statement, err));
    lq_bind_text(statement, 1, entry->id);
    effect->catalog = true;
    return lq_statement_run(statement, err);
}

enum lq_code lq_store_delete_model(struct lq_store *store, const char *id, struct lq_error *err)
{
    struct entry entry = {.id = id};
    return lq_store_write(store, delete_model, &entry, err);
}

static enum lq_code put_gpu(struct lq_database *database, void *context, struct lq_effect *effect,
                            struct lq_error *err)
{
    /* An own GPU keeps the spelling of its id, since measurements name it. */
    static const char REMOVE_GPU[] = "DELETE FROM gpus WHERE id = ?1 AND is_shipped = 0"
                                     " RETURNING id";
    static const char FIND_GPU[] =
        "SELECT is_shipped FROM gpus WHERE id = ?1 ORDER BY is_shipped DESC";
    struct entry *entry = context;
    LQ_TRY(look_up(database, FIND_GPU, entry, err));
    struct lq_gpu gpu = *entry->gpu;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, REMOVE_GPU, &statement, err));
    lq_bind_text(statement, 1, entry->id);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (row) {
        lq_column_copy(statement, 0, gpu.id, sizeof gpu.id);
        LQ_TRY(lq_statement_run(statement, err));
    }
    effect->catalog = true;
    const struct lq_gpu_entry own = {.gpu = gpu, .provenance = {.source = entry->source}};
    return lq_gpu_insert(database, &own, err);
}

enum lq_code lq_store_put_gpu(struct lq_store *store, const struct lq_gpu *gpu, const char *source,
                              bool *created, struct lq_error *err)
{
    LQ_TRY(check_id(gpu->id, err));
    struct entry entry = {
        .id = gpu->id, .gpu = gpu, .source = source != NULL && source[0] != '\0' ? source : "own"};
    LQ_TRY(lq_store_write(store, put_gpu, &entry, err));
    *created = !entry.exists;
    return LQ_OK;
}
