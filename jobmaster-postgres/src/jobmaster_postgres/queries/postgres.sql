-- Batches take an array for each column: one statement, one plan, one round trip, however many rows.

-- name: migration_limit
SELECT set_config('statement_timeout', :milliseconds, true), set_config('lock_timeout', :milliseconds, true)

-- name: migration_lock
-- Held to the end of the transaction, so that it also works behind PgBouncer.
SELECT pg_advisory_xact_lock(hashtextextended(:lock, 7262463))

-- name: migration_table
-- Reads the catalog rather than ask to_regclass(), which may remember an answer from before the lock.
SELECT 1 FROM pg_catalog.pg_class WHERE relname = :table AND pg_catalog.pg_table_is_visible(oid)

-- name: news_send
-- Not worth a wait for the disk: whoever misses the news polls.
SELECT pg_notify(:channel, payload), set_config('synchronous_commit', 'off', true)
FROM unnest(:payloads::text[]) AS payload

-- name: jobs_insert
-- Job and live row in one statement. Rows that exist, or whose key does, are left alone; the number of rows
-- that come back tells whether there were any.
WITH new AS (
  SELECT * FROM unnest(
    :id::uuid[], :cluster_id::text[], :definition_id::text[], :lane::text[], :priority::bigint[],
    :scheduled_at::bigint[], :created_at::bigint[], :timeout_us::bigint[], :max_retries::bigint[],
    :data::text[], :metadata::text[], :idempotency_key::text[],
    :bucket_id::uuid[], :status::bigint[], :delay::bigint[]
  ) AS n (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata, idempotency_key, bucket_id, status, delay
  )
),
added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata, idempotency_key
  )
  SELECT id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata::json, idempotency_key
  FROM new
  ON CONFLICT DO NOTHING
  RETURNING id
)
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
SELECT n.id, n.cluster_id, n.bucket_id, n.status, {now} + n.delay, 1, 0, 0, 0, n.lane, n.priority, 0
FROM new n JOIN added a ON a.id = n.id

-- name: reports_finish
-- The end of many jobs in one statement. Deleting the live row is the gate; the attempts of those that pass
-- are appended by the same statement, so that there is never one without the other. IS NOT DISTINCT FROM
-- keeps the planner away from the index by bucket, which would have it walk through the whole bucket.
WITH said AS (
  SELECT * FROM unnest(
    :job_id::uuid[], :bucket_id::uuid[], :epoch::bigint[], :number::bigint[], :outcome::bigint[],
    :final_status::bigint[], :started_at::bigint[], :finished_at::bigint[], :worker::text[], :host::text[],
    :error_type::text[], :error_message::text[], :error_traceback::text[]
  ) AS s (
    job_id, bucket_id, epoch, number, outcome, final_status, started_at, finished_at, worker, host,
    error_type, error_message, error_traceback
  )
),
done AS (
  DELETE FROM {prefix}live l USING said s, {prefix}bucket b
  WHERE l.job_id = s.job_id AND l.bucket_id IS NOT DISTINCT FROM s.bucket_id AND l.attempt = s.number
    AND b.id = s.bucket_id AND b.epoch = s.epoch
  RETURNING l.cluster_id, s.*
)
INSERT INTO {prefix}attempt (
  job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id,
  error_type, error_message, error_traceback
)
SELECT job_id, number, cluster_id, outcome, final_status, started_at, COALESCE(finished_at, {now}), worker, host,
  bucket_id, error_type, error_message, error_traceback
FROM done
RETURNING job_id

-- name: attempt_add
INSERT INTO {prefix}attempt (
  job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id,
  error_type, error_message, error_traceback
)
SELECT * FROM unnest(
  :job_id::uuid[], :number::bigint[], :cluster_id::text[], :outcome::bigint[], :final_status::bigint[],
  :started_at::bigint[], :finished_at::bigint[], :worker::text[], :host::text[], :bucket_id::uuid[],
  :error_type::text[], :error_message::text[], :error_traceback::text[]
)

-- name: live_delete
DELETE FROM {prefix}live WHERE job_id = ANY(:job_id::uuid[])

-- name: live_requeue
UPDATE {prefix}live l
SET bucket_id = n.bucket_id, status = n.status, ready_at = {now} + n.delay, attempt = n.attempt,
    retries = n.retries, crashes = n.crashes, suspect = n.suspect, parked = n.parked, started_at = NULL
FROM unnest(
  :job_id::uuid[], :bucket_id::uuid[], :status::bigint[], :delay::bigint[], :attempt::bigint[],
  :retries::bigint[], :crashes::bigint[], :suspect::bigint[], :parked::text[]
) AS n (job_id, bucket_id, status, delay, attempt, retries, crashes, suspect, parked)
WHERE l.job_id = n.job_id

-- name: live_assign
UPDATE {prefix}live l
SET bucket_id = n.bucket_id, status = 3, parked = NULL, ready_at = GREATEST(l.ready_at, {now})
FROM unnest(:job_id::uuid[], :bucket_id::uuid[]) AS n (job_id, bucket_id)
WHERE l.job_id = n.job_id

-- name: live_mark
-- IS NOT DISTINCT FROM as in reports_finish.
UPDATE {prefix}live l SET status = n.status, started_at = n.started_at
FROM unnest(:job_id::uuid[], :bucket_id::uuid[], :attempt::bigint[], :status::bigint[], :started_at::bigint[])
  AS n (job_id, bucket_id, attempt, status, started_at)
WHERE l.job_id = n.job_id AND l.bucket_id IS NOT DISTINCT FROM n.bucket_id AND l.attempt = n.attempt
  AND l.status <= n.status

-- name: log_add
INSERT INTO {prefix}log (cluster_id, at, level, message, fields, subject, subject_id, attempt)
SELECT * FROM unnest(
  :cluster_id::text[], :at::bigint[], :level::text[], :message::text[], :fields::text[], :subject::text[],
  :subject_id::text[], :attempt::bigint[]
)
