/* Measured decoding runs from the published tables into a snapshot. */
#include "server/store/identity.h"
#include "server/store/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* gpt-fast's generate.py goes on for 200 tokens unless told otherwise; its tables do not say. */
#define GPT_FAST_OUTPUT_TOKENS 200.0

/* "bf16", "Int8", "int4 g32": what comes first counts. */
static bool read_format(const char *label, struct lq_serving_format *format)
{
    *format = (struct lq_serving_format){.precision = LQ_PRECISION_BF16};
    if (strncasecmp(label, "int8", 4) == 0) {
        format->quantization = LQ_QUANTIZATION_INT8;
    } else if (strncasecmp(label, "int4", 4) == 0) {
        format->quantization = LQ_QUANTIZATION_INT4;
    } else {
        return strcasecmp(label, "bf16") == 0;
    }
    return true;
}

/* The number that follows `words`; moves `*text` behind it. */
static bool read_number(const char **text, const char *words, double *number)
{
    const size_t size = strlen(words);
    if (strncmp(*text, words, size) != 0) {
        return false;
    }
    char *end = NULL;
    *number = strtod(*text + size, &end);
    const bool found = end != *text + size && *number >= 1.0;
    *text = end;
    return found;
}

/* "decode batch 1 prompt 5 tokens", "generate 2048 tokens". */
static bool read_task(const char *task, struct lq_decode_run *run)
{
    run->request = (struct lq_request_kind){
        .prompt_tokens = 1.0, .output_tokens = GPT_FAST_OUTPUT_TOKENS, .share = 1.0};
    run->concurrent_requests = 1.0;
    const bool generates = read_number(&task, "generate ", &run->request.output_tokens);
    return generates || (read_number(&task, "decode batch ", &run->concurrent_requests) &&
                         read_number(&task, " prompt ", &run->request.prompt_tokens));
}

/* False where the run is of a model or a kind that this program does not know. */
static bool read_run(const struct lq_statement *statement, const struct lq_catalog *catalog,
                     struct lq_decode_run *run)
{
    *run = (struct lq_decode_run){
        .model = lq_catalog_any_model(catalog, lq_column_text(statement, 2)),
        .gpu_count = lq_column_count(statement, 5),
        .tokens_per_s = lq_column_number(statement, 8),
    };
    snprintf(run->id, sizeof run->id, "%.48s:%lld", lq_column_text(statement, 0),
             (long long)lq_column_count(statement, 1));
    lq_column_copy(statement, 3, run->gpu, sizeof run->gpu);
    lq_column_copy(statement, 4, run->stack, sizeof run->stack);
    lq_column_copy(statement, 9, run->source, sizeof run->source);
    return run->model != NULL && run->gpu_count > 0 && run->tokens_per_s > 0.0 &&
           read_format(lq_column_text(statement, 6), &run->format) &&
           read_task(lq_column_text(statement, 7), run);
}

enum lq_code lq_load_decodes(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_RUNS[] =
        "SELECT file_name, row_number, model_id, gpu_id, stack, CAST(gpu_count AS INTEGER),"
        " quantization_label, task_label, CAST(throughput_value AS REAL), source"
        " FROM measured_runs JOIN measured_runs_mapping USING (file_name, row_number)"
        " WHERE use_label = 'serving' AND throughput_unit = 'tokens/s'"
        " ORDER BY file_name, row_number";
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "measured_runs_mapping WHERE use_label = 'serving'",
                        sizeof(struct lq_decode_run), &list, &capacity, err));
    struct lq_decode_run *runs = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_RUNS, &statement, err));
    bool row = true;
    size_t count = 0;
    while (count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        count += read_run(statement, catalog, &runs[count]);
    }
    catalog->decodes = runs;
    catalog->decode_count = count;
    return LQ_OK;
}
