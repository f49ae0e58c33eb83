/* Builds a snapshot part by part and counts its readers. */
#include "server/store/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum lq_code lq_load_out_of_memory(struct lq_error *err)
{
    return lq_fail(err, LQ_ESTORE, NULL, "out of memory while loading the catalog");
}

enum lq_code lq_load_list(struct lq_loader *loader, const char *table, size_t size, void **list,
                          size_t *capacity, struct lq_error *err)
{
    char sql[192];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    int64_t rows = 0;
    LQ_TRY(lq_database_number(loader->database, sql, &rows, err));
    *capacity = (size_t)rows;
    *list = lq_pool_take(&loader->snapshot->pool, *capacity, size);
    return *list != NULL ? LQ_OK : lq_load_out_of_memory(err);
}

enum lq_code lq_load_next(struct lq_loader *loader, struct lq_statement *statement, bool *row,
                          struct lq_error *err)
{
    LQ_TRY(lq_statement_step(statement, row, err));
    if (*row) {
        lq_statement_hash(statement, &loader->hash);
    }
    return LQ_OK;
}

const char *lq_load_text(struct lq_loader *loader, const struct lq_statement *statement, int column,
                         bool *failed)
{
    const char *text = lq_column_text(statement, column);
    if (text[0] == '\0') {
        return "";
    }
    const char *copy = lq_pool_text(&loader->snapshot->pool, text);
    *failed = *failed || copy == NULL;
    return copy != NULL ? copy : "";
}

struct lq_provenance lq_load_provenance(struct lq_loader *loader,
                                        const struct lq_statement *statement, int first,
                                        bool *failed)
{
    return (struct lq_provenance){
        .source = lq_load_text(loader, statement, first, failed),
        .note = lq_load_text(loader, statement, first + 1, failed),
        .recalled = lq_column_count(statement, first + 2) != 0,
        .shipped = lq_column_count(statement, first + 3) != 0,
    };
}

static void write_version(uint64_t hash, char version[20])
{
    snprintf(version, 20, "%016" PRIx64, hash);
}

/* Each part continues the hash of those before it; the versions are taken along the way. */
static enum lq_code load_catalogs(struct lq_loader *loader, struct lq_error *err)
{
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    LQ_TRY(lq_load_models(loader, err));
    LQ_TRY(lq_load_gpus(loader, err));
    LQ_TRY(lq_load_datasets(loader, err));
    write_version(loader->hash, catalog->catalog_version);
    uint64_t catalog_hash = loader->hash;
    loader->hash = LQ_HASH_START;
    LQ_TRY(lq_load_prices(loader, err));
    write_version(loader->hash, catalog->prices_version);
    loader->hash ^= catalog_hash;
    return LQ_OK;
}

static enum lq_code load_laws(struct lq_loader *loader, struct lq_error *err)
{
    loader->hash = LQ_HASH_START;
    LQ_TRY(lq_load_laws(loader, err));
    write_version(loader->hash, loader->snapshot->catalog.laws_version);
    return LQ_OK;
}

static enum lq_code load(struct lq_loader *loader, struct lq_error *err)
{
    LQ_TRY(load_catalogs(loader, err));
    LQ_TRY(lq_load_points(loader, err));
    LQ_TRY(lq_load_capacities(loader, err));
    LQ_TRY(lq_load_measured(loader, err));
    LQ_TRY(lq_load_runs(loader, err));
    LQ_TRY(lq_load_decodes(loader, err));
    LQ_TRY(lq_load_published(loader, err));
    write_version(loader->hash, loader->snapshot->catalog.data_version);
    return load_laws(loader, err);
}

static struct lq_snapshot *snapshot_new(void)
{
    struct lq_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot != NULL) {
        atomic_init(&snapshot->references, 1);
    }
    return snapshot;
}

enum lq_code lq_snapshot_read(const struct lq_source *source, struct lq_snapshot **snapshot,
                              struct lq_error *err)
{
    struct lq_snapshot *read = snapshot_new();
    if (read == NULL) {
        return lq_load_out_of_memory(err);
    }
    read->mark = source->mark;
    struct lq_loader loader = {.database = source->database,
                               .hooks = source->hooks,
                               .snapshot = read,
                               .previous = source->previous,
                               .hash = LQ_HASH_START};
    const enum lq_code code = load(&loader, err);
    if (code != LQ_OK) {
        lq_snapshot_release(read);
        return code;
    }
    *snapshot = read;
    return LQ_OK;
}

enum lq_code lq_snapshot_refit(struct lq_snapshot *snapshot, const struct lq_hooks *hooks,
                               struct lq_error *err)
{
    size_t fits = 0;
    LQ_TRY(hooks->refit(&snapshot->catalog, &snapshot->fits, &fits, err));
    snapshot->catalog.fits = snapshot->fits;
    snapshot->catalog.fit_count = fits;
    snapshot->catalog.fitted_at = time(NULL);
    return LQ_OK;
}

enum lq_code lq_snapshot_build(const struct lq_source *source, struct lq_snapshot **snapshot,
                               struct lq_error *err)
{
    struct lq_snapshot *built = NULL;
    LQ_TRY(lq_snapshot_read(source, &built, err));
    const enum lq_code code = lq_snapshot_refit(built, source->hooks, err);
    if (code != LQ_OK) {
        lq_snapshot_release(built);
        return code;
    }
    *snapshot = built;
    return LQ_OK;
}

enum lq_code lq_snapshot_try(struct lq_database *database, const struct lq_hooks *hooks,
                             struct lq_error *err)
{
    struct lq_snapshot *tried = snapshot_new();
    if (tried == NULL) {
        return lq_load_out_of_memory(err);
    }
    struct lq_loader loader = {
        .database = database, .hooks = hooks, .snapshot = tried, .hash = LQ_HASH_START};
    enum lq_code code = load_catalogs(&loader, err);
    if (code == LQ_OK) {
        code = load_laws(&loader, err);
    }
    lq_snapshot_release(tried);
    return code;
}

const struct lq_mark *lq_snapshot_mark(const struct lq_catalog *catalog)
{
    /* the catalog is its snapshot's first member */
    return &((const struct lq_snapshot *)(const void *)catalog)->mark;
}

void lq_snapshot_release(struct lq_snapshot *snapshot)
{
    if (snapshot != NULL && atomic_fetch_sub(&snapshot->references, 1) == 1) {
        lq_pool_clear(&snapshot->pool);
        free(snapshot->fits);
        free(snapshot);
    }
}
