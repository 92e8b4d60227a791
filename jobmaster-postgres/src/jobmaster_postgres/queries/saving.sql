-- Reports that bring their jobs, which the master may not have: one write for each short job that came by an agent.

-- name: report_save
-- A lone job, stored and ended. See reports_save_alike.
WITH owned AS (
  SELECT 1 FROM {prefix}bucket b WHERE b.id = :bucket_id AND b.epoch = :epoch
),
fresh AS (
  SELECT 1 FROM owned WHERE NOT EXISTS (SELECT 1 FROM {prefix}job j WHERE j.id = :job_id)
),
added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata
  )
  SELECT :job_id, :cluster_id, :definition_id, :lane, :priority, :scheduled_at, :created_at, :timeout_us,
    :max_retries, :data, :metadata::json
  FROM fresh
),
done AS (
  DELETE FROM {prefix}live l
  WHERE l.job_id = :job_id AND l.bucket_id IS NOT DISTINCT FROM :bucket_id AND l.attempt = :number
    AND EXISTS (SELECT 1 FROM owned)
  RETURNING 1
),
written AS (
  INSERT INTO {prefix}attempt (
    job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id,
    error_type, error_message, error_traceback
  )
  SELECT :job_id, :number, :cluster_id, :outcome, :final_status, :started_at, COALESCE(:finished_at, {now}),
    :worker, :host, :bucket_id, :error_type, :error_message, :error_traceback
  FROM (SELECT 1 FROM fresh UNION ALL SELECT 1 FROM done) AS e
  RETURNING 1
)
SELECT NULL::uuid[], COUNT(*), :cluster_id FROM written

-- name: reports_save_alike
-- Jobs of one bucket that succeeded, alike but for what is an array here: each is stored with its only attempt, and
-- never has a live row. Those that the master has already end as any others do. To look for them costs less than to be
-- ready for a conflict with each row; one that somebody else stores at the same time makes the statement fail, and the
-- caller looks closer. The job's id is the gate between a former owner and a new one.
-- OFFSET 0, ANY and OR leave a planner no choice but to look up each id by itself: one that guesses from yesterday's
-- statistics how many jobs there are might go through all of them.
WITH said AS (
  SELECT s.*, NOT EXISTS (SELECT 1 FROM {prefix}job j WHERE j.id = s.job_id OFFSET 0) AS is_new
  FROM unnest(
    :job_id::uuid[], :scheduled_at::bigint[], :created_at::bigint[], :data::text[],
    :started_at::bigint[], :finished_at::bigint[]
  ) AS s (job_id, scheduled_at, created_at, data, started_at, finished_at)
  WHERE EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = :bucket_id AND b.epoch = :epoch)
),
added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata
  )
  SELECT job_id, :cluster_id, :definition_id, :lane, :priority, scheduled_at, created_at, :timeout_us, :max_retries,
    data, :metadata::json
  FROM said WHERE is_new
),
done AS (
  DELETE FROM {prefix}live l
  WHERE l.job_id = ANY(:job_id::uuid[]) AND l.bucket_id IS NOT DISTINCT FROM :bucket_id AND l.attempt = :number
    AND EXISTS (SELECT 1 FROM said)
  RETURNING l.job_id
),
written AS (
  INSERT INTO {prefix}attempt (
    job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id
  )
  SELECT job_id, :number, :cluster_id, 1, 6, started_at, finished_at, :worker, :host, :bucket_id
  FROM said WHERE is_new OR job_id IN (SELECT job_id FROM done)
  RETURNING job_id
)
SELECT CASE WHEN COUNT(*) < cardinality(:job_id::uuid[]) THEN array_agg(job_id) END, COUNT(*), :cluster_id
FROM written

-- name: reports_save
-- As reports_save_alike, for jobs of all sorts and any end.
WITH said AS (
  SELECT s.*, NOT EXISTS (SELECT 1 FROM {prefix}job j WHERE j.id = s.job_id OFFSET 0) AS is_new
  FROM unnest(
    :job_id::uuid[], :definition_id::text[], :lane::text[], :priority::bigint[], :scheduled_at::bigint[],
    :created_at::bigint[], :timeout_us::bigint[], :max_retries::bigint[], :data::text[], :metadata::text[],
    :outcome::bigint[], :final_status::bigint[], :started_at::bigint[], :finished_at::bigint[],
    :error_type::text[], :error_message::text[], :error_traceback::text[]
  ) AS s (
    job_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries, data, metadata,
    outcome, final_status, started_at, finished_at, error_type, error_message, error_traceback
  )
  WHERE EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = :bucket_id AND b.epoch = :epoch)
),
added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata
  )
  SELECT job_id, :cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata::json
  FROM said WHERE is_new
),
done AS (
  DELETE FROM {prefix}live l
  WHERE l.job_id = ANY(:job_id::uuid[]) AND l.bucket_id IS NOT DISTINCT FROM :bucket_id AND l.attempt = :number
    AND EXISTS (SELECT 1 FROM said)
  RETURNING l.job_id
),
written AS (
  INSERT INTO {prefix}attempt (
    job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id,
    error_type, error_message, error_traceback
  )
  SELECT job_id, :number, :cluster_id, outcome, final_status, started_at, COALESCE(finished_at, {now}), :worker, :host,
    :bucket_id, error_type, error_message, error_traceback
  FROM said WHERE is_new OR job_id IN (SELECT job_id FROM done)
  RETURNING job_id
)
SELECT CASE WHEN COUNT(*) < cardinality(:job_id::uuid[]) THEN array_agg(job_id) END, COUNT(*), :cluster_id
FROM written
