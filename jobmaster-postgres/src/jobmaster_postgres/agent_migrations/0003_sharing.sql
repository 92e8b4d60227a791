-- serves: 2
-- How often unread messages were taken out of a bucket; NULL, as of code of before, says that its owner does not look at
-- it, so that nothing may be taken.
ALTER TABLE {prefix}bucket ADD COLUMN taken integer;
-- In which life of the server the bound was last written, and these lives: see the master's.
ALTER TABLE {prefix}bucket ADD COLUMN claimed_in uuid;
CREATE UNLOGGED TABLE {prefix}server_life (
  started_at timestamptz PRIMARY KEY,
  id uuid NOT NULL
);
-- How often its job had been handed over when it was pushed; NULL: pushed by code of before, which did not count.
ALTER TABLE {prefix}message ADD COLUMN placed integer;
