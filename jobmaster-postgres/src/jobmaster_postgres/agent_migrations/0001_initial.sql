-- An agent's tables. Moments are whole microseconds since 1970 UTC; codes of priorities are those of jobmaster.states.

CREATE TABLE {prefix}migration (
  version integer NOT NULL PRIMARY KEY,
  name text NOT NULL,
  applied_at bigint NOT NULL
);

-- What tells this agent from every other, for as long as its tables live.
CREATE TABLE {prefix}identity (
  fingerprint text NOT NULL PRIMARY KEY
);
INSERT INTO {prefix}identity (fingerprint) VALUES (gen_random_uuid()::text);

-- claimed_*: how far the owner has read; both NULL: it may have every due message in hand;
-- claimed_ready_at = 0 without an id: it has read nothing yet. A backlog updates it page by page, so there is
-- room for new versions of a row beside the old one.
CREATE TABLE {prefix}bucket (
  id uuid NOT NULL PRIMARY KEY,
  epoch integer NOT NULL,
  claimed_ready_at bigint,
  claimed_job_id uuid,
  lost_at bigint,
  created_at bigint NOT NULL
) WITH (fillfactor = 50);

-- Jobs in flight: one row for each, written once and deleted within seconds, so that the dead ones are cleared away
-- early, at full speed. saved = 0: the master may not know the job yet. The primary key leads with the job, which is
-- new: both indexes grow at their ends. The index by bucket is for statements that say something of ready_at: whoever
-- looks up jobs does not, and so no planner, whatever it believes of the table's size, walks through a bucket to find
-- them. That takes a column which is not known to be NOT NULL.
CREATE TABLE {prefix}message (
  ready_at bigint CHECK (ready_at IS NOT NULL),
  pushed_at bigint NOT NULL,
  scheduled_at bigint NOT NULL,
  created_at bigint NOT NULL,
  timeout_us bigint,
  job_id uuid NOT NULL,
  bucket_id uuid NOT NULL,
  attempt integer NOT NULL,
  retries integer NOT NULL,
  crashes integer NOT NULL,
  max_retries integer NOT NULL,
  saved smallint NOT NULL,
  suspect smallint NOT NULL,
  priority smallint NOT NULL,
  cluster_id text NOT NULL,
  definition_id text NOT NULL,
  lane text NOT NULL,
  data text NOT NULL,
  metadata text NOT NULL,
  idempotency_key text,
  PRIMARY KEY (job_id, bucket_id, attempt)
) WITH (
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.1,
  autovacuum_vacuum_cost_delay = 0,
  toast.autovacuum_vacuum_threshold = 1000,
  toast.autovacuum_vacuum_scale_factor = 0.02,
  toast.autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX {prefix}message_by_bucket ON {prefix}message (bucket_id, ready_at, job_id)
  WHERE ready_at IS NOT NULL;
CREATE INDEX {prefix}message_delayed ON {prefix}message (bucket_id, pushed_at, job_id)
  WHERE saved = 0 AND ready_at > pushed_at;
