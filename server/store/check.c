/* Checks a database without writing to it. What a readable catalog is stands with those who load
 * it. */
#include "server/store/check.h"

#include "migrations/embed.h"
#include "server/store/migrate.h"
#include "server/store/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Rows that no release writes, and what is wrong with them; each query counts them. */
static const struct rule {
    const char *sql;
    const char *wrong;
} RULES[] = {
    {"SELECT abs(count(*) - 1) FROM seed_state", "seed_state has not exactly one row"},
    {"SELECT count(*) FROM calibrations WHERE (content_sha256_hex IS NULL) <> is_shipped",
     "posted calibrations without a digest of their content, or shipped ones with one"},
    {"SELECT count(*) FROM calibrations WHERE digest_key IS NOT NULL AND"
     " printf('%016x', digest_key) <>"
     " substr(content_sha256_hex, 1, 16)",
     "posted calibrations whose id is not of their digest"},
    {"SELECT count(*) FROM calibrations WHERE setting_number NOT IN (SELECT number FROM settings)",
     "calibrations whose settings are not there"},
    {"SELECT count(*) FROM calibrations WHERE NOT is_shipped AND NOT json_valid(document_json)",
     "posted calibrations whose document is not JSON"},
    {"SELECT count(*) FROM receipts WHERE calibration_ids_lines NOT LIKE '%' || char(10)",
     "receipts of posted batches without ids"},
    {"SELECT count(*) FROM kept_estimates WHERE NOT json_valid(request_json) OR"
     " NOT json_valid(answer_json)",
     "saved estimates whose request or answer is not JSON"},
    {"SELECT count(*) FROM tokens WHERE length(secret_sha256_hex) <> 64 OR scopes_list = ''",
     "tokens without a hash or a scope"},
};

/* The faults found so far and who is told. */
struct report {
    lq_fault_visit visit;
    void *context;
    size_t faults;
};

static void tell(struct report *report, const char *fault)
{
    report->faults++;
    report->visit(fault, report->context);
}

static enum lq_code check_engine(struct lq_database *database, struct report *report,
                                 struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "PRAGMA integrity_check", &statement, err));
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    while (row) {
        const char *line = lq_column_text(statement, 0);
        if (strcmp(line, "ok") != 0) {
            tell(report, line);
        }
        LQ_TRY(lq_statement_step(statement, &row, err));
    }
    return LQ_OK;
}

static enum lq_code check_references(struct lq_database *database, struct report *report,
                                     struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "PRAGMA foreign_key_check", &statement, err));
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    while (row) {
        char fault[256];
        snprintf(fault, sizeof fault, "a row of %.100s names a row of %.100s that is not there",
                 lq_column_text(statement, 0), lq_column_text(statement, 2));
        tell(report, fault);
        LQ_TRY(lq_statement_step(statement, &row, err));
    }
    return LQ_OK;
}

static enum lq_code check_rules(struct lq_database *database, struct report *report,
                                struct lq_error *err)
{
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        int64_t rows = 0;
        LQ_TRY(lq_database_number(database, RULES[i].sql, &rows, err));
        if (rows > 0) {
            char fault[256];
            snprintf(fault, sizeof fault, "%s: %" PRId64, RULES[i].wrong, rows);
            tell(report, fault);
        }
    }
    return LQ_OK;
}

/* The catalog as a server would load it. */
static void check_readable(struct lq_database *database, const struct lq_hooks *hooks,
                           struct report *report)
{
    struct lq_snapshot *snapshot = NULL;
    struct lq_error cause = {0};
    const struct lq_source source = {.database = database, .hooks = hooks};
    if (lq_snapshot_build(&source, &snapshot, &cause) != LQ_OK) {
        tell(report, cause.detail);
    }
    lq_snapshot_release(snapshot);
}

static enum lq_code check_open(struct lq_database *database, const struct lq_hooks *hooks,
                               struct report *report, struct lq_error *err)
{
    size_t version = 0;
    LQ_TRY(lq_migrate_check(database, LQ_MIGRATIONS_COUNT, &version, err));
    /* One state throughout, however much a server writes meanwhile. */
    LQ_TRY(lq_database_run(database, "BEGIN", err));
    LQ_TRY(check_engine(database, report, err));
    LQ_TRY(check_references(database, report, err));
    if (report->faults == 0 && version == LQ_MIGRATIONS_COUNT) {
        LQ_TRY(check_rules(database, report, err));
        check_readable(database, hooks, report);
    }
    return LQ_OK;
}

enum lq_code lq_store_check(const char *path, const struct lq_hooks *hooks, lq_fault_visit visit,
                            void *context, size_t *faults, struct lq_error *err)
{
    struct report report = {visit, context, 0};
    struct lq_database *database LQ_AUTO(lq_database_close) = NULL;
    LQ_TRY(lq_database_open_existing(path, &database, err));
    LQ_TRY(check_open(database, hooks, &report, err));
    *faults = report.faults;
    return LQ_OK;
}

/* Keeps the first fault. */
static void keep_first(const char *fault, void *context)
{
    char *first = context;
    if (first[0] == '\0') {
        snprintf(first, LQ_DETAIL_MAX, "%s", fault);
    }
}

enum lq_code lq_check_integrity(const char *path, struct lq_error *err)
{
    char first[LQ_DETAIL_MAX] = "";
    struct report report = {keep_first, first, 0};
    struct lq_database *database LQ_AUTO(lq_database_close) = NULL;
    LQ_TRY(lq_database_open_existing(path, &database, err));
    LQ_TRY(check_engine(database, &report, err));
    LQ_TRY(check_references(database, &report, err));
    return report.faults == 0 ? LQ_OK : lq_fail(err, LQ_ESTORE, NULL, "%s: %.200s", path, first);
}
