-- Estimates that somebody wanted to keep, and what became of the jobs. `receipts` of 0002 are of
-- posted points and have nothing to do with these.

CREATE TABLE kept_estimates (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival, never used twice
    id TEXT NOT NULL UNIQUE,                     -- 128 random bits in hex: who knows it may read
    token_id TEXT NOT NULL,                      -- whose it is
    model_id TEXT NOT NULL,                      -- as the answer names them
    gpu_id TEXT NOT NULL,
    request_json TEXT NOT NULL,                  -- the job; a sample of lengths as a histogram
    answer_json TEXT NOT NULL,                   -- with the versions it was made by
    stored_at_utc TEXT NOT NULL,
    interval_level REAL NOT NULL CHECK (interval_level > 0 AND interval_level < 1),
    queries_per_s REAL NOT NULL CHECK (queries_per_s > 0),
    least_queries_per_s REAL NOT NULL,
    most_queries_per_s REAL NOT NULL,
    duration_s REAL NOT NULL CHECK (duration_s > 0),
    least_duration_s REAL NOT NULL,
    most_duration_s REAL NOT NULL,
    cost_usd REAL CHECK (cost_usd > 0),          -- of the cheapest offer; NULL: nobody priced it
    least_cost_usd REAL,
    most_cost_usd REAL
) STRICT;
CREATE INDEX kept_estimates_by_token ON kept_estimates (token_id, sequence_number);
CREATE INDEX kept_estimates_by_time ON kept_estimates (stored_at_utc);

-- What really happened: once for each estimate, and gone with it.
CREATE TABLE outcomes (
    estimate_id TEXT PRIMARY KEY REFERENCES kept_estimates (id) ON DELETE CASCADE,
    queries_per_s REAL CHECK (queries_per_s > 0),
    duration_s REAL CHECK (duration_s > 0),
    cost_usd REAL CHECK (cost_usd > 0),
    note TEXT NOT NULL DEFAULT '',
    calibration_id TEXT NOT NULL DEFAULT '',     -- the point made of it; '' = none was asked for
    recorded_at_utc TEXT NOT NULL,
    CHECK (queries_per_s IS NOT NULL OR duration_s IS NOT NULL OR cost_usd IS NOT NULL)
) STRICT, WITHOUT ROWID;
