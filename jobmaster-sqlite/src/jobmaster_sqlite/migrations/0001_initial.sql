-- Moments are whole microseconds since 1970 UTC, UUIDs are text; the view {prefix}jobs shows both readably.
-- Codes of statuses, outcomes and priorities are those of jobmaster.states.

CREATE TABLE {prefix}migration (
  version INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  applied_at INTEGER NOT NULL
);

CREATE TABLE {prefix}cluster (
  id TEXT NOT NULL PRIMARY KEY,
  mode INTEGER NOT NULL,
  settings TEXT NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE {prefix}worker (
  id TEXT NOT NULL PRIMARY KEY,
  cluster_id TEXT NOT NULL,
  name TEXT NOT NULL,
  agent TEXT NOT NULL,
  lane TEXT NOT NULL,
  mode INTEGER NOT NULL,
  host TEXT NOT NULL,
  process_id TEXT NOT NULL,
  pid INTEGER NOT NULL,
  status INTEGER NOT NULL,
  version TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX {prefix}worker_by_cluster ON {prefix}worker (cluster_id, status);

-- claimed_*: how far the owner has read; both NULL: it may have every due job in hand;
-- claimed_ready_at = 0 without an id: it has read nothing yet.
CREATE TABLE {prefix}bucket (
  id TEXT NOT NULL PRIMARY KEY,
  cluster_id TEXT NOT NULL,
  agent TEXT NOT NULL,
  worker_id TEXT NOT NULL,
  lane TEXT NOT NULL,
  priority INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  status INTEGER NOT NULL,
  load INTEGER NOT NULL,
  claimed_ready_at INTEGER,
  claimed_job_id TEXT,
  lost_at INTEGER,
  created_at INTEGER NOT NULL,
  status_changed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX {prefix}bucket_by_cluster ON {prefix}bucket (cluster_id, status);
CREATE INDEX {prefix}bucket_by_worker ON {prefix}bucket (worker_id);

-- What was asked for: written once.
CREATE TABLE {prefix}job (
  id TEXT NOT NULL PRIMARY KEY,
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
  idempotency_key TEXT
);
CREATE UNIQUE INDEX {prefix}job_by_key ON {prefix}job (cluster_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL;

-- What waits or runs: one narrow row for each unfinished job, and nothing else.
CREATE TABLE {prefix}live (
  job_id TEXT NOT NULL PRIMARY KEY,
  cluster_id TEXT NOT NULL,
  bucket_id TEXT,
  status INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  suspect INTEGER NOT NULL,
  lane TEXT NOT NULL,
  priority INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  started_at INTEGER,
  parked TEXT
) WITHOUT ROWID;
CREATE INDEX {prefix}live_by_bucket ON {prefix}live (bucket_id, ready_at, job_id) WHERE bucket_id IS NOT NULL;
CREATE INDEX {prefix}live_held ON {prefix}live (cluster_id, lane, priority, ready_at, job_id)
  WHERE bucket_id IS NULL AND parked IS NULL;
CREATE INDEX {prefix}live_held_next ON {prefix}live (cluster_id, ready_at)
  WHERE bucket_id IS NULL AND parked IS NULL;
CREATE INDEX {prefix}live_parked ON {prefix}live (cluster_id, lane, priority) WHERE parked IS NOT NULL;
CREATE INDEX {prefix}live_cancelling ON {prefix}live (bucket_id) WHERE cancel_requested = 1;

-- What was run: only appended to. The attempt that ended a job has a final_status.
CREATE TABLE {prefix}attempt (
  job_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  cluster_id TEXT NOT NULL,
  outcome INTEGER NOT NULL,
  final_status INTEGER,
  started_at INTEGER,
  finished_at INTEGER NOT NULL,
  worker TEXT NOT NULL,
  host TEXT NOT NULL,
  bucket_id TEXT,
  error_type TEXT,
  error_message TEXT,
  error_traceback TEXT,
  PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
CREATE INDEX {prefix}attempt_final ON {prefix}attempt (cluster_id, final_status, finished_at)
  WHERE final_status IS NOT NULL;

CREATE TABLE {prefix}log (
  id INTEGER NOT NULL PRIMARY KEY,
  cluster_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  attempt INTEGER,
  at INTEGER NOT NULL,
  level TEXT NOT NULL,
  message TEXT NOT NULL,
  fields TEXT NOT NULL
);
CREATE INDEX {prefix}log_by_subject ON {prefix}log (cluster_id, subject, subject_id, at);

-- For people: every job with its status by name.
CREATE VIEW {prefix}jobs AS
SELECT
  j.id,
  j.cluster_id AS cluster,
  j.definition_id AS definition,
  j.lane,
  CASE j.priority WHEN 1 THEN 'very_low' WHEN 2 THEN 'low' WHEN 3 THEN 'medium' WHEN 4 THEN 'high' ELSE 'critical' END
    AS priority,
  CASE COALESCE(l.status, f.final_status)
    WHEN 1 THEN 'save_pending' WHEN 2 THEN 'held_on_master' WHEN 3 THEN 'assigned_to_bucket' WHEN 4 THEN 'queued'
    WHEN 5 THEN 'processing' WHEN 6 THEN 'succeeded' WHEN 7 THEN 'failed' WHEN 8 THEN 'cancelled' END AS status,
  strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1000000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', j.scheduled_at / 1000000.0, 'unixepoch') AS scheduled_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', l.ready_at / 1000000.0, 'unixepoch') AS ready_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', f.finished_at / 1000000.0, 'unixepoch') AS finished_at,
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
