-- What an operator says about posted points: whose are left out of fits, and which are right although
-- they look wrong. The points themselves stay as they came.

ALTER TABLE calibrations ADD COLUMN token_id TEXT NOT NULL DEFAULT '';         -- who posted; '' = not known
ALTER TABLE calibrations ADD COLUMN confirmed_at_utc TEXT NOT NULL DEFAULT ''; -- '' = not confirmed

-- So far points had their token's name alone, and a name may have been given twice.
UPDATE calibrations SET token_id = (SELECT id FROM tokens WHERE name = posted_by)
WHERE NOT is_shipped AND (SELECT count(*) FROM tokens WHERE name = posted_by) = 1;

CREATE TABLE exclusions (
    id TEXT PRIMARY KEY COLLATE NOCASE,          -- of a token, or a source that points name
    excluded_by TEXT NOT NULL,                   -- name of the token that said so
    excluded_at_utc TEXT NOT NULL
) STRICT, WITHOUT ROWID;
