/* Tables of measurements: CSV as RFC 4180 has it, a header of facts' names, a point per row. A
 * table with a bad row gives no points at all; all its bad rows are named. */
#include "kernels/import/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 10,000: what one POST /v1/calibrations takes. Lists of bad rows end after 8. */
enum { COLUMNS_MAX = LQ_FACT_COUNT, ROWS_MAX = 10000, FAULTS_MAX = 8, FIELD_MAX = 512 };

struct table {
    const char *name;
    char *next;
    char *end;
    size_t line;  /* of the current record's first character */
    size_t lines; /* line breaks passed */
    size_t count; /* fields of the current record */
    char fields[COLUMNS_MAX][FIELD_MAX];
    size_t width;
    int facts[COLUMNS_MAX]; /* of each column */
};

/* What one table yields: kept until all of it is good. */
struct harvest {
    char *json[ROWS_MAX];
    struct lq_import_run *run; /* of the row that is read, then handed over with each */
    size_t count;
    size_t bad;
    char faults[LQ_DETAIL_MAX];
};

/* Reads a quoted field; its opening quote is passed. */
static const char *read_quoted(struct table *t, char *out, size_t *size)
{
    while (t->next < t->end) {
        const char c = *t->next++;
        t->lines += c == '\n';
        if (c == '"' && (t->next == t->end || *t->next != '"')) {
            return NULL;
        }
        t->next += c == '"';
        if (*size + 1 >= FIELD_MAX) {
            return "a field is too long";
        }
        out[(*size)++] = c;
    }
    return "a quote is not closed";
}

static bool at_break(const struct table *t)
{
    return t->next == t->end || *t->next == '\n' ||
           (*t->next == '\r' && (t->next + 1 == t->end || t->next[1] == '\n'));
}

/* Reads a field without quotes; blanks at its end are left out. */
static const char *read_plain(struct table *t, char *out, size_t *size)
{
    for (; !at_break(t) && *t->next != ','; t->next++) {
        if (*t->next == '"' || *size + 1 >= FIELD_MAX) {
            return *t->next == '"' ? "a quote inside a field" : "a field is too long";
        }
        out[(*size)++] = *t->next;
    }
    while (*size > 0 && (out[*size - 1] == ' ' || out[*size - 1] == '\t')) {
        (*size)--;
    }
    return NULL;
}

/* Reads one field; what ends it is next. */
static const char *read_field(struct table *t, char *out)
{
    size_t size = 0;
    const bool quoted = t->next < t->end && *t->next == '"';
    t->next += quoted;
    const char *fault = quoted ? read_quoted(t, out, &size) : read_plain(t, out, &size);
    if (fault == NULL && !at_break(t) && *t->next != ',') {
        fault = "text beside quotes";
    }
    out[size] = '\0';
    return fault;
}

static void pass_line(struct table *t)
{
    while (t->next < t->end && *t->next != '\n') {
        t->next++;
    }
    if (t->next < t->end) {
        t->next++;
        t->lines++;
    }
}

/* Reads a record; says what is wrong with it, then the reader stands behind its line. */
static const char *read_record(struct table *t)
{
    t->count = 0;
    t->line = t->lines + 1;
    for (;;) {
        char extra[FIELD_MAX];
        char *out = t->count < COLUMNS_MAX ? t->fields[t->count] : extra;
        const char *fault = read_field(t, out);
        t->count++;
        if (fault != NULL) {
            pass_line(t);
            return fault;
        }
        if (at_break(t)) {
            pass_line(t);
            return NULL;
        }
        t->next++; /* the comma */
    }
}

/* Lines that are empty or begin with # are no records. */
static bool pass_comments(struct table *t)
{
    while (t->next < t->end && (*t->next == '#' || at_break(t))) {
        pass_line(t);
    }
    return t->next < t->end;
}

static enum lq_code read_header(struct table *t, struct lq_error *err)
{
    const char *fault = pass_comments(t) ? read_record(t) : "no header";
    if (fault != NULL || t->count > COLUMNS_MAX) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s: line %zu: %s", t->name, t->line,
                       fault != NULL ? fault : "more columns than a point has members");
    }
    t->width = t->count;
    for (size_t i = 0; i < t->width; i++) {
        t->facts[i] = lq_fact_index(t->fields[i]);
        if (t->facts[i] < 0 || t->facts[i] == LQ_FACT_ROW_TOKENS) {
            return lq_fail(err, LQ_ESYNTAX, NULL,
                           "%.200s: line %zu: no column is called \"%.60s\"; import --help lists "
                           "them",
                           t->name, t->line, t->fields[i]);
        }
        for (size_t j = 0; j < i; j++) {
            if (t->facts[j] == t->facts[i]) {
                return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s: line %zu: two columns \"%.60s\"",
                               t->name, t->line, t->fields[i]);
            }
        }
    }
    return LQ_OK;
}

