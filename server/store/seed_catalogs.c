/* GPUs, models, prices and length distributions from their files, converted to base units. */
#include "core/base/units.h"
#include "server/csv.h"
#include "server/store/rows.h"
#include "server/store/seed.h"

#include <stdio.h>
#include <string.h>

/* The files mark what rests on memory with this word, in their source or note. */
static bool is_recalled(const char *text)
{
    return strstr(text, "recalled") != NULL;
}

static const char GPU_HEADER[] =
    "id,vendor,architecture,compute_capability,memory_gib,memory_bandwidth_gb_s,fp32_tflops,"
    "tf32_tflops_dense,fp16_bf16_tflops_dense,fp8_tflops_dense,int8_tops_dense,fp4_tflops_dense,"
    "interconnect_gb_s,pcie_gen,tdp_w,sm_count,l2_mb,boost_mhz,source,memory_reported_mib";
enum {
    GPU_ID,
    GPU_VENDOR,
    GPU_ARCHITECTURE,
    GPU_CAPABILITY,
    GPU_MEMORY_GIB,
    GPU_PCIE = 13,
    GPU_SM_COUNT = 15,
    GPU_SOURCE = 18,
    GPU_REPORTED_MIB
};

/* Columns that are a number times a factor. GB are 1e9 bytes but for memory and caches. */
static const struct {
    size_t column;
    double factor;
    size_t offset;
} GPU_QUANTITIES[] = {
    {4, LQ_GIB, offsetof(struct lq_gpu, memory_nominal_bytes)},
    {5, LQ_GIGA, offsetof(struct lq_gpu, memory_bandwidth_bytes_per_s)},
    {6, LQ_TERA, offsetof(struct lq_gpu, fp32_flop_per_s)},
    {7, LQ_TERA, offsetof(struct lq_gpu, tf32_flop_per_s)},
    {8, LQ_TERA, offsetof(struct lq_gpu, fp16_flop_per_s)},
    {9, LQ_TERA, offsetof(struct lq_gpu, fp8_flop_per_s)},
    {10, LQ_TERA, offsetof(struct lq_gpu, int8_op_per_s)},
    {11, LQ_TERA, offsetof(struct lq_gpu, fp4_flop_per_s)},
    {12, LQ_GIGA, offsetof(struct lq_gpu, interconnect_bytes_per_s)},
    {14, 1.0, offsetof(struct lq_gpu, tdp_w)},
    {16, LQ_MIB, offsetof(struct lq_gpu, l2_bytes)},
    {17, 1e6, offsetof(struct lq_gpu, boost_hz)},
    {19, LQ_MIB, offsetof(struct lq_gpu, memory_bytes)},
};

/* One record as a GPU of the catalog, or one that only measured runs have. */
static enum lq_code insert_gpu(const struct lq_csv *csv, const struct lq_seeding *seeding,
                               bool unlisted, struct lq_error *err)
{
    struct lq_gpu gpu = {0};
    snprintf(gpu.id, sizeof gpu.id, "%s", csv->fields[GPU_ID]);
    snprintf(gpu.vendor, sizeof gpu.vendor, "%s", csv->fields[GPU_VENDOR]);
    snprintf(gpu.architecture, sizeof gpu.architecture, "%s", csv->fields[GPU_ARCHITECTURE]);
    snprintf(gpu.compute_capability, sizeof gpu.compute_capability, "%s",
             csv->fields[GPU_CAPABILITY]);
    for (size_t i = 0; i < sizeof GPU_QUANTITIES / sizeof GPU_QUANTITIES[0]; i++) {
        double value = 0.0;
        LQ_TRY(lq_csv_number(csv, GPU_QUANTITIES[i].column, 0.0, &value, err));
        value *= GPU_QUANTITIES[i].factor;
        memcpy((char *)&gpu + GPU_QUANTITIES[i].offset, &value, sizeof value);
    }
    LQ_TRY(lq_csv_count(csv, GPU_PCIE, 0, &gpu.pcie_generation, err));
    LQ_TRY(lq_csv_count(csv, GPU_SM_COUNT, 0, &gpu.sm_count, err));
    gpu.memory_is_reported = gpu.memory_bytes > 0.0;
    if (!gpu.memory_is_reported) {
        gpu.memory_bytes = gpu.memory_nominal_bytes;
    }
    const char *source = csv->fields[GPU_SOURCE];
    struct lq_provenance provenance = {
        .source = source, .recalled = is_recalled(source), .shipped = true};
    const struct lq_gpu_entry entry = {.gpu = gpu, .provenance = provenance, .unlisted = unlisted};
    return lq_gpu_insert(seeding->database, &entry, err);
}

