-- The catalogs: models, GPUs, prices and length distributions. A row is shipped (written from the
-- program's seed, read-only, replaced as a whole by a newer seed) or somebody's own. Both may carry
-- one id: then the shipped one is in force and the own one waits until a seed drops that id again.

CREATE TABLE models (
    id TEXT NOT NULL COLLATE NOCASE,
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    config_json TEXT NOT NULL,                   -- config.json as it came, on one line
    published_parameters_count INTEGER NOT NULL DEFAULT 0, -- 0: unknown
    published_active_parameters_count INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    is_recalled INTEGER NOT NULL DEFAULT 0 CHECK (is_recalled IN (0, 1)),
    stored_at_utc TEXT NOT NULL,                 -- RFC 3339
    PRIMARY KEY (id, is_shipped)
) STRICT;

-- Rates are dense peaks; 0 means unknown or not available, for any quantity but memory.
CREATE TABLE gpus (
    id TEXT NOT NULL COLLATE NOCASE,
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    vendor TEXT NOT NULL,
    architecture TEXT NOT NULL,
    compute_capability TEXT NOT NULL,
    memory_bytes REAL NOT NULL CHECK (memory_bytes > 0),
    memory_is_reported INTEGER NOT NULL CHECK (memory_is_reported IN (0, 1)),
    memory_nominal_bytes REAL NOT NULL,
    memory_bandwidth_bytes_per_s REAL NOT NULL,
    fp32_flop_per_s REAL NOT NULL,
    tf32_flop_per_s REAL NOT NULL,
    fp16_flop_per_s REAL NOT NULL,
    fp8_flop_per_s REAL NOT NULL,
    int8_op_per_s REAL NOT NULL,
    fp4_flop_per_s REAL NOT NULL,
    interconnect_bytes_per_s REAL NOT NULL,      -- both directions together
    pcie_generation_number INTEGER NOT NULL,
    sm_count INTEGER NOT NULL,
    tdp_w REAL NOT NULL,
    l2_bytes REAL NOT NULL,
    boost_hz REAL NOT NULL,
    source TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    is_recalled INTEGER NOT NULL DEFAULT 0 CHECK (is_recalled IN (0, 1)),
    stored_at_utc TEXT NOT NULL,
    PRIMARY KEY (id, is_shipped)
) STRICT;

CREATE TABLE prices (
    provider TEXT NOT NULL COLLATE NOCASE,
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    region TEXT NOT NULL,                        -- '' where the source names none
    instance_type TEXT NOT NULL,
    gpu_id TEXT NOT NULL COLLATE NOCASE,
    gpu_count INTEGER NOT NULL CHECK (gpu_count > 0),
    instance_usd_per_h REAL CHECK (instance_usd_per_h > 0),           -- NULL: not offered
    instance_spot_usd_per_h REAL CHECK (instance_spot_usd_per_h > 0), -- NULL: not offered
    priced_on_date TEXT NOT NULL,                -- as precise as its source: 2024, 2026-07, ...
    source TEXT NOT NULL,
    stored_at_utc TEXT NOT NULL
) STRICT;
CREATE INDEX prices_by_gpu ON prices (gpu_id);

CREATE TABLE datasets (
    id TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    is_shipped INTEGER NOT NULL CHECK (is_shipped IN (0, 1)),
    description TEXT NOT NULL,
    length_unit TEXT NOT NULL,
    source TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    is_recalled INTEGER NOT NULL DEFAULT 0 CHECK (is_recalled IN (0, 1)),
    stored_at_utc TEXT NOT NULL
) STRICT;

-- A distribution never changes under its id: measurements refer to it.
CREATE TABLE dataset_bins (
    dataset_id TEXT NOT NULL COLLATE NOCASE REFERENCES datasets (id) ON DELETE CASCADE,
    length_tokens INTEGER NOT NULL CHECK (length_tokens > 0),
    queries_count INTEGER NOT NULL CHECK (queries_count >= 0),
    PRIMARY KEY (dataset_id, length_tokens)
) STRICT, WITHOUT ROWID;

-- Which seed the shipped rows were written from.
CREATE TABLE seed_state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    digest TEXT NOT NULL,
    applied_at_utc TEXT NOT NULL,
    write_probes_count INTEGER NOT NULL DEFAULT 0 -- counted up to try the disk
) STRICT;

CREATE VIEW models_in_force AS
    SELECT * FROM models AS m
    WHERE is_shipped = 1
       OR NOT EXISTS (SELECT 1 FROM models AS s WHERE s.id = m.id AND s.is_shipped = 1);

CREATE VIEW gpus_in_force AS
    SELECT * FROM gpus AS g
    WHERE is_shipped = 1
       OR NOT EXISTS (SELECT 1 FROM gpus AS s WHERE s.id = g.id AND s.is_shipped = 1);
