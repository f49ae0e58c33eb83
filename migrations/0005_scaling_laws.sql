-- Scaling laws that users added, by their coefficients or by runs to fit. A law never changes and
-- is never removed: answers name the law that they were made with.

CREATE TABLE scaling_laws (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL COLLATE NOCASE UNIQUE,
    form TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT '',             -- what its poster says of it
    -- Where its runs lie; 0: not known.
    least_parameters_count REAL NOT NULL DEFAULT 0,
    most_parameters_count REAL NOT NULL DEFAULT 0,
    least_tokens_count REAL NOT NULL DEFAULT 0,
    most_tokens_count REAL NOT NULL DEFAULT 0,
    least_experts_count REAL NOT NULL DEFAULT 0,
    most_experts_count REAL NOT NULL DEFAULT 0,
    least_tokens_per_parameter REAL NOT NULL DEFAULT 0,
    most_tokens_per_parameter REAL NOT NULL DEFAULT 0,
    fit_json TEXT NOT NULL DEFAULT '',           -- how it was fitted; '' where it was given
    posted_by TEXT NOT NULL,                     -- name of the token
    stored_at_utc TEXT NOT NULL                  -- RFC 3339
) STRICT;

CREATE TABLE scaling_law_coefficients (
    law_id TEXT NOT NULL COLLATE NOCASE REFERENCES scaling_laws (id),
    name TEXT NOT NULL,
    value REAL NOT NULL,                         -- in the units of its form
    PRIMARY KEY (law_id, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER scaling_laws_do_not_change BEFORE UPDATE ON scaling_laws
BEGIN
    SELECT RAISE (ABORT, 'a scaling law never changes');
END;

CREATE TRIGGER scaling_laws_are_not_removed BEFORE DELETE ON scaling_laws
BEGIN
    SELECT RAISE (ABORT, 'a scaling law is never removed');
END;

CREATE TRIGGER scaling_law_coefficients_do_not_change BEFORE UPDATE ON scaling_law_coefficients
BEGIN
    SELECT RAISE (ABORT, 'a scaling law never changes');
END;

CREATE TRIGGER scaling_law_coefficients_are_not_removed BEFORE DELETE ON scaling_law_coefficients
BEGIN
    SELECT RAISE (ABORT, 'a scaling law is never removed');
END;
