/* The measurements of Xia et al. 2024 (arXiv 2408.04693) as calibrations and capacities: which
 * model, GPU, method and lengths their labels mean. Conditions: section IV and the repository
 * github.com/stsxxx/finetune@728a01b (PyTorch 2.1, CUDA 11.8, 1000 random queries, one epoch). */
#include "server/csv.h"
#include "server/store/identity.h"
#include "server/store/rows.h"
#include "server/store/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LQ_LAYOUT_SINGLE, as an initialiser. */
#define ONE_DEVICE                                                                                 \
    {                                                                                              \
        .data = 1, .tensor = 1, .pipeline = 1, .expert = 1, .context = 1, .nodes = 1               \
    }

/* What a model label stands for. Mixtral: 4-bit nf4 with double quantisation, LoRA rank 16 on
 * w1, w2, w3 and gate, gradient checkpointing. BlackMamba: all weights, no checkpointing. */
static const struct setup {
    const char *label;
    const char *slug;
    struct lq_identity identity;
    const char *method_json;
    const char *checkpointing_json;
} SETUPS[] = {
    {.label = "Mixtral-8x7B",
     .slug = "mixtral",
     .identity = {.model = "mixtral-8x7b",
                  .stack = "hf-2024",
                  .gpu_count = 1,
                  .method = {.kind = LQ_METHOD_QLORA,
                             .rank = 16,
                             .targets = LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER),
                             .quantization = LQ_QUANTIZATION_NF4_DQ},
                  .precision = LQ_PRECISION_BF16,
                  .optimizer = LQ_OPTIMIZER_ADAMW,
                  .checkpointing = LQ_CHECKPOINTING_FULL,
                  .layout = ONE_DEVICE},
     .method_json = "{\"kind\":\"qlora\",\"rank\":16,\"targets\":[\"experts\",\"router\"],"
                    "\"quantization\":\"nf4-dq\"}",
     .checkpointing_json = "true"},
    {.label = "BlackMamba-630M/2.8B",
     .slug = "blackmamba",
     .identity = {.model = "blackmamba-2.8b",
                  .stack = "hf-2024",
                  .gpu_count = 1,
                  .method = {.kind = LQ_METHOD_FULL},
                  .precision = LQ_PRECISION_BF16,
                  .optimizer = LQ_OPTIMIZER_ADAMW,
                  .checkpointing = LQ_CHECKPOINTING_NONE,
                  .layout = ONE_DEVICE},
     .method_json = "{\"kind\":\"full\"}",
     .checkpointing_json = "false"},
};

/* Form factors of A100 and H100 are not stated in the paper: ASSUMED PCIe. Only these were run;
 * labels not listed (projections) stay as they are. */
static const struct gpu_label {
    const char *label;
    const char *id;
    const char *slug;
} GPUS[] = {
    {"A40", "A40", "a40"},
    {"A40-48GB", "A40", "a40"},
    {"A100-40GB", "A100-40GB-PCIe", "a100-40gb"},
    {"A100-80GB", "A100-80GB-PCIe", "a100-80gb"},
    {"H100-80GB", "H100-PCIe-80GB", "h100"},
};

/* Longest row after the cut-off of 1024 tokens. Table IV's rows carry two labels (its caption says
 * GS, the text MATH); their numbers match MATH. */
static const struct lengths_label {
    const char *label;
    const char *id;
    const char *slug;
    int64_t longest_tokens;
} LENGTHS[] = {
    {"CS", "xia2024-cs", "cs", 512},
    {"MATH", "xia2024-math", "math", 1024},
    {"GS per caption; MATH per text", "xia2024-math", "math", 1024},
};

enum { CUTOFF_TOKENS = 1024, PADDING_MULTIPLE = 8, FIG4_TOKENS = 128 };

static const struct setup *find_setup(const char *label)
{
    for (size_t i = 0; i < sizeof SETUPS / sizeof SETUPS[0]; i++) {
        if (strcmp(SETUPS[i].label, label) == 0) {
            return &SETUPS[i];
        }
    }
    return NULL;
}

const char *lq_xia2024_model(const char *label)
{
    const struct setup *setup = find_setup(label);
    return setup != NULL ? setup->identity.model : label;
}

