/* Reads CSV as RFC 4180 has it (quotes, doubled quotes, line breaks inside quotes) from memory. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LQ_CSV_FIELDS_MAX = 48, LQ_CSV_RECORD_MAX = 4096 };

/* A reader and its current record; visible so that it can live on the stack. */
struct lq_csv {
    const char *name; /* of the file, for messages; borrowed */
    const char *next;
    const char *end;
    size_t line;  /* of the current record's first character */
    size_t lines; /* line breaks passed so far */
    size_t width; /* fields of the header: every record must have as many */
    size_t count; /* fields of the current record */
    const char *fields[LQ_CSV_FIELDS_MAX]; /* into `text`, unquoted */
    char text[LQ_CSV_RECORD_MAX];
};

/* Starts at `data` (borrowed, `size` bytes) and reads the header, which must be `header` letter for
 * letter; where that is NULL any will do, and its names are in `fields` until the next record is
 * read. A byte order mark and lines that begin with '#' are skipped in front of it.
 * Errors: LQ_ESYNTAX with file and line. */
LQ_MUST_USE enum lq_code lq_csv_open(struct lq_csv *csv, const char *name, const char *data,
                                     size_t size, const char *header, struct lq_error *err);

/* Reads the next record into `fields`; `*more` is false at the end. After a failure the reader
 * stands behind the line where that was, and the next record can be read.
 * Errors: LQ_ESYNTAX (an open quote, text beside quotes, another number of fields, too long). */
LQ_MUST_USE enum lq_code lq_csv_next(struct lq_csv *csv, bool *more, struct lq_error *err);

/* A field as a finite number or a whole one, `otherwise` where it is empty.
 * Errors: LQ_ESYNTAX with file, line and text. */
LQ_MUST_USE enum lq_code lq_csv_number(const struct lq_csv *csv, size_t field, double otherwise,
                                       double *number, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_csv_count(const struct lq_csv *csv, size_t field, int64_t otherwise,
                                      int64_t *count, struct lq_error *err);
