-- serves: 8
-- What owners say of their buckets, for work to go to whoever is free. `taken` counts how often unread jobs were taken out of
-- a bucket; NULL, as of code of before, says that its owner does not look at it, so that nothing may be taken.
ALTER TABLE {prefix}bucket ADD COLUMN running integer NOT NULL DEFAULT 0;
ALTER TABLE {prefix}bucket ADD COLUMN free integer NOT NULL DEFAULT 0;
ALTER TABLE {prefix}bucket ADD COLUMN offered integer;
ALTER TABLE {prefix}bucket ADD COLUMN taken integer;
-- In which life of the server the bound was last written. That waits for no disk: after a crash it may be an older one.
ALTER TABLE {prefix}bucket ADD COLUMN claimed_in uuid;
-- The lives of the server. A crash empties a table that is not logged, so that what is found here has seen none.
CREATE UNLOGGED TABLE {prefix}server_life (
  started_at timestamptz PRIMARY KEY,
  id uuid NOT NULL
);
-- Since when a job is due that was held when it came into a bucket; NULL: since it was ready. It gets its place in the order
-- back when it is held again.
ALTER TABLE {prefix}live ADD COLUMN due_at bigint;
-- How often a job was handed over to an agent, by which its present message there is told from one of before.
ALTER TABLE {prefix}live ADD COLUMN placed integer;
-- When it was found that the owner of a bucket leaves due jobs unread; over with its next heartbeat, or load.
ALTER TABLE {prefix}bucket ADD COLUMN silent_at bigint;