static void add_fault(struct harvest *h, size_t line, const char *fault)
{
    if (h->bad++ < FAULTS_MAX) {
        const size_t at = strlen(h->faults);
        snprintf(h->faults + at, sizeof h->faults - at, "%sline %zu: %s", at > 0 ? "; " : "", line,
                 fault);
    }
}

/* A row as a point, or as a fault. */
static void take_row(struct table *t, const struct lq_import_options *options, struct harvest *h)
{
    struct lq_import_run *run = h->run;
    struct lq_error wrong = {0};
    char from[LQ_FACT_FROM_MAX];
    const struct lq_notices kept = run->notices;
    *run = (struct lq_import_run){.format = "CSV", .table = true, .notices = kept};
    snprintf(from, sizeof from, "line %zu", t->line);
    for (size_t i = 0; i < t->width; i++) {
        const enum lq_fact fact = (enum lq_fact)t->facts[i];
        if (strlen(t->fields[i]) >= LQ_FACT_TEXT_MAX) {
            add_fault(h, t->line, "a field is too long");
            return;
        }
        if (t->fields[i][0] != '\0') {
            lq_fact_say(&run->facts, fact, from, "%s", t->fields[i]);
        }
    }
    lq_facts_merge(&run->facts, &options->facts, &run->notices);
    if (lq_import_finish("this row", run, &h->json[h->count], &wrong) != LQ_OK) {
        add_fault(h, t->line, wrong.detail);
        return;
    }
    h->count++;
}

static enum lq_code read_rows(struct table *t, const struct lq_import_options *options,
                              struct harvest *h, struct lq_error *err)
{
    while (pass_comments(t)) {
        if (h->count >= ROWS_MAX) {
            return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s: more than %d rows", t->name, ROWS_MAX);
        }
        const char *fault = read_record(t);
        if (fault == NULL && t->count != t->width) {
            char text[80];
            snprintf(text, sizeof text, "%zu fields where the header has %zu", t->count, t->width);
            add_fault(h, t->line, text);
        } else if (fault != NULL) {
            add_fault(h, t->line, fault);
        } else {
            take_row(t, options, h);
        }
    }
    if (h->bad > 0) {
        return lq_fail(err, LQ_EFIELD, NULL, "%.120s: %zu bad row%s, none imported: %.230s%s",
                       t->name, h->bad, h->bad == 1 ? "" : "s", h->faults,
                       h->bad > FAULTS_MAX ? "; ..." : "");
    }
    return h->count > 0 ? LQ_OK
                        : lq_fail(err, LQ_ESYNTAX, NULL, "%.200s: a header and no rows", t->name);
}

enum lq_code lq_import_csv(const struct lq_import_source *source,
                           const struct lq_import_options *options, lq_import_take take,
                           void *context, struct lq_error *err)
{
    struct lq_import_text text;
    LQ_TRY(lq_import_read(source, NULL, &text, err));
    struct table *t = calloc(1, sizeof *t);
    struct harvest *h = calloc(1, sizeof *h);
    struct lq_import_run *run = calloc(1, sizeof *run);
    enum lq_code code = LQ_OK;
    if (t == NULL || h == NULL || run == NULL) {
        code = lq_fail(err, LQ_EINTERNAL, NULL, "%.200s: out of memory", source->name);
    } else {
        t->name = source->name;
        t->next = text.data;
        t->end = text.data + text.size;
        h->run = run;
        code = read_header(t, err);
        code = code == LQ_OK ? read_rows(t, options, h, err) : code;
    }
    for (size_t i = 0; h != NULL && i < h->count; i++) {
        code = code == LQ_OK ? take(context, h->json[i], run, err) : code;
        run->notices.count = 0; /* told with the first */
        free(h->json[i]);
    }
    free(run);
    free(h);
    free(t);
    free(text.data);
    return code;
}