static const struct gpu_label *find_gpu(const char *label)
{
    for (size_t i = 0; i < sizeof GPUS / sizeof GPUS[0]; i++) {
        if (strcmp(GPUS[i].label, label) == 0) {
            return &GPUS[i];
        }
    }
    return NULL;
}

static const struct lengths_label *find_lengths(const char *label)
{
    for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
        if (strcmp(LENGTHS[i].label, label) == 0) {
            return &LENGTHS[i];
        }
    }
    return NULL;
}

static enum lq_code unknown(const struct lq_csv *csv, struct lq_error *err)
{
    return lq_fail(err, LQ_ESYNTAX, NULL, "%s:%zu: a label that stands for nothing known",
                   csv->name, csv->line);
}

/* Calibrations in the making: shared statements, the point being written and how many there are. */
struct points {
    const struct lq_seeding *seeding;
    struct lq_point_writer writer;
    struct lq_statement *document; /* builds the point as somebody would have posted it */
    int written;
    double stage_s[3]; /* Fig. 4: forward, backward, optimizer of one step */
    int stages;
};

/* Runs the document statement, whose parameters are bound, and inserts the point with it. */
static enum lq_code insert_point(struct points *points, const struct lq_point *point,
                                 const char *note, struct lq_error *err)
{
    bool row = false;
    LQ_TRY(lq_statement_step(points->document, &row, err));
    const struct lq_point_row shipped = {.point = point,
                                         .content = "",
                                         .note = note,
                                         .measured_at = "",
                                         .document = lq_column_text(points->document, 0),
                                         .posted_by = "",
                                         .stored_at = points->seeding->now};
    bool written = false;
    LQ_TRY(lq_point_write(&points->writer, &shipped, &written, err));
    lq_statement_reset(points->document);
    if (!written) {
        return lq_fail(err, LQ_ESTORE, NULL, "the id %s is taken", point->id);
    }
    return LQ_OK;
}

/* What every document has; parameters 1 to 8. */
static void bind_document(struct lq_statement *document, const struct setup *setup,
                          const struct lq_point *point, const char *source_file, const char *note)
{
    lq_bind_text(document, 1, point->identity.model);
    lq_bind_text(document, 2, point->identity.gpu);
    lq_bind_text(document, 3, setup->method_json);
    lq_bind_text(document, 4, setup->checkpointing_json);
    lq_bind_count(document, 5, point->conditions.active_experts);
    lq_bind_count(document, 6, point->conditions.batch_size);
    lq_bind_text(document, 7, source_file);
    lq_bind_text(document, 8, note);
}

#define DOCUMENT_START                                                                             \
    "SELECT json_object('model', ?1, 'gpu', ?2, 'method', json(?3), 'stack', 'hf-2024',"           \
    " 'precision', 'bf16', 'optimizer', 'adamw', 'gradient_checkpointing', json(?4),"              \
    " 'active_experts', ?5, 'batch_size', ?6, 'source_file', ?7, 'note', ?8, "

static const char THROUGHPUT_HEADER[] =
    "model,method,dataset,median_seq_len,gpu,sparsity,active_experts,batch_size,queries_per_s,"
    "source_file,notes";

static enum lq_code seed_throughput(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    struct points *points = context;
    const struct setup *setup = find_setup(csv->fields[0]);
    const struct lengths_label *lengths = find_lengths(csv->fields[2]);
    const struct gpu_label *gpu = find_gpu(csv->fields[4]);
    if (setup == NULL || lengths == NULL || gpu == NULL) {
        return unknown(csv, err);
    }
    struct lq_point point = {
        .identity = setup->identity,
        .conditions = {.accumulation_steps = 1,
                       .rule = {.padding = LQ_PADDING_LONGEST,
                                .cutoff_tokens = CUTOFF_TOKENS,
                                .padding_multiple = PADDING_MULTIPLE}},
        .source = "xia2024",
        .shipped = true,
    };
    LQ_TRY(lq_csv_count(csv, 6, 0, &point.conditions.active_experts, err));
    LQ_TRY(lq_csv_count(csv, 7, 0, &point.conditions.batch_size, err));
    LQ_TRY(lq_csv_number(csv, 8, 0.0, &point.queries_per_s, err));
    snprintf(point.id, sizeof point.id, "xia2024-%03d", ++points->written);
    snprintf(point.identity.gpu, sizeof point.identity.gpu, "%s", gpu->id);
    snprintf(point.conditions.lengths, sizeof point.conditions.lengths, "%s", lengths->id);
    snprintf(point.dataset, sizeof point.dataset, "xia2024-%s-%s-%s", setup->slug, lengths->slug,
             gpu->slug);
    bind_document(points->document, setup, &point, csv->fields[9], csv->fields[10]);
    lq_bind_text(points->document, 9, lengths->id);
    lq_bind_number(points->document, 10, point.queries_per_s);
    return insert_point(points, &point, csv->fields[10], err);
}

