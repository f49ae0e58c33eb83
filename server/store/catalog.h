/* The catalog: an immutable in-memory snapshot of all that estimates are answered from, rebuilt
 * after writes and swapped atomically. Everything here is read-only and outlives the call. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/lengths.h"
#include "core/arch/model.h"
#include "core/finetune/fit.h"
#include "core/finetune/point.h"
#include "core/finetune/published.h"
#include "core/planning/law.h"
#include "core/planning/serving_evidence.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct lq_store;

/* Where a catalog entry comes from. Strings are never NULL. */
struct lq_provenance {
    const char *source;
    const char *note;
    bool recalled; /* part of it rests on memory, not on a source that was read again */
    bool shipped;  /* part of the seed: read-only */
};

struct lq_model_entry {
    struct lq_model model;
    const char *config;           /* the config.json as it came, one line of JSON */
    int64_t published_parameters; /* 0 = unknown */
    int64_t published_active_parameters;
    struct lq_parameters parameters; /* computed, at the released top-k */
    struct lq_provenance provenance;
};

struct lq_gpu_entry {
    struct lq_gpu gpu;
    struct lq_provenance provenance;
    bool unlisted; /* it only occurs in measured runs */
};

struct lq_price {
    const char *provider;
    const char *region;
    const char *instance_type;
    const char *gpu; /* catalog id */
    int64_t gpu_count;
    double instance_usd_per_h;      /* whole instance, on demand; 0 = not offered */
    double instance_spot_usd_per_h; /* 0 = not offered */
    const char *date;               /* as precise as its source: 2024, 2026-07 or 2026-07-20 */
    bool stale;                     /* its provider's date is over 180 days before the newest one */
    const char *source;
};

struct lq_provider {
    const char *id;
    const char *date;
    bool stale;
    bool shipped;
    size_t prices; /* rows */
};

/* A named length distribution; unpadded, as measured. */
struct lq_dataset {
    const char *id;
    const char *description;
    const char *unit;
    double queries;
    const struct lq_length_bin *bins; /* ascending, plain counts */
    size_t count;
    struct lq_provenance provenance;
};

/* A scaling law that a user added; the built-in ones are core's. */
struct lq_law_entry {
    struct lq_law law;
    const char *fit;       /* how it was fitted, one line of JSON; "" where it was given */
    const char *posted_by; /* name of a token */
    const char *created_at;
};

struct lq_catalog {
    const struct lq_model_entry *models; /* each list ascending by id */
    size_t model_count;
    const struct lq_gpu_entry *gpus;
    size_t gpu_count;
    const struct lq_price *prices; /* ascending by gpu, then price per GPU and hour */
    size_t price_count;
    const struct lq_provider *providers;
    size_t provider_count;
    long newest_price_day; /* in days since 1970; what is stale is measured from it */
    const struct lq_dataset *datasets;
    size_t dataset_count;
    const struct lq_point *points; /* every stored calibration, oldest first */
    size_t point_count;
    const struct lq_capacity *capacities;
    size_t capacity_count;
    const struct lq_point *runs; /* published training runs, by source and row; all shipped. What a
                                    run is no evidence for is 0: its rate, or its peak */
    size_t run_count;
    const struct lq_capacity *run_capacities; /* longest rows that fit devices of a given size */
    size_t run_capacity_count;
    const struct lq_model *measured_models; /* of published runs, not in the catalog, by id */
    size_t measured_model_count;
    const struct lq_gpu *measured_gpus; /* likewise */
    size_t measured_gpu_count;
    const struct lq_decode_run *decodes; /* measured serving, by file and row */
    size_t decode_count;
    struct lq_published published; /* shares, utilisations, expert loads, accuracies */
    const struct lq_fit *fits;     /* fitted from points and capacities, ascending by id */
    size_t fit_count;
    time_t fitted_at; /* when the fits were made */
    const struct lq_law_entry *laws;
    size_t law_count;
    char catalog_version[20]; /* 16 hex digits over models, gpus and data sets */
    char prices_version[20];
    char data_version[20]; /* over all that estimates are answered from, points included */
    char laws_version[20];
};

/* The entry with that id (case does not matter), or NULL. */
const struct lq_model_entry *lq_catalog_model(const struct lq_catalog *catalog, const char *id);
const struct lq_gpu_entry *lq_catalog_gpu(const struct lq_catalog *catalog, const char *id);
const struct lq_provider *lq_catalog_provider(const struct lq_catalog *catalog, const char *id);
const struct lq_dataset *lq_catalog_dataset(const struct lq_catalog *catalog, const char *id);
const struct lq_law_entry *lq_catalog_law(const struct lq_catalog *catalog, const char *id);

/* A model or GPU that the catalog lists or that only published runs have ("measured:phi-1.5",
 * "own:h100-96gb-hbm2e"), or NULL. */
const struct lq_model *lq_catalog_any_model(const struct lq_catalog *catalog, const char *id);
const struct lq_gpu *lq_catalog_any_gpu(const struct lq_catalog *catalog, const char *id);

/* The prices of one GPU: a run of catalog->prices; count 0 where there is none. */
const struct lq_price *lq_catalog_prices(const struct lq_catalog *catalog, const char *gpu,
                                         size_t *count);

/* Whether a price of this date is stale beside the newest one in force. */
bool lq_price_is_stale(const struct lq_catalog *catalog, const char *date);
