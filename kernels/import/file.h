/* Reading of imported files: whole and bounded, and lines of "key: value". */
#pragma once

#include "core/base/error.h"
#include "kernels/document/log.h"
#include "kernels/import/import.h"

#include <stdbool.h>
#include <stddef.h>

/* A file's bytes with a terminator behind them; free `data` with free(). */
struct lq_import_text {
    char *data;
    size_t size;
};

/* Whether source's folder has a regular file of that name. */
bool lq_import_exists(const struct lq_import_source *source, const char *file);

/* Reads a file of source's folder (`file` NULL: its log). A byte order mark is left out.
 * Errors: LQ_EFILE (cannot be read, no regular file, larger than LQ_IMPORT_BYTES_MAX); LQ_ESYNTAX
 * (empty, binary, HTML). */
LQ_MUST_USE enum lq_code lq_import_read(const struct lq_import_source *source, const char *file,
                                        struct lq_import_text *out, struct lq_error *err);

/* The same, parsed. */
LQ_MUST_USE enum lq_code lq_import_parse(const struct lq_import_source *source, const char *file,
                                         struct lq_log_document **out, struct lq_error *err);

/* The next line of [*next, end), ended in place with its line break left out; NULL at the end. */
char *lq_import_line(char **next, char *end);

/* The value of `key` in lines of "key: value" as tools write settings (the flat part of YAML):
 * quotes and comments are left out, "- " in front is too. `path` has dots for one level of
 * indentation: "model.lora_rank". A list in brackets is copied as it stands; one of "- item" lines
 * becomes "[a, b]". False where there is none, or it does not fit. */
bool lq_import_setting(const struct lq_import_text *text, const char *path, char *out, size_t size);

/* The same as a finite number, and as a flag (true, false, yes, no, in any case). */
bool lq_import_setting_number(const struct lq_import_text *text, const char *path, double *out);
bool lq_import_setting_flag(const struct lq_import_text *text, const char *path, bool *out);

/* Finds the settings of a run: options->config, else the first of `names` that lies in source's
 * folder, else its only *.yaml. `*out` has no data where there is none. `from` gets its name. */
LQ_MUST_USE enum lq_code lq_import_settings(const struct lq_import_source *source,
                                            const char *config, const char *const *names,
                                            struct lq_import_text *out, char from[48],
                                            struct lq_error *err);