static const char BREAKDOWN_HEADER[] = "figure,model,seq_len,sparsity_or_run,active_experts,"
                                       "batch_size,level,item,metric,value,unit,source_file,notes";

/* One step of Fig. 4, when its third stage has been read. */
static enum lq_code insert_step(struct points *points, const struct lq_csv *csv,
                                const struct setup *setup, struct lq_error *err)
{
    struct lq_point point = {
        .identity = setup->identity,
        .conditions = {.accumulation_steps = 1,
                       .sequence_tokens = FIG4_TOKENS,
                       .rule = {.padding = LQ_PADDING_FIXED, .padding_multiple = 1}},
        .step_time_s = points->stage_s[0] + points->stage_s[1] + points->stage_s[2],
        .source = "xia2024-fig4",
        .shipped = true,
    };
    LQ_TRY(lq_csv_count(csv, 4, 0, &point.conditions.active_experts, err));
    LQ_TRY(lq_csv_count(csv, 5, 0, &point.conditions.batch_size, err));
    snprintf(point.id, sizeof point.id, "xia2024-fig4-%03d", ++points->written);
    snprintf(point.identity.gpu, sizeof point.identity.gpu, "A40");
    snprintf(point.dataset, sizeof point.dataset, "xia2024-fixed-128-%s", setup->slug);
    bind_document(points->document, setup, &point, csv->fields[11], csv->fields[12]);
    lq_bind_count(points->document, 9, point.conditions.sequence_tokens);
    lq_bind_number(points->document, 10, point.step_time_s);
    for (int i = 0; i < 3; i++) {
        lq_bind_number(points->document, 11 + i, points->stage_s[i]);
    }
    return insert_point(points, &point, csv->fields[12], err);
}

/* Fig. 4 has three rows a step, in this order; other figures are not step times. */
static enum lq_code seed_fig4(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    static const char *const STAGES[] = {"forward", "backward", "optimizer"};
    struct points *points = context;
    if (strcmp(csv->fields[0], "Fig.4") != 0) {
        return LQ_OK;
    }
    const struct setup *setup = find_setup(csv->fields[1]);
    if (setup == NULL || strcmp(csv->fields[7], STAGES[points->stages]) != 0) {
        return unknown(csv, err);
    }
    LQ_TRY(lq_csv_number(csv, 9, 0.0, &points->stage_s[points->stages], err));
    points->stages = (points->stages + 1) % 3;
    return points->stages == 0 ? insert_step(points, csv, setup, err) : LQ_OK;
}

/* One file of calibrations with the statement that writes their documents. */
static enum lq_code seed_points(const struct lq_seeding *seeding, const char *document,
                                const char *file, lq_seed_record handle, struct lq_error *err)
{
    struct points points = {.seeding = seeding};
    const char *header = handle == seed_fig4 ? BREAKDOWN_HEADER : THROUGHPUT_HEADER;
    LQ_TRY(lq_point_writer_open(seeding->database, &points.writer, err));
    enum lq_code code = lq_statement_open(seeding->database, document, &points.document, err);
    if (code == LQ_OK) {
        code = lq_seed_read(file, header, handle, &points, err);
    }
    lq_statement_close(&points.document);
    lq_point_writer_close(&points.writer);
    return code;
}

static const char CAPACITY_HEADER[] = "model,method,dataset,seq_len_note,gpu,gpu_mem_gb_nominal,"
                                      "sparsity,active_experts,max_batch,kind,source,notes";

