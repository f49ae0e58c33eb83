-- Measurements that fits rest on. The twelve columns from model_id to checkpointing are the
-- identity of a measurement; names are those of the API. targets_bits has one bit per kind of
-- weight matrix: 0 q, 1 k, 2 v, 3 o, 4 gate, 5 up, 6 down, 7-9 the same three inside experts,
-- 10 router, 11 embedding, 12 head, 13-16 Mamba in, x, dt, out.

CREATE TABLE calibrations (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival, never used twice
    id TEXT NOT NULL COLLATE NOCASE UNIQUE,
    content_sha256_hex TEXT UNIQUE,              -- NULL for shipped rows
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    model_id TEXT NOT NULL COLLATE NOCASE,
    gpu_id TEXT NOT NULL COLLATE NOCASE,
    stack TEXT NOT NULL,
    gpu_count INTEGER NOT NULL CHECK (gpu_count > 0),
    method_kind TEXT NOT NULL,
    adapter_rank INTEGER NOT NULL,
    targets_bits INTEGER NOT NULL,
    quantization TEXT NOT NULL,
    embeddings_are_trained INTEGER NOT NULL CHECK (embeddings_are_trained IN (0, 1)),
    precision TEXT NOT NULL,
    optimizer TEXT NOT NULL,
    checkpointing TEXT NOT NULL,
    active_experts_count INTEGER NOT NULL,       -- 0 for dense models
    batch_size_rows INTEGER NOT NULL CHECK (batch_size_rows > 0), -- per device
    accumulation_steps_count INTEGER NOT NULL CHECK (accumulation_steps_count > 0),
    sequence_tokens INTEGER NOT NULL,            -- every row padded to this; 0: lengths_id tells
    lengths_id TEXT NOT NULL COLLATE NOCASE,     -- a data set, or '' for none or one given inline
    padding TEXT NOT NULL,
    cutoff_tokens INTEGER NOT NULL,              -- 0: none
    padding_multiple_tokens INTEGER NOT NULL,
    row_tokens REAL,                             -- mean padded row as posted; NULL: from lengths_id
    queries_per_row REAL,                        -- NULL: 1, or as lengths_id and packing make it
    queries_per_s REAL CHECK (queries_per_s > 0),      -- of the whole job
    step_time_s REAL CHECK (step_time_s > 0),          -- of one micro-batch
    peak_memory_bytes REAL CHECK (peak_memory_bytes > 0), -- of the fullest device
    source TEXT NOT NULL,
    dataset TEXT NOT NULL,                       -- the set it belongs to in validation, or ''
    note TEXT NOT NULL DEFAULT '',
    measured_at_utc TEXT NOT NULL DEFAULT '',
    document_json TEXT NOT NULL,                 -- the point as it came
    posted_by TEXT NOT NULL DEFAULT '',          -- name of the token
    stored_at_utc TEXT NOT NULL,
    CHECK (queries_per_s IS NOT NULL OR step_time_s IS NOT NULL)
) STRICT;

-- Largest batches that somebody found to fit, or claimed to. All shipped so far.
CREATE TABLE capacities (
    sequence_number INTEGER PRIMARY KEY,
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    model_id TEXT NOT NULL COLLATE NOCASE,
    gpu_id TEXT NOT NULL COLLATE NOCASE,         -- need not be in the catalog (projections)
    stack TEXT NOT NULL,
    gpu_count INTEGER NOT NULL CHECK (gpu_count > 0),
    method_kind TEXT NOT NULL,
    adapter_rank INTEGER NOT NULL,
    targets_bits INTEGER NOT NULL,
    quantization TEXT NOT NULL,
    embeddings_are_trained INTEGER NOT NULL CHECK (embeddings_are_trained IN (0, 1)),
    precision TEXT NOT NULL,
    optimizer TEXT NOT NULL,
    checkpointing TEXT NOT NULL,
    active_experts_count INTEGER NOT NULL,
    longest_tokens INTEGER NOT NULL CHECK (longest_tokens > 0),
    max_batch_rows INTEGER NOT NULL CHECK (max_batch_rows > 0),
    lengths_id TEXT NOT NULL COLLATE NOCASE,     -- '' for fixed lengths
    is_measured INTEGER NOT NULL CHECK (is_measured IN (0, 1)),
    kind TEXT NOT NULL,                          -- in the source's words
    source TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT;

-- Answers already given, by the poster's token and Idempotency-Key: a retry gets the same one.
CREATE TABLE receipts (
    token_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_digest_hex TEXT NOT NULL,
    calibration_ids_lines TEXT NOT NULL,         -- one id a line, in the order of the points
    duplicates_count INTEGER NOT NULL,
    stored_at_utc TEXT NOT NULL,
    PRIMARY KEY (token_id, idempotency_key)
) STRICT, WITHOUT ROWID;