static enum lq_code seed_gpu(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    return insert_gpu(csv, context, false, err);
}

static enum lq_code seed_measured_gpu(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    return insert_gpu(csv, context, true, err);
}

static const char MODEL_HEADER[] =
    "id,file,published_total_params,published_active_params,computed_total_params,"
    "computed_active_params,total_deviation_pct,active_deviation_pct,flag,source,note";
enum { MODEL_ID, MODEL_FILE, MODEL_TOTAL, MODEL_ACTIVE, MODEL_SOURCE = 9, MODEL_NOTE };

static enum lq_code seed_model(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    static const char INSERT_MODEL[] =
        "INSERT INTO models (id, is_shipped, config_json, published_parameters_count,"
        " published_active_parameters_count, source, note, is_recalled, stored_at_utc)"
        " VALUES (?1, 1, json(?2), ?3, ?4, ?5, ?6, ?7, ?8)"; /* json(): on one line */
    const struct lq_seeding *seeding = context;
    const struct lq_embedded *file = NULL;
    int64_t total = 0;
    int64_t active = 0;
    LQ_TRY(lq_seed_file(csv->fields[MODEL_FILE], &file, err));
    LQ_TRY(lq_csv_count(csv, MODEL_TOTAL, 0, &total, err));
    LQ_TRY(lq_csv_count(csv, MODEL_ACTIVE, 0, &active, err));
    const char *source = csv->fields[MODEL_SOURCE];
    const char *note = csv->fields[MODEL_NOTE];
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, INSERT_MODEL, &statement, err));
    lq_bind_text(statement, 1, csv->fields[MODEL_ID]);
    lq_bind_text(statement, 2, file->data);
    lq_bind_count(statement, 3, total);
    lq_bind_count(statement, 4, active);
    lq_bind_text(statement, 5, source);
    lq_bind_text(statement, 6, note);
    lq_bind_count(statement, 7, is_recalled(source) || is_recalled(note));
    lq_bind_text(statement, 8, seeding->now);
    return lq_statement_run(statement, err);
}

static const char PRICE_HEADER[] = "provider,region,instance_type,gpu,gpu_count,price_usd_hour,"
                                   "spot_price_usd_hour,catalog_date,source";
enum {
    PRICE_PROVIDER,
    PRICE_REGION,
    PRICE_INSTANCE,
    PRICE_GPU,
    PRICE_GPU_COUNT,
    PRICE_USD,
    PRICE_SPOT_USD,
    PRICE_DATE,
    PRICE_SOURCE
};

static enum lq_code seed_price(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    static const char INSERT_PRICE[] =
        "INSERT INTO prices (provider, is_shipped, region, instance_type, gpu_id, gpu_count,"
        " instance_usd_per_h, instance_spot_usd_per_h, priced_on_date, source, stored_at_utc)"
        " VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    const struct lq_seeding *seeding = context;
    int64_t gpus = 0;
    double usd = 0.0;
    double spot_usd = 0.0;
    LQ_TRY(lq_csv_count(csv, PRICE_GPU_COUNT, 0, &gpus, err));
    LQ_TRY(lq_csv_number(csv, PRICE_USD, 0.0, &usd, err));
    LQ_TRY(lq_csv_number(csv, PRICE_SPOT_USD, 0.0, &spot_usd, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, INSERT_PRICE, &statement, err));
    lq_bind_text(statement, 1, csv->fields[PRICE_PROVIDER]);
    lq_bind_text(statement, 2, csv->fields[PRICE_REGION]);
    lq_bind_text(statement, 3, csv->fields[PRICE_INSTANCE]);
    lq_bind_text(statement, 4, csv->fields[PRICE_GPU]);
    lq_bind_count(statement, 5, gpus);
    lq_bind_number_or_null(statement, 6, usd);
    lq_bind_number_or_null(statement, 7, spot_usd);
    lq_bind_text(statement, 8, csv->fields[PRICE_DATE]);
    lq_bind_text(statement, 9, csv->fields[PRICE_SOURCE]);
    lq_bind_text(statement, 10, seeding->now);
    return lq_statement_run(statement, err);
}

/* The data sets with histograms, by their label in the files. */
static const struct {
    const char *label;
    const char *id;
} DATASETS[] = {{"CS", "xia2024-cs"}, {"MATH", "xia2024-math"}, {"alpaca", "alpaca"}};

static const char *dataset_id(const char *label)
{
    for (size_t i = 0; i < sizeof DATASETS / sizeof DATASETS[0]; i++) {
        if (strcmp(DATASETS[i].label, label) == 0) {
            return DATASETS[i].id;
        }
    }
    return NULL;
}

