/* The INSERTs that both users and the seed need, and how a point is found by its id. */
#include "server/store/rows.h"

#include "server/store/identity.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static void bind_rates(struct lq_statement *statement, int first, const struct lq_gpu *gpu)
{
    const double rates[] = {gpu->memory_bandwidth_bytes_per_s,
                            gpu->fp32_flop_per_s,
                            gpu->tf32_flop_per_s,
                            gpu->fp16_flop_per_s,
                            gpu->fp8_flop_per_s,
                            gpu->int8_op_per_s,
                            gpu->fp4_flop_per_s,
                            gpu->interconnect_bytes_per_s};
    for (int i = 0; i < (int)(sizeof rates / sizeof rates[0]); i++) {
        lq_bind_number(statement, first + i, rates[i]);
    }
}

enum lq_code lq_gpu_insert(struct lq_database *database, const struct lq_gpu_entry *entry,
                           struct lq_error *err)
{
    static const char INSERT_GPU[] =
        "INSERT INTO gpus (id, is_shipped, vendor, architecture, compute_capability, memory_bytes,"
        " memory_is_reported, memory_nominal_bytes, memory_bandwidth_bytes_per_s, fp32_flop_per_s,"
        " tf32_flop_per_s, fp16_flop_per_s, fp8_flop_per_s, int8_op_per_s, fp4_flop_per_s,"
        " interconnect_bytes_per_s, pcie_generation_number, sm_count, tdp_w, l2_bytes, boost_hz,"
        " source, is_recalled, stored_at_utc, is_listed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
        "?9, ?10,"
        " ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)";
    const struct lq_gpu *gpu = &entry->gpu;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_GPU, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    lq_bind_text(statement, 1, gpu->id);
    lq_bind_count(statement, 2, entry->provenance.shipped);
    lq_bind_text(statement, 3, gpu->vendor);
    lq_bind_text(statement, 4, gpu->architecture);
    lq_bind_text(statement, 5, gpu->compute_capability);
    lq_bind_number(statement, 6, gpu->memory_bytes);
    lq_bind_count(statement, 7, gpu->memory_is_reported);
    lq_bind_number(statement, 8, gpu->memory_nominal_bytes);
    bind_rates(statement, 9, gpu);
    lq_bind_count(statement, 17, gpu->pcie_generation);
    lq_bind_count(statement, 18, gpu->sm_count);
    lq_bind_number(statement, 19, gpu->tdp_w);
    lq_bind_number(statement, 20, gpu->l2_bytes);
    lq_bind_number(statement, 21, gpu->boost_hz);
    lq_bind_text(statement, 22, entry->provenance.source);
    lq_bind_count(statement, 23, entry->provenance.recalled);
    lq_bind_text(statement, 24, now);
    lq_bind_count(statement, 25, !entry->unlisted);
    return lq_statement_run(statement, err);
}

enum { ID_DIGITS = 16 }; /* of a digest, in an id and in digest_key */

void lq_point_id(const char *content, char id[LQ_ID_MAX])
{
    snprintf(id, LQ_ID_MAX, "cal-%.*s", ID_DIGITS, content);
}

/* The number that the digits stand for, as SQLite keeps it: with a sign. */
static int64_t digest_key(const char *digits)
{
    char first[ID_DIGITS + 1];
    snprintf(first, sizeof first, "%s", digits);
    const uint64_t key = strtoull(first, NULL, 16);
    int64_t kept;
    memcpy(&kept, &key, sizeof kept);
    return kept;
}

enum lq_code lq_point_find(struct lq_database *database, const char *id, int64_t *sequence_number,
                           struct lq_error *err)
{
    static const char FIND[] = "SELECT sequence_number FROM calibrations WHERE id = ?1 UNION ALL"
                               " SELECT sequence_number FROM calibrations WHERE digest_key = ?2";
    const char *digits = strncasecmp(id, "cal-", 4) == 0 ? id + 4 : "";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, FIND, &statement, err));
    lq_bind_text(statement, 1, id);
    if (strlen(digits) == ID_DIGITS && strspn(digits, "0123456789abcdefABCDEF") == ID_DIGITS) {
        lq_bind_count(statement, 2, digest_key(digits));
    } /* else NULL, which equals nothing */
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (!row) {
        return lq_fail(err, LQ_ENOTFOUND, NULL, "no calibration has the id \"%s\"", id);
    }
    *sequence_number = lq_column_count(statement, 0);
    return LQ_OK;
}

#define IDENTITY_PARAMETERS                                                                        \
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"   \
    " ?21, ?22, ?23"

