-- A posted point's id is made of its digest, so that one index tells duplicates; a second one over
-- the whole digest made every insert write one more page at a random place.
-- The table is built anew because a column's UNIQUE cannot be taken back.

CREATE TABLE calibrations_next (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival, never used twice
    id TEXT NOT NULL COLLATE NOCASE UNIQUE,
    content_sha256_hex TEXT,                     -- NULL for shipped rows; the id begins it
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
    attention TEXT NOT NULL,
    master_weights_are_kept INTEGER NOT NULL CHECK (master_weights_are_kept IN (0, 1)),
    options_bits INTEGER NOT NULL,
    data_ranks_count INTEGER NOT NULL CHECK (data_ranks_count > 0),
    tensor_ranks_count INTEGER NOT NULL CHECK (tensor_ranks_count > 0),
    pipeline_stages_count INTEGER NOT NULL CHECK (pipeline_stages_count > 0),
    expert_ranks_count INTEGER NOT NULL CHECK (expert_ranks_count > 0),
    context_ranks_count INTEGER NOT NULL CHECK (context_ranks_count > 0),
    zero_stage_number INTEGER NOT NULL CHECK (zero_stage_number BETWEEN 0 AND 3),
    zero_group_ranks_count INTEGER NOT NULL,     -- 0: all data * context ranks
    nodes_count INTEGER NOT NULL CHECK (nodes_count > 0),
    active_experts_count INTEGER NOT NULL,       -- 0 for dense models
    batch_size_rows INTEGER NOT NULL CHECK (batch_size_rows > 0), -- per data rank
    accumulation_steps_count INTEGER NOT NULL CHECK (accumulation_steps_count > 0),
    sequence_tokens INTEGER NOT NULL,            -- every row padded to this; 0: lengths_id tells
    lengths_id TEXT NOT NULL COLLATE NOCASE,     -- a data set, or '' for none or one given inline
    padding TEXT NOT NULL,
    cutoff_tokens INTEGER NOT NULL,              -- 0: none
    padding_multiple_tokens INTEGER NOT NULL,
    row_tokens REAL,                             -- mean padded row as posted; NULL: from lengths_id
    queries_per_row REAL,                        -- NULL: 1, or as lengths_id and packing make it
    longest_tokens REAL CHECK (longest_tokens > 0),    -- longest row that occurred; NULL: derived
    queries_per_s REAL CHECK (queries_per_s > 0),      -- of the whole job
    step_time_s REAL CHECK (step_time_s > 0),          -- of one micro-batch
    peak_memory_bytes REAL CHECK (peak_memory_bytes > 0), -- of the fullest device
    is_out_of_memory INTEGER NOT NULL CHECK (is_out_of_memory IN (0, 1)), -- tried, did not fit
    source TEXT NOT NULL,
    dataset TEXT NOT NULL,                       -- the set it belongs to in validation, or ''
    note TEXT NOT NULL DEFAULT '',
    measured_at_utc TEXT NOT NULL DEFAULT '',
    document_json TEXT NOT NULL,                 -- the point as it came
    posted_by TEXT NOT NULL DEFAULT '',          -- name of the token
    stored_at_utc TEXT NOT NULL,
    CHECK ((queries_per_s IS NOT NULL OR step_time_s IS NOT NULL) <> is_out_of_memory)
) STRICT;

INSERT INTO calibrations_next
    SELECT sequence_number, id, content_sha256_hex, is_shipped, model_id, gpu_id, stack,
           gpu_count, method_kind, adapter_rank, targets_bits, quantization,
           embeddings_are_trained, precision, optimizer, checkpointing, attention,
           master_weights_are_kept, options_bits, data_ranks_count, tensor_ranks_count,
           pipeline_stages_count, expert_ranks_count, context_ranks_count,
           zero_stage_number, zero_group_ranks_count, nodes_count, active_experts_count,
           batch_size_rows, accumulation_steps_count, sequence_tokens, lengths_id, padding,
           cutoff_tokens, padding_multiple_tokens, row_tokens, queries_per_row,
           longest_tokens, queries_per_s, step_time_s, peak_memory_bytes, is_out_of_memory,
           source, dataset, note, measured_at_utc, document_json, posted_by, stored_at_utc
    FROM calibrations ORDER BY sequence_number;

-- Numbers of deleted rows stay used.
DELETE FROM sqlite_sequence WHERE name = 'calibrations_next';
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'calibrations_next', seq FROM sqlite_sequence WHERE name = 'calibrations';
DROP TABLE calibrations;
ALTER TABLE calibrations_next RENAME TO calibrations;
