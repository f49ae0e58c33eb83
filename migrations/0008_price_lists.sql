-- Price lists of one's own: every list that was ever put stays as a version with the time it was in
-- force, at most one of a provider at a time. `prices` holds what is shipped.

CREATE TABLE price_lists (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL COLLATE NOCASE,
    version_number INTEGER NOT NULL CHECK (version_number > 0), -- counts up within a provider
    prices_count INTEGER NOT NULL CHECK (prices_count > 0),
    newest_date TEXT NOT NULL,                   -- latest of its prices' dates, as precise as it is
    layout TEXT NOT NULL,                        -- of the document: json, csv or skypilot
    content_sha256_hex TEXT NOT NULL,            -- of the rows in their order
    posted_by TEXT NOT NULL,                     -- name of the token
    stored_at_utc TEXT NOT NULL,                 -- RFC 3339; in force from then on
    ended_at_utc TEXT NOT NULL DEFAULT '',       -- until then; '' = still in force
    UNIQUE (provider, version_number)
) STRICT;
CREATE UNIQUE INDEX price_lists_in_force ON price_lists (provider) WHERE ended_at_utc = '';

CREATE TABLE price_list_rows (
    list_sequence_number INTEGER NOT NULL REFERENCES price_lists (sequence_number),
    row_number INTEGER NOT NULL,
    region TEXT NOT NULL,                        -- '' where none was named
    instance_type TEXT NOT NULL,
    gpu_id TEXT NOT NULL COLLATE NOCASE,
    gpu_count INTEGER NOT NULL CHECK (gpu_count > 0),
    instance_usd_per_h REAL CHECK (instance_usd_per_h > 0),           -- NULL: not offered
    instance_spot_usd_per_h REAL CHECK (instance_spot_usd_per_h > 0), -- NULL: not offered
    priced_on_date TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (list_sequence_number, row_number),
    CHECK (instance_usd_per_h IS NOT NULL OR instance_spot_usd_per_h IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- A list of one's own waits while a provider of its name is shipped.
CREATE VIEW prices_in_force AS
    SELECT provider, is_shipped, region, instance_type, gpu_id, gpu_count, instance_usd_per_h,
           instance_spot_usd_per_h, priced_on_date, source
    FROM prices WHERE is_shipped = 1
    UNION ALL
    SELECT l.provider, 0, r.region, r.instance_type, r.gpu_id, r.gpu_count, r.instance_usd_per_h,
           r.instance_spot_usd_per_h, r.priced_on_date, r.source
    FROM price_lists AS l JOIN price_list_rows AS r ON r.list_sequence_number = l.sequence_number
    WHERE l.ended_at_utc = ''
      AND l.provider NOT IN (SELECT provider FROM prices WHERE is_shipped = 1);
