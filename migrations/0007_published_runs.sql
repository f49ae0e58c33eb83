-- Training runs that others measured, in the catalog's terms: what a source leaves out is assumed
-- and said in note. Shipped, all of them, and replaced as a whole by a newer seed.

-- GPUs of such runs may lack in the catalog that users see.
ALTER TABLE gpus ADD COLUMN is_listed INTEGER NOT NULL DEFAULT 1 CHECK (is_listed IN (0, 1));

CREATE TABLE published_runs (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,                        -- leave-one-source-out leaves this out
    file_name TEXT NOT NULL,                     -- of measured_runs
    row_number INTEGER NOT NULL,
    model_id TEXT NOT NULL COLLATE NOCASE,       -- or 'measured:NAME', a row of measured_models
    gpu_id TEXT COLLATE NOCASE,                  -- NULL: any with capacity_bytes
    stack TEXT NOT NULL,
    gpu_count INTEGER NOT NULL CHECK (gpu_count > 0),
    method_kind TEXT NOT NULL,
    adapter_rank INTEGER NOT NULL,
    targets_names TEXT,                          -- separated by semicolons; NULL: full
    quantization TEXT,                           -- NULL: none
    precision TEXT NOT NULL,
    optimizer TEXT NOT NULL,
    attention TEXT NOT NULL,
    checkpointing TEXT NOT NULL,
    options_names TEXT,                          -- separated by semicolons
    master_weights_are_kept INTEGER NOT NULL CHECK (master_weights_are_kept IN (0, 1)),
    data_ranks_count INTEGER NOT NULL CHECK (data_ranks_count > 0),
    tensor_ranks_count INTEGER NOT NULL CHECK (tensor_ranks_count > 0),
    pipeline_stages_count INTEGER NOT NULL CHECK (pipeline_stages_count > 0),
    expert_ranks_count INTEGER NOT NULL CHECK (expert_ranks_count > 0),
    context_ranks_count INTEGER NOT NULL CHECK (context_ranks_count > 0),
    zero_stage_number INTEGER NOT NULL CHECK (zero_stage_number BETWEEN 0 AND 3),
    zero_group_ranks_count INTEGER NOT NULL,     -- 0: all data * context ranks
    nodes_count INTEGER NOT NULL CHECK (nodes_count > 0),
    accumulation_steps_count INTEGER NOT NULL CHECK (accumulation_steps_count > 0),
    batch_size_rows INTEGER CHECK (batch_size_rows > 0), -- per data rank; NULL: not known
    sequence_tokens INTEGER,                     -- every row padded to this; NULL: lengths_id tells
    lengths_id TEXT COLLATE NOCASE,
    longest_tokens REAL CHECK (longest_tokens > 0),
    step_time_s REAL CHECK (step_time_s > 0),    -- of one micro-batch
    tokens_per_s_per_gpu REAL CHECK (tokens_per_s_per_gpu > 0),
    queries_per_s REAL CHECK (queries_per_s > 0), -- of the whole job
    peak_memory_bytes REAL CHECK (peak_memory_bytes > 0),
    memory_scope TEXT NOT NULL,                  -- active, reserved or unknown
    is_out_of_memory INTEGER NOT NULL CHECK (is_out_of_memory IN (0, 1)),
    capacity_bytes REAL CHECK (capacity_bytes > 0), -- longest_tokens is the longest that fits it
    time_is_used INTEGER NOT NULL CHECK (time_is_used IN (0, 1)),
    memory_is_used INTEGER NOT NULL CHECK (memory_is_used IN (0, 1)),
    note TEXT
) STRICT, WITHOUT ROWID;