/* The longest row and the data set: "fixed N" says it itself, a data set's label stands for it. */
static enum lq_code read_longest(const struct lq_csv *csv, struct lq_capacity *capacity,
                                 struct lq_error *err)
{
    if (strncmp(csv->fields[3], "fixed ", 6) == 0) {
        capacity->longest_tokens = strtoll(csv->fields[3] + 6, NULL, 10);
        return LQ_OK;
    }
    const struct lengths_label *lengths = find_lengths(csv->fields[2]);
    if (lengths == NULL) {
        return unknown(csv, err);
    }
    capacity->longest_tokens = lengths->longest_tokens;
    snprintf(capacity->lengths, sizeof capacity->lengths, "%s", lengths->id);
    return LQ_OK;
}

static enum lq_code seed_capacity(const struct lq_csv *csv, void *context, struct lq_error *err)
{
    struct lq_statement *insert = context;
    const struct setup *setup = find_setup(csv->fields[0]);
    const struct gpu_label *gpu = find_gpu(csv->fields[4]);
    if (setup == NULL) {
        return unknown(csv, err);
    }
    struct lq_capacity capacity = {.identity = setup->identity};
    snprintf(capacity.identity.gpu, sizeof capacity.identity.gpu, "%s",
             gpu != NULL ? gpu->id : csv->fields[4]);
    LQ_TRY(read_longest(csv, &capacity, err));
    LQ_TRY(lq_csv_count(csv, 7, 0, &capacity.active_experts, err));
    LQ_TRY(lq_csv_count(csv, 8, 0, &capacity.max_batch_size, err));
    const int first = LQ_IDENTITY_WIDTH + 1;
    lq_identity_bind(insert, 1, &capacity.identity);
    lq_bind_count(insert, first, capacity.active_experts);
    lq_bind_count(insert, first + 1, capacity.longest_tokens);
    lq_bind_count(insert, first + 2, capacity.max_batch_size);
    lq_bind_text(insert, first + 3, capacity.lengths);
    lq_bind_count(insert, first + 4, strncmp(csv->fields[9], "measured", 8) == 0);
    lq_bind_text(insert, first + 5, csv->fields[9]);
    lq_bind_text(insert, first + 6, csv->fields[10]);
    lq_bind_text(insert, first + 7, csv->fields[11]);
    return lq_statement_run(insert, err);
}

static enum lq_code seed_capacities(const struct lq_seeding *seeding, struct lq_error *err)
{
    static const char INSERT_CAPACITY[] =
        "INSERT INTO capacities (" LQ_IDENTITY_COLUMNS
        ", active_experts_count, longest_tokens, max_batch_rows, lengths_id, is_measured, kind,"
        " source, note, is_shipped) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
        " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29,"
        " 'xia2024', ?30 || '; ' || ?31, 1)";
    struct lq_statement *insert LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, INSERT_CAPACITY, &insert, err));
    return lq_seed_read("xia2024/max_batch.csv", CAPACITY_HEADER, seed_capacity, insert, err);
}

enum lq_code lq_seed_xia2024(const struct lq_seeding *seeding, struct lq_error *err)
{
    static const char THROUGHPUT_DOCUMENT[] =
        DOCUMENT_START "'lengths', json_object('name', ?9), 'padding', 'longest',"
                       " 'padding_multiple', 8, 'cutoff_tokens', 1024, 'queries_per_s', ?10,"
                       " 'source', 'xia2024')";
    static const char FIG4_DOCUMENT[] =
        DOCUMENT_START "'sequence_tokens', ?9, 'step_time_s', ?10, 'phases',"
                       " json_object('forward_s', ?11, 'backward_s', ?12, 'optimizer_s', ?13),"
                       " 'source', 'xia2024-fig4')";
    LQ_TRY(
        seed_points(seeding, THROUGHPUT_DOCUMENT, "xia2024/throughput.csv", seed_throughput, err));
    LQ_TRY(seed_points(seeding, FIG4_DOCUMENT, "xia2024/breakdown.csv", seed_fig4, err));
    return seed_capacities(seeding, err);
}
