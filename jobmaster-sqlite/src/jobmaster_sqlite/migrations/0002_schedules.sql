-- Recurring schedules: what their jobs are like, when they are due, and how far that is planned.
CREATE TABLE {prefix}schedule (
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
  idempotency_key TEXT,
  kind TEXT NOT NULL,
  expression TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  name TEXT,
  ends_before INTEGER,
  overlap INTEGER NOT NULL,
  misfire TEXT NOT NULL,
  status INTEGER NOT NULL,
  planned_to INTEGER NOT NULL,
  look_at INTEGER,
  next_at INTEGER,
  waiting TEXT NOT NULL,
  newest_job_id TEXT,
  version INTEGER NOT NULL,
  alive_until INTEGER,
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX {prefix}schedule_by_look ON {prefix}schedule (cluster_id, look_at) WHERE status = 1;
CREATE INDEX {prefix}schedule_over ON {prefix}schedule (cluster_id, changed_at) WHERE status >= 4;
CREATE UNIQUE INDEX {prefix}schedule_by_key ON {prefix}schedule (cluster_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL AND status < 4;

-- Which job was made for which nominal time of which schedule (without one: out of turn). A table of its own, so that
-- the jobs of no schedule are as narrow, and as quickly stored, as ever.
CREATE TABLE {prefix}firing (
  job_id TEXT NOT NULL PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  nominal_at INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX {prefix}firing_by_schedule ON {prefix}firing (schedule_id, nominal_at);
