-- Points are many and what they are measured of is not: each combination of model, device, stack and
-- method is a row of its own, to which its points refer. And a posted point's id is its digest's
-- first 64 bits: they are stored as the number they are. Both make rows and their index smaller, and
-- what a commit writes is what bounds how many points arrive in a second.

CREATE TABLE settings (
    number INTEGER PRIMARY KEY,
    model_id TEXT NOT NULL,
    gpu_id TEXT NOT NULL,
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
    UNIQUE (model_id, gpu_id, stack, gpu_count, method_kind, adapter_rank, targets_bits, quantization,
            embeddings_are_trained, precision, optimizer, checkpointing, attention,
            master_weights_are_kept, options_bits, data_ranks_count, tensor_ranks_count,
            pipeline_stages_count, expert_ranks_count, context_ranks_count, zero_stage_number,
            zero_group_ranks_count, nodes_count)
) STRICT;

INSERT INTO settings (model_id, gpu_id, stack, gpu_count, method_kind, adapter_rank, targets_bits,
                      quantization, embeddings_are_trained, precision, optimizer, checkpointing,
                      attention, master_weights_are_kept, options_bits, data_ranks_count,
                      tensor_ranks_count, pipeline_stages_count, expert_ranks_count,
                      context_ranks_count, zero_stage_number, zero_group_ranks_count, nodes_count)
    SELECT DISTINCT model_id COLLATE BINARY, gpu_id COLLATE BINARY, stack, gpu_count, method_kind,
           adapter_rank, targets_bits, quantization, embeddings_are_trained, precision, optimizer,
           checkpointing, attention, master_weights_are_kept, options_bits, data_ranks_count,
           tensor_ranks_count, pipeline_stages_count, expert_ranks_count, context_ranks_count,
           zero_stage_number, zero_group_ranks_count, nodes_count
    FROM calibrations;

CREATE TABLE calibrations_next (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival, never used twice
    id TEXT COLLATE NOCASE,                      -- NULL: cal- and digest_key in 16 hex digits
    digest_key INTEGER UNIQUE,                   -- first 64 bits of content_sha256_hex
    content_sha256_hex TEXT,                     -- NULL for shipped rows
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    setting_number INTEGER NOT NULL,             -- a row of settings: no key, since the other way it
                                                 -- would be sought in all rows
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
    token_id TEXT NOT NULL DEFAULT '',           -- who posted; '' = not known
    confirmed_at_utc TEXT NOT NULL DEFAULT '',   -- '' = not confirmed
    CHECK ((id IS NULL) <> (digest_key IS NULL)),
    CHECK ((queries_per_s IS NOT NULL OR step_time_s IS NOT NULL) <> is_out_of_memory)
) STRICT;

INSERT INTO calibrations_next
    SELECT c.sequence_number, CASE WHEN keyed THEN NULL ELSE c.id END,
           CASE WHEN keyed THEN -- the value of 16 hex digits
               (WITH RECURSIVE digits (place, value) AS (
                    SELECT 5, 0 UNION ALL
                    SELECT place + 1,
                           value << 4 | instr('123456789abcdef', lower(substr(c.id, place, 1)))
                    FROM digits WHERE place < 21)
                SELECT value FROM digits WHERE place = 21) END,
           c.content_sha256_hex, c.is_shipped, s.number, c.active_experts_count, c.batch_size_rows,
           c.accumulation_steps_count, c.sequence_tokens, c.lengths_id, c.padding, c.cutoff_tokens,
           c.padding_multiple_tokens, c.row_tokens, c.queries_per_row, c.longest_tokens,
           c.queries_per_s, c.step_time_s, c.peak_memory_bytes, c.is_out_of_memory, c.source,
           c.dataset, c.note, c.measured_at_utc, c.document_json, c.posted_by, c.stored_at_utc,
           c.token_id, c.confirmed_at_utc
    FROM (SELECT *, NOT is_shipped AND length(id) = 20 AND id LIKE 'cal-%' AND
                 substr(id, 5) NOT GLOB '*[^0-9A-Fa-f]*' AS keyed FROM calibrations) c
    JOIN settings s ON s.model_id = c.model_id COLLATE BINARY AND s.gpu_id = c.gpu_id COLLATE BINARY
        AND s.stack = c.stack AND s.gpu_count = c.gpu_count AND s.method_kind = c.method_kind
        AND s.adapter_rank = c.adapter_rank AND s.targets_bits = c.targets_bits
        AND s.quantization = c.quantization
        AND s.embeddings_are_trained = c.embeddings_are_trained AND s.precision = c.precision
        AND s.optimizer = c.optimizer AND s.checkpointing = c.checkpointing
        AND s.attention = c.attention AND s.master_weights_are_kept = c.master_weights_are_kept
        AND s.options_bits = c.options_bits AND s.data_ranks_count = c.data_ranks_count
        AND s.tensor_ranks_count = c.tensor_ranks_count
        AND s.pipeline_stages_count = c.pipeline_stages_count
        AND s.expert_ranks_count = c.expert_ranks_count
        AND s.context_ranks_count = c.context_ranks_count
        AND s.zero_stage_number = c.zero_stage_number
        AND s.zero_group_ranks_count = c.zero_group_ranks_count AND s.nodes_count = c.nodes_count
    ORDER BY c.sequence_number;

-- Numbers of deleted rows stay used.
DELETE FROM sqlite_sequence WHERE name = 'calibrations_next';
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'calibrations_next', seq FROM sqlite_sequence WHERE name = 'calibrations';
DROP TABLE calibrations;
ALTER TABLE calibrations_next RENAME TO calibrations;

-- Only shipped rows, and few at that, have a name of their own.
CREATE UNIQUE INDEX calibrations_named ON calibrations (id) WHERE id IS NOT NULL;

-- Points as they are read: with their settings and their ids.
CREATE VIEW points AS
    SELECT c.sequence_number, coalesce(c.id, printf('cal-%016x', c.digest_key)) AS id, c.is_shipped,
           s.model_id, s.gpu_id, s.stack, s.gpu_count, s.method_kind, s.adapter_rank,
           s.targets_bits, s.quantization, s.embeddings_are_trained, s.precision, s.optimizer,
           s.checkpointing, s.attention, s.master_weights_are_kept, s.options_bits,
           s.data_ranks_count, s.tensor_ranks_count, s.pipeline_stages_count, s.expert_ranks_count,
           s.context_ranks_count, s.zero_stage_number, s.zero_group_ranks_count, s.nodes_count,
           c.active_experts_count, c.batch_size_rows, c.accumulation_steps_count, c.sequence_tokens,
           c.lengths_id, c.padding, c.cutoff_tokens, c.padding_multiple_tokens, c.row_tokens,
           c.queries_per_row, c.longest_tokens, c.queries_per_s, c.step_time_s, c.peak_memory_bytes,
           c.is_out_of_memory, c.source, c.dataset, c.note, c.measured_at_utc, c.document_json,
           c.posted_by, c.stored_at_utc, c.token_id, c.confirmed_at_utc
    FROM calibrations c JOIN settings s ON s.number = c.setting_number;