static const char LENGTHS_HEADER[] =
    "dataset,file,queries,unit,min,p10,p25,median,mean,p75,p90,p95,p99,max,over_1024,notes";
enum { LENGTHS_LABEL, LENGTHS_FILE, LENGTHS_UNIT = 3, LENGTHS_NOTES = 15 };

static enum lq_code insert_dataset(const struct lq_seeding *seeding,
                                   const struct lq_dataset *dataset, struct lq_error *err)
{
    static const char INSERT_DATASET[] =
        "INSERT INTO datasets (id, is_shipped, description, length_unit, source, note,"
        " is_recalled, stored_at_utc) VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, INSERT_DATASET, &statement, err));
    lq_bind_text(statement, 1, dataset->id);
    lq_bind_text(statement, 2, dataset->description);
    lq_bind_text(statement, 3, dataset->unit);
    lq_bind_text(statement, 4, dataset->provenance.source);
    lq_bind_text(statement, 5, dataset->provenance.note);
    lq_bind_count(statement, 6, dataset->provenance.recalled);
    lq_bind_text(statement, 7, seeding->now);
    return lq_statement_run(statement, err);
}

static enum lq_code seed_dataset(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    const char *id = dataset_id(csv->fields[LENGTHS_LABEL]);
    if (id == NULL) {
        return LQ_OK;
    }
    char description[128];
    snprintf(description, sizeof description, "%s, called %s in arXiv 2408.04693",
             csv->fields[LENGTHS_FILE], csv->fields[LENGTHS_LABEL]);
    const struct lq_dataset dataset = {
        .id = id,
        .description = description,
        .unit = csv->fields[LENGTHS_UNIT],
        .provenance = {.source = "arXiv 2408.04693 Fig. 2; github.com/stsxxx/finetune@728a01b",
                       .note = csv->fields[LENGTHS_NOTES]}};
    return insert_dataset(context, &dataset, err);
}

/* What published runs on Alpaca were given; how its bins were made stands in measured/alpaca.py. */
static const struct lq_dataset ALPACA = {
    .id = "alpaca",
    .description = "Stanford Alpaca, 52,002 rows with their prompt template",
    .unit = "tokens (Llama 2 tokenizer)",
    .provenance = {.source = "github.com/tloen/alpaca-lora finetune.py (96 % within 256 tokens);"
                             " github.com/Lightning-AI/litgpt tutorials/resource-tables.md"
                             " (longest row)",
                   .note = "drawn through quantiles, all but these two ASSUMED",
                   .recalled = true}};

static enum lq_code seed_bin(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    struct lq_statement *insert = context;
    int64_t tokens = 0;
    int64_t queries = 0;
    LQ_TRY(lq_csv_count(csv, 1, 0, &tokens, err));
    LQ_TRY(lq_csv_count(csv, 2, 0, &queries, err));
    lq_bind_text(insert, 1, dataset_id(csv->fields[0]));
    lq_bind_count(insert, 2, tokens);
    lq_bind_count(insert, 3, queries);
    return lq_statement_run(insert, err);
}

static enum lq_code seed_bins(const struct lq_seeding *seeding, struct lq_error *err)
{
    static const char INSERT_BIN[] =
        "INSERT INTO dataset_bins (dataset_id, length_tokens, queries_count) VALUES (?1, ?2, ?3)";
    struct lq_statement *insert LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, INSERT_BIN, &insert, err));
    static const char HEADER[] = "dataset,tokens,queries";
    LQ_TRY(lq_seed_read("measured/alpaca.csv", HEADER, seed_bin, insert, err));
    return lq_seed_read("xia2024/seq_len_hist.csv", HEADER, seed_bin, insert, err);
}

enum lq_code lq_seed_catalogs(const struct lq_seeding *seeding, struct lq_error *err)
{
    struct lq_seeding copy = *seeding;
    LQ_TRY(lq_seed_read("gpus.csv", GPU_HEADER, seed_gpu, &copy, err));
    LQ_TRY(lq_seed_read("measured/gpus.csv", GPU_HEADER, seed_measured_gpu, &copy, err));
    LQ_TRY(lq_seed_read("models/index.csv", MODEL_HEADER, seed_model, &copy, err));
    LQ_TRY(lq_seed_read("prices.csv", PRICE_HEADER, seed_price, &copy, err));
    LQ_TRY(lq_seed_read("xia2024/dataset_lengths.csv", LENGTHS_HEADER, seed_dataset, &copy, err));
    LQ_TRY(insert_dataset(seeding, &ALPACA, err));
    return seed_bins(seeding, err);
}
