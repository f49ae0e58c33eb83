-- Bearer tokens, kept only as the SHA-256 of their text (256 random bits, so no salt is needed).

CREATE TABLE tokens (
    sequence_number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    secret_sha256_hex TEXT NOT NULL UNIQUE,
    scopes_list TEXT NOT NULL,                   -- separated by spaces
    created_at_utc TEXT NOT NULL,                -- RFC 3339
    expires_at_utc TEXT NOT NULL DEFAULT '',     -- '' = never
    revoked_at_utc TEXT NOT NULL DEFAULT ''      -- '' = in force
) STRICT;
