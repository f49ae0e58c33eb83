-- Published figures as their files have them, for validation and priors. Every column stands in
-- the order of its CSV file; text is kept where a cell may say more than a number ("OOM", "not
-- printed"). Rows are shipped, all of them, and replaced as a whole by a newer seed.

CREATE TABLE published_breakdowns (
    figure TEXT NOT NULL,
    model_label TEXT NOT NULL,
    sequence_tokens TEXT NOT NULL,               -- or 'dataset'
    run_label TEXT NOT NULL,
    active_experts_count INTEGER,
    batch_size_rows TEXT,                        -- or 'max that fits'
    level_label TEXT NOT NULL,
    item_label TEXT NOT NULL,
    metric_label TEXT NOT NULL,
    metric_value REAL NOT NULL,                  -- in metric_unit
    metric_unit TEXT NOT NULL,
    source TEXT NOT NULL,
    note TEXT
) STRICT;

CREATE TABLE published_accuracies (
    model_label TEXT NOT NULL,
    sparsity_label TEXT NOT NULL,
    test_set TEXT NOT NULL,
    epoch_number INTEGER NOT NULL,
    accuracy_share REAL NOT NULL,                -- 0..1
    source TEXT NOT NULL
) STRICT;

CREATE TABLE published_costs (
    gpu_label TEXT NOT NULL,
    memory_gb REAL NOT NULL,
    max_batch_rows INTEGER NOT NULL,
    queries_per_s REAL NOT NULL,
    usd_per_h REAL NOT NULL,
    cost_usd REAL NOT NULL,
    price_source TEXT NOT NULL,
    epochs_count INTEGER NOT NULL,
    queries_count INTEGER NOT NULL,              -- that reproduce the printed cost
    note TEXT
) STRICT;

CREATE TABLE published_coefficients (
    equation_label TEXT NOT NULL,
    coefficient_label TEXT NOT NULL,
    model_label TEXT NOT NULL,
    dataset_label TEXT,
    gpu_label TEXT,
    paper_value TEXT NOT NULL,                   -- or 'not printed'
    code_value REAL,
    source TEXT NOT NULL,
    note TEXT
) STRICT;

CREATE TABLE published_fits (
    set_label TEXT NOT NULL,                     -- model|dataset|gpu
    points_count INTEGER NOT NULL,
    form_label TEXT NOT NULL,
    parameters_count INTEGER NOT NULL,
    rmse_queries_per_s REAL NOT NULL,
    mape_percent REAL NOT NULL,
    loo_rmse_queries_per_s REAL,
    extrapolation_rmse_queries_per_s REAL,
    extrapolation_largest_sparse_batch_percent REAL,
    parameter_values TEXT NOT NULL
) STRICT;

CREATE TABLE published_lengths (
    dataset_label TEXT NOT NULL,
    file_name TEXT NOT NULL,
    queries_count TEXT NOT NULL,                 -- or '15K'
    length_unit TEXT NOT NULL,
    min_length REAL,                             -- this and the next nine in length_unit
    p10_length REAL,
    p25_length REAL,
    median_length REAL NOT NULL,
    mean_length REAL,
    p75_length REAL,
    p90_length REAL,
    p95_length REAL,
    p99_length REAL,
    max_length REAL,
    over_1024_count INTEGER,
    note TEXT
) STRICT;

-- Runs measured by others, as their tables print them.
CREATE TABLE measured_runs (
    file_name TEXT NOT NULL,
    row_number INTEGER NOT NULL,                 -- 1-based
    set_label TEXT NOT NULL,
    model_label TEXT NOT NULL,
    parameters_count TEXT,
    task_label TEXT,
    method_label TEXT,
    quantization_label TEXT,
    lora_label TEXT,
    gpu_label TEXT,
    gpu_count TEXT,
    micro_batch_rows TEXT,
    accumulation_steps_count TEXT,
    global_batch_rows TEXT,
    sequence_tokens TEXT,
    precision_label TEXT,
    checkpointing_label TEXT,
    parallelism_label TEXT,
    framework_label TEXT,
    throughput_value TEXT,                       -- in throughput_unit
    throughput_unit TEXT,
    step_time_s TEXT,
    mfu_percent TEXT,
    peak_memory_value TEXT,                      -- in peak_memory_unit, or 'OOM'
    peak_memory_unit TEXT,
    memory_scope_label TEXT,
    source TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (file_name, row_number)
) STRICT, WITHOUT ROWID;

-- What each measured run is in the catalog's terms, and what it is good for.
CREATE TABLE measured_runs_mapping (
    file_name TEXT NOT NULL,
    row_number INTEGER NOT NULL,
    model_id TEXT COLLATE NOCASE,                -- or 'measured:NAME', a row of measured_models
    gpu_id TEXT COLLATE NOCASE,                  -- or 'own:...', not in the catalog
    stack TEXT NOT NULL,
    use_label TEXT NOT NULL,                     -- yes, serving, capacity or no
    note TEXT,
    PRIMARY KEY (file_name, row_number),
    FOREIGN KEY (file_name, row_number) REFERENCES measured_runs (file_name, row_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE measured_models (
    name TEXT NOT NULL PRIMARY KEY,
    config_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Coefficient sets reconstructed for the law of Yun et al. 2024.
CREATE TABLE yun2024_sets (
    set_label TEXT NOT NULL PRIMARY KEY,
    variant_label TEXT NOT NULL,
    a_coefficient REAL NOT NULL,
    alpha_exponent REAL NOT NULL,
    b_coefficient REAL NOT NULL,
    beta_exponent REAL NOT NULL,
    c_coefficient REAL NOT NULL,
    gamma_exponent REAL NOT NULL,
    f_coefficient REAL NOT NULL,
    d_coefficient REAL NOT NULL,
    e_start_coefficient REAL NOT NULL,
    e_max_coefficient REAL NOT NULL,
    left_out_constraints TEXT NOT NULL
) STRICT, WITHOUT ROWID;
