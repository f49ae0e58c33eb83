/* Reads JSON that training programs wrote: also with Python's NaN and Infinity, which JSON does not
 * have. What the members mean stands in the importers. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* A parsed document: private. */
struct lq_log_document;

/* Parses `size` bytes; a byte order mark in front is skipped, NaN and infinities are no numbers.
 * name: of the file, for messages · data: changed in place · out: new, free it.
 * Errors: LQ_ESYNTAX (no JSON, no UTF-8, too many values) with line, LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_log_document_parse(const char *name, char *data, size_t size,
                                               struct lq_log_document **out, struct lq_error *err);
void lq_log_document_free(struct lq_log_document *document);

/* The value at a JSON Pointer in the usual sense, without escapes: "/log_history/3/loss". False
 * where there is none of that type. A number may stand as a text ("1e-5"), as Python code writes
 * some; a flag may be true, false, "true" or "false". Texts that do not fit are none. */
bool lq_log_number(const struct lq_log_document *document, const char *pointer, double *out);
bool lq_log_text(const struct lq_log_document *document, const char *pointer, char *out,
                 size_t size);
bool lq_log_flag(const struct lq_log_document *document, const char *pointer, bool *out);
bool lq_log_has(const struct lq_log_document *document, const char *pointer); /* and is not null */

/* Elements of the list at a pointer; 0 where there is none. */
size_t lq_log_count(const struct lq_log_document *document, const char *pointer);
