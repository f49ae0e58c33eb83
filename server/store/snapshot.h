/* A catalog with its memory and the count of its readers, built from the database in parts. */
#pragma once

#include "core/base/error.h"
#include "core/base/hash.h"
#include "server/store/catalog.h"
#include "server/store/pool.h"
#include "server/store/statement.h"
#include "server/store/store.h"

#include <stdatomic.h>

/* How far the database had come, counted since it was opened. */
struct lq_mark {
    int64_t commits;  /* that changed what a catalog is made of */
    int64_t inserted; /* points */
    int64_t deleted;
    int64_t judged; /* exclusions and confirmations that came or went */
};

struct lq_snapshot {
    struct lq_catalog catalog; /* first: readers hold a pointer to it */
    atomic_size_t references;
    struct lq_mark mark;       /* of what it was read from */
    int64_t last_point_number; /* the largest of the calibrations' sequence numbers */
    uint64_t points_hash;      /* of their rows, so that later ones can be added */
    struct lq_pool pool;       /* all texts and lists but the fits */
    struct lq_fit *fits;       /* new from the refit hook */
};

/* What a snapshot is built from. */
struct lq_source {
    struct lq_database *database; /* inside a transaction, or where nobody else writes */
    const struct lq_hooks *hooks;
    struct lq_mark mark;                /* of what that transaction sees */
    const struct lq_snapshot *previous; /* one of this store whose points may be taken over; NULL */
};

/* Reads everything. `*snapshot` is new with one reference, and has no fits. Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_snapshot_read(const struct lq_source *source,
                                          struct lq_snapshot **snapshot, struct lq_error *err);
/* Gives it its fits, which takes seconds and no database. Errors: whatever the refit says. */
LQ_MUST_USE enum lq_code lq_snapshot_refit(struct lq_snapshot *snapshot,
                                           const struct lq_hooks *hooks, struct lq_error *err);
/* Both, one after the other. */
LQ_MUST_USE enum lq_code lq_snapshot_build(const struct lq_source *source,
                                           struct lq_snapshot **snapshot, struct lq_error *err);
/* Whether catalogs, prices and laws as they are can be read: what a change to them must leave.
 * Errors: as lq_snapshot_build's. */
LQ_MUST_USE enum lq_code lq_snapshot_try(struct lq_database *database, const struct lq_hooks *hooks,
                                         struct lq_error *err);
/* The mark of the snapshot that a catalog is of; borrowed. */
const struct lq_mark *lq_snapshot_mark(const struct lq_catalog *catalog);
/* Gives up one reference; the last one frees. NULL is fine. */
void lq_snapshot_release(struct lq_snapshot *snapshot);

/* What the parts share: where rows come from, where they go, and the hash of what was read. */
struct lq_loader {
    struct lq_database *database;
    const struct lq_hooks *hooks;
    struct lq_snapshot *snapshot;
    const struct lq_snapshot *previous; /* or NULL */
    uint64_t hash;                      /* of the part's rows, LQ_HASH_START before the first */
};

LQ_MUST_USE enum lq_code lq_load_models(struct lq_loader *loader, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_load_gpus(struct lq_loader *loader, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_load_datasets(struct lq_loader *loader, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_load_prices(struct lq_loader *loader, struct lq_error *err);
/* After the data sets: points that name one get their row length from it. */
LQ_MUST_USE enum lq_code lq_load_points(struct lq_loader *loader, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_load_capacities(struct lq_loader *loader, struct lq_error *err);
/* Models and GPUs that only published runs have. */
LQ_MUST_USE enum lq_code lq_load_measured(struct lq_loader *loader, struct lq_error *err);
/* After all that runs may name. */
LQ_MUST_USE enum lq_code lq_load_runs(struct lq_loader *loader, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_load_decodes(struct lq_loader *loader, struct lq_error *err);
/* Published profiles and accuracies. */
LQ_MUST_USE enum lq_code lq_load_published(struct lq_loader *loader, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_load_laws(struct lq_loader *loader, struct lq_error *err);

/* One GPU from the neighbouring columns LQ_GPU_COLUMNS, which stand first. */
#define LQ_GPU_COLUMNS                                                                             \
    "id, vendor, architecture, compute_capability, memory_bytes, memory_is_reported,"              \
    " memory_nominal_bytes, memory_bandwidth_bytes_per_s, fp32_flop_per_s, tf32_flop_per_s,"       \
    " fp16_flop_per_s, fp8_flop_per_s, int8_op_per_s, fp4_flop_per_s,"                             \
    " interconnect_bytes_per_s, pcie_generation_number, sm_count, tdp_w, l2_bytes, boost_hz"
void lq_load_gpu(const struct lq_statement *statement, struct lq_gpu *gpu);

/* A list of `SELECT count(*) FROM table` things of `size` bytes in the snapshot's pool. */
LQ_MUST_USE enum lq_code lq_load_list(struct lq_loader *loader, const char *table, size_t size,
                                      void **list, size_t *capacity, struct lq_error *err);
/* Steps to the next row and adds it to the part's hash: what is read is in its version. `*row` is
 * false after the last one. */
LQ_MUST_USE enum lq_code lq_load_next(struct lq_loader *loader, struct lq_statement *statement,
                                      bool *row, struct lq_error *err);
/* A column's text in the snapshot's pool; sets `*failed` when out of memory, and is then "". */
const char *lq_load_text(struct lq_loader *loader, const struct lq_statement *statement, int column,
                         bool *failed);
/* Source, note, recalled, shipped from four neighbouring columns. */
struct lq_provenance lq_load_provenance(struct lq_loader *loader,
                                        const struct lq_statement *statement, int first,
                                        bool *failed);
enum lq_code lq_load_out_of_memory(struct lq_error *err);

/* Orders ids as the catalogs' lists are: letters of either case are equal. */
int lq_id_compare(const char *a, const char *b);