/* Finds the setting of the identity, or makes it. */
static enum lq_code find_setting(struct lq_database *database, const struct lq_identity *identity,
                                 int64_t *number, struct lq_error *err)
{
    static const char *const EITHER[] = {
        "SELECT number FROM settings WHERE (" LQ_IDENTITY_COLUMNS ") = (" IDENTITY_PARAMETERS ")",
        "INSERT INTO settings (" LQ_IDENTITY_COLUMNS ") VALUES (" IDENTITY_PARAMETERS ")"
        " RETURNING number",
    };
    bool row = false;
    for (int i = 0; i < 2 && !row; i++) {
        struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
        LQ_TRY(lq_statement_open(database, EITHER[i], &statement, err));
        lq_identity_bind(statement, 1, identity);
        LQ_TRY(lq_statement_step(statement, &row, err));
        *number = lq_column_count(statement, 0);
        if (row) { /* what inserts is run to its end */
            LQ_TRY(lq_statement_run(statement, err));
        }
    }
    return row ? LQ_OK : lq_fail(err, LQ_ESTORE, NULL, "a setting was stored and has no number");
}

enum lq_code lq_settings_sweep(struct lq_database *database, struct lq_error *err)
{
    return lq_database_run(database,
                           "DELETE FROM settings WHERE number NOT IN"
                           " (SELECT setting_number FROM calibrations)",
                           err);
}

enum lq_code lq_point_writer_open(struct lq_database *database, struct lq_point_writer *writer,
                                  struct lq_error *err)
{
    static const char INSERT[] =
        "INSERT INTO calibrations (setting_number, active_experts_count, batch_size_rows,"
        " accumulation_steps_count, sequence_tokens, lengths_id, padding, cutoff_tokens,"
        " padding_multiple_tokens, row_tokens, queries_per_row, queries_per_s, step_time_s,"
        " peak_memory_bytes, is_out_of_memory, longest_tokens, source, dataset, id, digest_key,"
        " is_shipped, content_sha256_hex, note, measured_at_utc, document_json, posted_by,"
        " stored_at_utc, token_id)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
        " ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28) ON CONFLICT DO NOTHING";
    *writer = (struct lq_point_writer){.database = database};
    return lq_statement_open(database, INSERT, &writer->insert, err);
}

void lq_point_writer_close(struct lq_point_writer *writer)
{
    lq_statement_close(&writer->insert);
}

static void bind_conditions(struct lq_statement *statement, const struct lq_conditions *run)
{
    lq_bind_count(statement, 2, run->active_experts);
    lq_bind_count(statement, 3, run->batch_size);
    lq_bind_count(statement, 4, run->accumulation_steps);
    lq_bind_count(statement, 5, run->sequence_tokens);
    lq_bind_text(statement, 6, run->lengths);
    lq_bind_text(statement, 7, LQ_PADDING_NAMES[run->rule.padding]);
    lq_bind_count(statement, 8, run->rule.cutoff_tokens);
    lq_bind_count(statement, 9, run->rule.padding_multiple);
    lq_bind_number_or_null(statement, 10, run->row_tokens);
    lq_bind_number_or_null(statement, 11, run->queries_per_row);
}

static void bind_row(struct lq_statement *statement, const struct lq_point_row *row)
{
    const struct lq_point *point = row->point;
    const bool named = row->content[0] == '\0';
    bind_conditions(statement, &point->conditions);
    lq_bind_number_or_null(statement, 12, point->queries_per_s);
    lq_bind_number_or_null(statement, 13, point->step_time_s);
    lq_bind_number_or_null(statement, 14, point->peak_memory_bytes);
    lq_bind_count(statement, 15, point->out_of_memory);
    lq_bind_number_or_null(statement, 16, point->longest_tokens);
    lq_bind_text(statement, 17, point->source);
    lq_bind_text(statement, 18, point->dataset);
    lq_bind_text_or_null(statement, 19, named ? point->id : "");
    if (named) {
        lq_bind_text_or_null(statement, 20, "");
    } else {
        lq_bind_count(statement, 20, digest_key(row->content));
    }
    lq_bind_count(statement, 21, named);
    lq_bind_text_or_null(statement, 22, row->content);
    lq_bind_text(statement, 23, row->note);
    lq_bind_text(statement, 24, row->measured_at);
    lq_bind_text(statement, 25, row->document);
    lq_bind_text(statement, 26, row->posted_by);
    lq_bind_text(statement, 27, row->stored_at);
    lq_bind_text(statement, 28, row->token_id != NULL ? row->token_id : "");
}

enum lq_code lq_point_write(struct lq_point_writer *writer, const struct lq_point_row *row,
                            bool *written, struct lq_error *err)
{
    const struct lq_identity *identity = &row->point->identity;
    if (writer->setting == 0 || !lq_identity_equal(&writer->identity, identity)) {
        LQ_TRY(find_setting(writer->database, identity, &writer->setting, err));
        writer->identity = *identity;
    }
    lq_bind_count(writer->insert, 1, writer->setting);
    bind_row(writer->insert, row);
    LQ_TRY(lq_statement_run(writer->insert, err));
    *written = lq_database_changes(writer->database) > 0;
    return LQ_OK;
}
