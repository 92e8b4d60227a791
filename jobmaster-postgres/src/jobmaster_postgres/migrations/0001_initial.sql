-- Moments are whole microseconds since 1970 UTC; the view {prefix}jobs shows them readably.
-- Codes of statuses, outcomes and priorities are those of jobmaster.states.

CREATE TABLE {prefix}migration (
  version integer NOT NULL PRIMARY KEY,
  name text NOT NULL,
  applied_at bigint NOT NULL
);

CREATE TABLE {prefix}cluster (
  id text NOT NULL PRIMARY KEY,
  mode smallint NOT NULL,
  settings text NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE {prefix}worker (
  id uuid NOT NULL PRIMARY KEY,
  cluster_id text NOT NULL,
  name text NOT NULL,
  agent text NOT NULL,
  lane text NOT NULL,
  mode smallint NOT NULL,
  host text NOT NULL,
  process_id uuid NOT NULL,
  pid bigint NOT NULL,
  status smallint NOT NULL,
  version text NOT NULL,
  started_at bigint NOT NULL,
  heartbeat_at bigint NOT NULL,
  lease_until bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX {prefix}worker_by_cluster ON {prefix}worker (cluster_id, status);

-- claimed_*: how far the owner has read; both NULL: it may have every due job in hand;
-- claimed_ready_at = 0 without an id: it has read nothing yet. A backlog updates it page by page, so there is
-- room for new versions of a row beside the old one.
CREATE TABLE {prefix}bucket (
  id uuid NOT NULL PRIMARY KEY,
  cluster_id text NOT NULL,
  agent text NOT NULL,
  worker_id uuid NOT NULL,
  lane text NOT NULL,
  priority smallint NOT NULL,
  epoch integer NOT NULL,
  status smallint NOT NULL,
  load integer NOT NULL,
  claimed_ready_at bigint,
  claimed_job_id uuid,
  lost_at bigint,
  created_at bigint NOT NULL,
  status_changed_at bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX {prefix}bucket_by_cluster ON {prefix}bucket (cluster_id, status);
CREATE INDEX {prefix}bucket_by_worker ON {prefix}bucket (worker_id);

-- What was asked for: written once. Metadata is json and not jsonb, which would turn 1e16 into an integer.
CREATE TABLE {prefix}job (
  id uuid NOT NULL PRIMARY KEY,
  cluster_id text NOT NULL,
  definition_id text NOT NULL,
  lane text NOT NULL,
  priority smallint NOT NULL,
  scheduled_at bigint NOT NULL,
  created_at bigint NOT NULL,
  timeout_us bigint,
  max_retries integer NOT NULL,
  data text NOT NULL,
  metadata json NOT NULL,
  idempotency_key text
);
CREATE UNIQUE INDEX {prefix}job_by_key ON {prefix}job (cluster_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL;

-- What waits or runs: one narrow row for each unfinished job, and nothing else. Every row is deleted within
-- its life, so the dead ones are cleared away early, at full speed.
CREATE TABLE {prefix}live (
  job_id uuid NOT NULL PRIMARY KEY,
  cluster_id text NOT NULL,
  bucket_id uuid,
  status smallint NOT NULL,
  ready_at bigint NOT NULL,
  attempt integer NOT NULL,
  retries integer NOT NULL,
  crashes integer NOT NULL,
  suspect smallint NOT NULL,
  lane text NOT NULL,
  priority smallint NOT NULL,
  cancel_requested smallint NOT NULL,
  started_at bigint,
  parked text
) WITH (
  fillfactor = 90,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.1,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX {prefix}live_by_bucket ON {prefix}live (bucket_id, ready_at, job_id) WHERE bucket_id IS NOT NULL;
CREATE INDEX {prefix}live_held ON {prefix}live (cluster_id, lane, priority, ready_at, job_id)
  WHERE bucket_id IS NULL AND parked IS NULL;
CREATE INDEX {prefix}live_held_next ON {prefix}live (cluster_id, ready_at)
  WHERE bucket_id IS NULL AND parked IS NULL;
CREATE INDEX {prefix}live_parked ON {prefix}live (cluster_id, lane, priority) WHERE parked IS NOT NULL;
CREATE INDEX {prefix}live_cancelling ON {prefix}live (bucket_id) WHERE cancel_requested = 1;

-- What was run: only appended to. The attempt that ended a job has a final_status.
CREATE TABLE {prefix}attempt (
  job_id uuid NOT NULL,
  number integer NOT NULL,
  cluster_id text NOT NULL,
  outcome smallint NOT NULL,
  final_status smallint,
  started_at bigint,
  finished_at bigint NOT NULL,
  worker text NOT NULL,
  host text NOT NULL,
  bucket_id uuid,
  error_type text,
  error_message text,
  error_traceback text,
  PRIMARY KEY (job_id, number)
);
CREATE INDEX {prefix}attempt_final ON {prefix}attempt (cluster_id, final_status, finished_at)
  WHERE final_status IS NOT NULL;

CREATE TABLE {prefix}log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cluster_id text NOT NULL,
  subject text NOT NULL,
  subject_id text NOT NULL,
  attempt integer,
  at bigint NOT NULL,
  level text NOT NULL,
  message text NOT NULL,
  fields text NOT NULL
);
CREATE INDEX {prefix}log_by_subject ON {prefix}log (cluster_id, subject, subject_id, at);

-- For people: every job with its status by name.
CREATE VIEW {prefix}jobs AS
SELECT
  j.id,
  j.cluster_id AS cluster,
  j.definition_id AS definition,
  j.lane,
  (ARRAY['very_low', 'low', 'medium', 'high', 'critical'])[j.priority] AS priority,
  (ARRAY['save_pending', 'held_on_master', 'assigned_to_bucket', 'queued', 'processing',
         'succeeded', 'failed', 'cancelled'])[COALESCE(l.status, f.final_status)] AS status,
  timestamptz 'epoch' + (j.created_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS created_at,
  timestamptz 'epoch' + (j.scheduled_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS scheduled_at,
  timestamptz 'epoch' + (l.ready_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS ready_at,
  timestamptz 'epoch' + (f.finished_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS finished_at,
  (SELECT COUNT(*) FROM {prefix}attempt a
   WHERE a.job_id = j.id AND (a.outcome <> 4 OR a.started_at IS NOT NULL)) AS attempts,
  (SELECT a.error_type || ': ' || a.error_message FROM {prefix}attempt a
   WHERE a.job_id = j.id AND a.error_type IS NOT NULL ORDER BY a.number DESC LIMIT 1) AS last_error,
  l.parked AS reason,
  j.data,
  j.metadata
FROM {prefix}job j
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL;
