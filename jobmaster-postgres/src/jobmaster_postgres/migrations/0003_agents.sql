-- Who takes part in a cluster besides its workers. Their heartbeats are those of the workers on them.
CREATE TABLE {prefix}agent (
  cluster_id text NOT NULL,
  name text NOT NULL,
  kind text NOT NULL,
  fingerprint text NOT NULL,
  registered_at bigint NOT NULL,
  PRIMARY KEY (cluster_id, name)
);

CREATE TABLE {prefix}host (
  cluster_id text NOT NULL,
  name text NOT NULL,
  info text NOT NULL,
  registered_at bigint NOT NULL,
  seen_at bigint NOT NULL,
  PRIMARY KEY (cluster_id, name)
);

-- Jobs that are marked as in a bucket on an agent, and whose messages may be missing there. One row for each bucket
-- that something is handed over to, and not one for each job: it is gone after the push, tens of milliseconds later.
CREATE TABLE {prefix}handover (
  id uuid NOT NULL PRIMARY KEY,
  cluster_id text NOT NULL,
  bucket_id uuid NOT NULL,
  carrier uuid NOT NULL,
  job_ids uuid[] NOT NULL,
  taken_at bigint NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX {prefix}handover_by_age ON {prefix}handover (cluster_id, taken_at);
