-- An agent's tables. Moments are whole microseconds since 1970 UTC, UUIDs are text; codes of priorities are those of
-- jobmaster.states.

CREATE TABLE {prefix}migration (
  version INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  applied_at INTEGER NOT NULL
);

-- What tells this agent from every other, for as long as its tables live.
CREATE TABLE {prefix}identity (
  fingerprint TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;
INSERT INTO {prefix}identity (fingerprint) VALUES (lower(hex(randomblob(16))));

-- claimed_*: how far the owner has read; both NULL: it may have every due message in hand;
-- claimed_ready_at = 0 without an id: it has read nothing yet.
CREATE TABLE {prefix}bucket (
  id TEXT NOT NULL PRIMARY KEY,
  epoch INTEGER NOT NULL,
  claimed_ready_at INTEGER,
  claimed_job_id TEXT,
  lost_at INTEGER,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Jobs in flight: one row for each, written once and deleted within seconds. saved = 0: the master may not know the
-- job yet. The primary key leads with the job, which is new: both indexes grow at their ends.
CREATE TABLE {prefix}message (
  job_id TEXT NOT NULL,
  bucket_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  pushed_at INTEGER NOT NULL,
  saved INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  suspect INTEGER NOT NULL,
  cluster_id TEXT NOT NULL,
  definition_id TEXT NOT NULL,
  lane TEXT NOT NULL,
  priority INTEGER NOT NULL,
  scheduled_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  timeout_us INTEGER,
  max_retries INTEGER NOT NULL,
  data TEXT NOT NULL,
  metadata TEXT NOT NULL,
  idempotency_key TEXT,
  PRIMARY KEY (job_id, bucket_id, attempt)
);
CREATE INDEX {prefix}message_by_bucket ON {prefix}message (bucket_id, ready_at, job_id);
CREATE INDEX {prefix}message_delayed ON {prefix}message (bucket_id, pushed_at, job_id)
  WHERE saved = 0 AND ready_at > pushed_at;
