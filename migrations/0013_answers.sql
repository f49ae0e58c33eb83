-- A repeated batch is answered as it was the first time, whatever the catalog holds by then: of the
-- answer, the ids that physics ruled out were missing.

ALTER TABLE receipts ADD COLUMN implausible_ids_lines TEXT NOT NULL DEFAULT ''; -- one id a line
