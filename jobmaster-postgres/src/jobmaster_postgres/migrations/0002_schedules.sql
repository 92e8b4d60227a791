-- Recurring schedules: what their jobs are like, when they are due, and how far that is planned. The planner moves a
-- row once for each job, so there is room for new versions beside the old one.
CREATE TABLE {prefix}schedule (
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
  idempotency_key text,
  kind text NOT NULL,
  expression text NOT NULL,
  time_zone text NOT NULL,
  name text,
  ends_before bigint,
  overlap smallint NOT NULL,
  misfire text NOT NULL,
  status smallint NOT NULL,
  planned_to bigint NOT NULL,
  look_at bigint,
  next_at bigint,
  waiting text NOT NULL,
  newest_job_id uuid,
  version bigint NOT NULL,
  alive_until bigint,
  changed_at bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX {prefix}schedule_by_look ON {prefix}schedule (cluster_id, look_at) WHERE status = 1;
CREATE INDEX {prefix}schedule_over ON {prefix}schedule (cluster_id, changed_at) WHERE status >= 4;
CREATE UNIQUE INDEX {prefix}schedule_by_key ON {prefix}schedule (cluster_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL AND status < 4;

-- Which job was made for which nominal time of which schedule (without one: out of turn). A table of its own, so that
-- the jobs of no schedule are as narrow, and as quickly stored, as ever.
CREATE TABLE {prefix}firing (
  job_id uuid NOT NULL PRIMARY KEY,
  schedule_id uuid NOT NULL,
  nominal_at bigint
);
CREATE UNIQUE INDEX {prefix}firing_by_schedule ON {prefix}firing (schedule_id, nominal_at);
