/* One pass over the bytes; what a column means is for the caller. */
#include "server/csv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum lq_code fail(const struct lq_csv *csv, const char *what, struct lq_error *err)
{
    return lq_fail(err, LQ_ESYNTAX, NULL, "%s:%zu: %s", csv->name, csv->line, what);
}

/* Appends one character to the record's text. */
static bool put(struct lq_csv *csv, size_t *used, char c)
{
    if (*used == sizeof csv->text) {
        return false;
    }
    csv->text[(*used)++] = c;
    return true;
}

static bool at_break(const struct lq_csv *csv)
{
    return csv->next == csv->end || *csv->next == '\n' ||
           (*csv->next == '\r' && csv->next + 1 < csv->end && csv->next[1] == '\n');
}

/* What stands between quotes, a doubled quote being one; leaves the reader behind the last one. */
static enum lq_code read_quoted(struct lq_csv *csv, size_t *used, struct lq_error *err)
{
    for (csv->next++; csv->next < csv->end; csv->next++) {
        if (*csv->next == '"') {
            csv->next++;
            if (csv->next == csv->end || *csv->next != '"') {
                return LQ_OK;
            }
        }
        csv->lines += *csv->next == '\n';
        if (*csv->next == '\0') {
            return fail(csv, "a NUL character", err);
        }
        if (!put(csv, used, *csv->next)) {
            return fail(csv, "the record is too long", err);
        }
    }
    return fail(csv, "a quote is never closed", err);
}

static enum lq_code read_plain(struct lq_csv *csv, size_t *used, struct lq_error *err)
{
    for (; !at_break(csv) && *csv->next != ','; csv->next++) {
        if (*csv->next == '"' || *csv->next == '\0' || *csv->next == '\r') {
            return fail(csv, "a quote or control character in a field without quotes", err);
        }
        if (!put(csv, used, *csv->next)) {
            return fail(csv, "the record is too long", err);
        }
    }
    return LQ_OK;
}

static enum lq_code read_field(struct lq_csv *csv, size_t *used, struct lq_error *err)
{
    if (csv->count == LQ_CSV_FIELDS_MAX) {
        return fail(csv, "too many fields", err);
    }
    csv->fields[csv->count++] = csv->text + *used;
    if (csv->next < csv->end && *csv->next == '"') {
        LQ_TRY(read_quoted(csv, used, err));
    } else {
        LQ_TRY(read_plain(csv, used, err));
    }
    if (!at_break(csv) && *csv->next != ',') {
        return fail(csv, "text behind a closing quote", err);
    }
    return put(csv, used, '\0') ? LQ_OK : fail(csv, "the record is too long", err);
}

/* One record of any width; false in `more` at the end of the data. */
static enum lq_code read_record(struct lq_csv *csv, bool *more, struct lq_error *err)
{
    size_t used = 0;
    csv->count = 0;
    csv->line = csv->lines + 1;
    *more = csv->next < csv->end;
    if (!*more) {
        return LQ_OK;
    }
    LQ_TRY(read_field(csv, &used, err));
    while (csv->next < csv->end && *csv->next == ',') {
        csv->next++;
        LQ_TRY(read_field(csv, &used, err));
    }
    if (csv->next < csv->end) {
        csv->next += *csv->next == '\r' ? 2 : 1;
        csv->lines++;
    }
    return LQ_OK;
}

static void skip_line(struct lq_csv *csv)
{
    const char *line_end = memchr(csv->next, '\n', (size_t)(csv->end - csv->next));
    csv->next = line_end != NULL ? line_end + 1 : csv->end;
    csv->lines++;
}

static void skip_comments(struct lq_csv *csv)
{
    while (csv->next < csv->end && *csv->next == '#') {
        skip_line(csv);
    }
}

/* Spreadsheets put one in front of UTF-8. */
static void skip_byte_order_mark(struct lq_csv *csv)
{
    static const char MARK[] = "\xEF\xBB\xBF";
    if (csv->end - csv->next >= 3 && memcmp(csv->next, MARK, 3) == 0) {
        csv->next += 3;
    }
}

/* True when the record's fields are those of `header`, a list with commas. */
static bool is_header(const struct lq_csv *csv, const char *header)
{
    for (size_t i = 0; i < csv->count; i++) {
        size_t size = strlen(csv->fields[i]);
        if (strncmp(header, csv->fields[i], size) != 0 ||
            header[size] != (i + 1 < csv->count ? ',' : '\0')) {
            return false;
        }
        header += size + 1;
    }
    return csv->count > 0;
}

enum lq_code lq_csv_open(struct lq_csv *csv, const char *name, const char *data, size_t size,
                         const char *header, struct lq_error *err)
{
    csv->name = name;
    csv->next = data;
    csv->end = data + size;
    csv->lines = 0;
    skip_byte_order_mark(csv);
    skip_comments(csv);
    bool more = false;
    LQ_TRY(read_record(csv, &more, err));
    if (header != NULL && !is_header(csv, header)) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%s:%zu: the header is not \"%s\"", name, csv->line,
                       header);
    }
    csv->width = csv->count;
    return LQ_OK;
}

enum lq_code lq_csv_next(struct lq_csv *csv, bool *more, struct lq_error *err)
{
    enum lq_code code = read_record(csv, more, err);
    if (code != LQ_OK) {
        skip_line(csv);
        return code;
    }
    if (*more && csv->count != csv->width) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%s:%zu: %zu fields in place of %zu", csv->name,
                       csv->line, csv->count, csv->width);
    }
    return LQ_OK;
}

enum lq_code lq_csv_number(const struct lq_csv *csv, size_t field, double otherwise, double *number,
                           struct lq_error *err)
{
    const char *text = csv->fields[field];
    if (text[0] == '\0') {
        *number = otherwise;
        return LQ_OK;
    }
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%s:%zu: \"%s\" is not a number", csv->name,
                       csv->line, text);
    }
    *number = value;
    return LQ_OK;
}

enum lq_code lq_csv_count(const struct lq_csv *csv, size_t field, int64_t otherwise, int64_t *count,
                          struct lq_error *err)
{
    const char *text = csv->fields[field];
    if (text[0] == '\0') {
        *count = otherwise;
        return LQ_OK;
    }
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%s:%zu: \"%s\" is not a whole number", csv->name,
                       csv->line, text);
    }
    *count = value;
    return LQ_OK;
}
