/* Published figures, each file into a table of the same columns: kept as they were printed, for
 * validation and for priors. */
#include "server/csv.h"
#include "server/store/seed.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *file;
    const char *table;
    const char *header;
} FILES[] = {
    {"xia2024/breakdown.csv", "published_breakdowns",
     "figure,model,seq_len,sparsity_or_run,active_experts,batch_size,level,item,metric,value,unit,"
     "source_file,notes"},
    {"xia2024/accuracy.csv", "published_accuracies",
     "model,sparsity,test_set,epoch,accuracy,source_file"},
    {"xia2024/cost_table.csv", "published_costs",
     "gpu,mem_gb,max_batch,throughput_qps,usd_per_hour,cost_usd,price_source,epochs,"
     "queries_that_reproduce,notes"},
    {"xia2024/coefficients.csv", "published_coefficients",
     "equation,coefficient,model,dataset,gpu,paper_value,code_value,source,notes"},
    {"xia2024/fit_results.csv", "published_fits",
     "set,points,form,n_params,rmse_qps,mape_pct,loo_rmse_qps,extrapolation_rmse_qps,"
     "extrapolation_largest_sparse_batch_pct,params"},
    {"xia2024/dataset_lengths.csv", "published_lengths",
     "dataset,file,queries,unit,min,p10,p25,median,mean,p75,p90,p95,p99,max,over_1024,notes"},
    {"measured/runs.csv", "published_runs",
     "id,source,file,row,model,gpu,stack,gpu_count,method,rank,targets,quantization,precision,"
     "optimizer,attention,checkpointing,options,master_weights,data,tensor,pipeline,expert,"
     "context,zero_stage,zero_group,nodes,accumulation_steps,batch_size,sequence_tokens,lengths,"
     "longest_tokens,step_time_s,tokens_per_s_per_gpu,queries_per_s,peak_memory_bytes,"
     "memory_scope,out_of_memory,capacity_bytes,use_time,use_memory,note"},
    {"scaling/yun2024_sets.csv", "yun2024_sets",
     "set,variant,A,alpha,B,beta,C,gamma,F,d,E_start,E_max,left_out_constraints"},
};

static const char *const RUN_FILES[] = {
    "gpt_fast_decode.csv", "internevo.csv", "litgpt_resource_tables.csv", "qwen_inference.csv",
    "torchtitan.csv",      "torchtune.csv", "unsloth_llamafactory.csv",   "xtuner.csv"};

static const char RUN_HEADER[] =
    "set,model,params,task,method,quant,lora,gpu,n_gpus,micro_batch,grad_accum,global_batch,"
    "seq_len,precision,act_ckpt,parallelism,framework,throughput,throughput_unit,step_time_s,"
    "mfu_pct,peak_mem,peak_mem_unit,mem_scope,source,notes";

/* "INSERT INTO table VALUES (?1, ..., ?n)". */
static void write_insert(const char *table, size_t columns, char *sql, size_t size)
{
    size_t used = (size_t)snprintf(sql, size, "INSERT INTO %s VALUES (?1", table);
    for (size_t i = 2; i <= columns && used < size; i++) {
        used += (size_t)snprintf(sql + used, size - used, ", ?%zu", i);
    }
    snprintf(sql + used, size - used, ")");
}

static size_t count_columns(const char *header)
{
    size_t columns = 1;
    for (; *header != '\0'; header++) {
        columns += *header == ',';
    }
    return columns;
}

/* A statement that writes whole records, an empty cell as NULL, behind `bound` own parameters. */
struct copy {
    struct lq_statement *insert;
    int bound;
    const char *file; /* measured runs: parameter 1; the row's number is parameter 2 */
    int64_t rows;
};

static enum lq_code copy_record(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    struct copy *copy = context;
    copy->rows++;
    if (copy->file != NULL) {
        lq_bind_text(copy->insert, 1, copy->file);
        lq_bind_count(copy->insert, 2, copy->rows);
    }
    for (size_t i = 0; i < csv->count; i++) {
        lq_bind_text_or_null(copy->insert, copy->bound + (int)i + 1, csv->fields[i]);
    }
    return lq_statement_run(copy->insert, err);
}

static enum lq_code seed_file(const struct lq_seeding *seeding, const char *file, const char *table,
                              const char *header, struct lq_error *err)
{
    char sql[320];
    write_insert(table, count_columns(header), sql, sizeof sql);
    struct lq_statement *insert LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, sql, &insert, err));
    struct copy copy = {.insert = insert};
    return lq_seed_read(file, header, copy_record, &copy, err);
}

static enum lq_code seed_runs(const struct lq_seeding *seeding, const char *file,
                              struct lq_error *err)
{
    char sql[320];
    char path[64];
    write_insert("measured_runs", 2 + count_columns(RUN_HEADER), sql, sizeof sql);
    snprintf(path, sizeof path, "measured/%s", file);
    struct lq_statement *insert LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, sql, &insert, err));
    struct copy copy = {.insert = insert, .bound = 2, .file = file};
    return lq_seed_read(path, RUN_HEADER, copy_record, &copy, err);
}

/* Configurations of models that were measured but are not in the catalog: measured/models/NAME.json
 * becomes NAME. */
static enum lq_code seed_configs(const struct lq_seeding *seeding, struct lq_error *err)
{
    static const char FOLDER[] = "measured/models/";
    struct lq_statement *insert LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database,
                             "INSERT INTO measured_models (name, config_json)"
                             " VALUES (?1, json(?2))",
                             &insert, err));
    for (size_t i = 0; i < LQ_SEED_COUNT; i++) {
        const char *name = LQ_SEED[i].name;
        if (strncmp(name, FOLDER, sizeof FOLDER - 1) != 0) {
            continue;
        }
        char id[64];
        name += sizeof FOLDER - 1;
        snprintf(id, sizeof id, "%.*s", (int)(strlen(name) - strlen(".json")), name);
        lq_bind_text(insert, 1, id);
        lq_bind_text(insert, 2, LQ_SEED[i].data);
        LQ_TRY(lq_statement_run(insert, err));
    }
    return LQ_OK;
}

enum lq_code lq_seed_evidence(const struct lq_seeding *seeding, struct lq_error *err)
{
    static const char DELETE_ALL[] = "DELETE FROM measured_runs_mapping;"
                                     "DELETE FROM measured_runs;"
                                     "DELETE FROM measured_models;";
    LQ_TRY(lq_database_run(seeding->database, DELETE_ALL, err));
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "DELETE FROM %s", FILES[i].table);
        LQ_TRY(lq_database_run(seeding->database, sql, err));
        LQ_TRY(seed_file(seeding, FILES[i].file, FILES[i].table, FILES[i].header, err));
    }
    for (size_t i = 0; i < sizeof RUN_FILES / sizeof RUN_FILES[0]; i++) {
        LQ_TRY(seed_runs(seeding, RUN_FILES[i], err));
    }
    LQ_TRY(seed_configs(seeding, err));
    return seed_file(seeding, "measured/mapping.csv", "measured_runs_mapping",
                     "file,row,model,gpu,stack,use,notes", err);
}
