-- Who takes part in a cluster besides its workers. Their heartbeats are those of the workers on them.
CREATE TABLE {prefix}agent (
  cluster_id TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  registered_at INTEGER NOT NULL,
  PRIMARY KEY (cluster_id, name)
) WITHOUT ROWID;

CREATE TABLE {prefix}host (
  cluster_id TEXT NOT NULL,
  name TEXT NOT NULL,
  info TEXT NOT NULL,
  registered_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (cluster_id, name)
) WITHOUT ROWID;

-- Jobs that are marked as in a bucket on an agent, and whose messages may be missing there. One row for each bucket
-- that something is handed over to, and not one for each job: it is gone after the push, tens of milliseconds later.
-- job_ids is a JSON array; with long rows, a table with a rowid is the quicker kind.
CREATE TABLE {prefix}handover (
  id TEXT NOT NULL PRIMARY KEY,
  cluster_id TEXT NOT NULL,
  bucket_id TEXT NOT NULL,
  carrier TEXT NOT NULL,
  job_ids TEXT NOT NULL,
  taken_at INTEGER NOT NULL
);
CREATE INDEX {prefix}handover_by_age ON {prefix}handover (cluster_id, taken_at);
