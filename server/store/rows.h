/* Rows as they are written, by users and by the seed alike. */
#pragma once

#include "core/base/error.h"
#include "server/store/catalog.h"
#include "server/store/statement.h"

/* Inserts a GPU. Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_gpu_insert(struct lq_database *database,
                                       const struct lq_gpu_entry *entry, struct lq_error *err);

/* A calibration with all that stands beside the point; texts are "" where there is nothing. */
struct lq_point_row {
    const struct lq_point *point; /* numbers that are 0 are not stored and derived when loaded */
    const char *content;          /* hex digest of a posted point; "" for a shipped one */
    const char *note;
    const char *measured_at;
    const char *document;
    const char *posted_by;
    const char *token_id; /* NULL: none */
    const char *stored_at;
};

/* The statement that inserts calibrations, left alone where the id or the content is there
 * already; prepared once, run for each row. */
extern const char LQ_POINT_INSERT[];
/* Binds a row, borrowed until the statement is run. */
void lq_point_bind(struct lq_statement *statement, const struct lq_point_row *row);
