/* The two INSERTs that both users and the seed need. */
#include "server/store/rows.h"

#include "server/store/identity.h"
#include "server/store/utc.h"

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

const char LQ_POINT_INSERT[] =
    "INSERT INTO calibrations (" LQ_IDENTITY_COLUMNS
    ", active_experts_count, batch_size_rows, accumulation_steps_count, sequence_tokens,"
    " lengths_id, padding, cutoff_tokens, padding_multiple_tokens, row_tokens, queries_per_row,"
    " queries_per_s, step_time_s, peak_memory_bytes, is_out_of_memory, longest_tokens, source,"
    " dataset, id, is_shipped, content_sha256_hex, note, measured_at_utc, document_json,"
    " posted_by, stored_at_utc, token_id)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
    " ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36,"
    " ?37, ?38, ?39, ?40, ?41, ?42, ?43, ?44, ?45, ?46, ?47, ?48, ?49)"
    " ON CONFLICT DO NOTHING";

void lq_point_bind(struct lq_statement *statement, const struct lq_point_row *row)
{
    const struct lq_point *point = row->point;
    const struct lq_conditions *run = &point->conditions;
    lq_identity_bind(statement, 1, &point->identity);
    const int first = LQ_IDENTITY_WIDTH + 1;
    lq_bind_count(statement, first, run->active_experts);
    lq_bind_count(statement, first + 1, run->batch_size);
    lq_bind_count(statement, first + 2, run->accumulation_steps);
    lq_bind_count(statement, first + 3, run->sequence_tokens);
    lq_bind_text(statement, first + 4, run->lengths);
    lq_bind_text(statement, first + 5, LQ_PADDING_NAMES[run->rule.padding]);
    lq_bind_count(statement, first + 6, run->rule.cutoff_tokens);
    lq_bind_count(statement, first + 7, run->rule.padding_multiple);
    lq_bind_number_or_null(statement, first + 8, run->row_tokens);
    lq_bind_number_or_null(statement, first + 9, run->queries_per_row);
    lq_bind_number_or_null(statement, first + 10, point->queries_per_s);
    lq_bind_number_or_null(statement, first + 11, point->step_time_s);
    lq_bind_number_or_null(statement, first + 12, point->peak_memory_bytes);
    lq_bind_count(statement, first + 13, point->out_of_memory);
    lq_bind_number_or_null(statement, first + 14, point->longest_tokens);
    lq_bind_text(statement, first + 15, point->source);
    lq_bind_text(statement, first + 16, point->dataset);
    lq_bind_text(statement, first + 17, point->id);
    lq_bind_count(statement, first + 18, point->shipped);
    lq_bind_text_or_null(statement, first + 19, row->content);
    lq_bind_text(statement, first + 20, row->note);
    lq_bind_text(statement, first + 21, row->measured_at);
    lq_bind_text(statement, first + 22, row->document);
    lq_bind_text(statement, first + 23, row->posted_by);
    lq_bind_text(statement, first + 24, row->stored_at);
    lq_bind_text(statement, first + 25, row->token_id != NULL ? row->token_id : "");
}
