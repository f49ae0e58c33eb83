/* The shipped rows: written from the embedded files into new databases and into old ones whenever
 * the program brings other files than the ones they were written from. */
#pragma once

#include "core/base/error.h"
#include "migrations/embed.h"
#include "server/store/catalog.h"
#include "server/store/statement.h"

#include <stdbool.h>

/* Replaces all shipped rows in one transaction unless they are this program's already; own rows
 * stay. An own model or GPU whose id is now shipped waits, out of force, behind the shipped one.
 * Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_seed_apply(struct lq_database *database, struct lq_error *err);

/* For the parts below: what they write to, and when. */
struct lq_seeding {
    struct lq_database *database;
    const char *now; /* RFC 3339 */
};

LQ_MUST_USE enum lq_code lq_seed_catalogs(const struct lq_seeding *seeding, struct lq_error *err);
/* Calibrations and capacities of arXiv 2408.04693. */
LQ_MUST_USE enum lq_code lq_seed_xia2024(const struct lq_seeding *seeding, struct lq_error *err);
/* The catalog id behind a model's label in that paper's files; the label where there is none. */
const char *lq_xia2024_model(const char *label);
/* Published figures, file by file as they are. */
LQ_MUST_USE enum lq_code lq_seed_evidence(const struct lq_seeding *seeding, struct lq_error *err);

/* The embedded file of that name. Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_seed_file(const char *name, const struct lq_embedded **file,
                                      struct lq_error *err);

/* Handles one record of a file; fields as csv.h has them. */
struct lq_csv;
typedef enum lq_code (*lq_seed_record)(const struct lq_csv *csv, void *context,
                                       struct lq_error *err);
/* Calls `handle` for every record of an embedded CSV file with that header. */
LQ_MUST_USE enum lq_code lq_seed_read(const char *name, const char *header, lq_seed_record handle,
                                      void *context, struct lq_error *err);
