/* Rows as they are written, by users and by the seed alike. */
#pragma once

#include "core/base/error.h"
#include "core/finetune/point.h"
#include "server/store/catalog.h"
#include "server/store/statement.h"

/* Inserts a GPU. Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_gpu_insert(struct lq_database *database,
                                       const struct lq_gpu_entry *entry, struct lq_error *err);

/* A calibration with all that stands beside the point; texts are "" where there is nothing. */
struct lq_point_row {
    const struct lq_point *point; /* numbers that are 0 are not stored and derived when loaded */
    const char *content;          /* hex digest of a posted point, which makes its id; "" for a
                                     shipped one, whose point has it */
    const char *note;
    const char *measured_at;
    const char *document;
    const char *posted_by;
    const char *token_id; /* NULL: none */
    const char *stored_at;
};

/* Inserts calibrations, one after another inside a transaction. Points of one setting that follow
 * each other find it once. */
struct lq_point_writer {
    struct lq_database *database;
    struct lq_statement *insert;
    struct lq_identity identity; /* of the row before */
    int64_t setting;             /* its number in settings; 0: there was none */
};

LQ_MUST_USE enum lq_code lq_point_writer_open(struct lq_database *database,
                                              struct lq_point_writer *writer, struct lq_error *err);
void lq_point_writer_close(struct lq_point_writer *writer);

/* Writes a row; `*written` false: its id is there already, and nothing was done. Errors: LQ_ESTORE.
 */
LQ_MUST_USE enum lq_code lq_point_write(struct lq_point_writer *writer,
                                        const struct lq_point_row *row, bool *written,
                                        struct lq_error *err);

/* Removes the settings that no calibration has any more: what follows a deletion. */
LQ_MUST_USE enum lq_code lq_settings_sweep(struct lq_database *database, struct lq_error *err);

/* The id of a posted point: "cal-" and the first 16 digits of its content's hex digest. */
void lq_point_id(const char *content, char id[LQ_ID_MAX]);

/* Which row has the id. Errors: LQ_ENOTFOUND, LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_point_find(struct lq_database *database, const char *id,
                                       int64_t *sequence_number, struct lq_error *err);
