-- name: job_add
-- A row that exists (or whose key does) is left alone; the count tells, and the caller then looks closer.
INSERT INTO {prefix}job (
  id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
  data, metadata, idempotency_key
)
VALUES (
  :id, :cluster_id, :definition_id, :lane, :priority, :scheduled_at, :created_at, :timeout_us, :max_retries,
  :data, :metadata, :idempotency_key
)
ON CONFLICT DO NOTHING

-- name: live_add
-- The store's clock plus a delay: never in the past, so that no owner has read beyond it for good.
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
VALUES (:job_id, :cluster_id, :bucket_id, :status, {now} + :delay, 1, 0, 0, 0, :lane, :priority, 0)

-- name: job_known
SELECT id FROM {prefix}job WHERE {among:id:ids:uuid}

-- name: job_known_keys
SELECT cluster_id, idempotency_key, id, definition_id FROM {prefix}job
WHERE {among:cluster_id:clusters:text} AND {among:idempotency_key:keys:text}

-- name: held_due
-- Callers take different rows: what another one has locked is passed over.
SELECT l.job_id FROM {prefix}live l
WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL
  AND l.lane = :lane AND l.priority = :priority AND l.ready_at <= {now} + :ahead
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{lock_free:l}

-- name: held_next
-- For each lane and priority, in how many microseconds its first held job is due. A dialect that can should step from
-- one to the next in the index: this reads all held jobs.
SELECT lane, priority, {greatest}(MIN(ready_at), 0) - {now} FROM {prefix}live
WHERE cluster_id = :cluster_id AND bucket_id IS NULL AND parked IS NULL
GROUP BY lane, priority

-- name: live_assign
-- Never due in the past: the bucket's owner may have read on from there. Since when it is really due is kept, so that it
-- has its place in the order again if it comes back.
UPDATE {prefix}live
SET bucket_id = :bucket_id, status = {job_assigned_to_bucket}, parked = NULL, due_at = COALESCE(due_at, ready_at),
    ready_at = {greatest}(ready_at, {now})
WHERE job_id = :job_id

-- name: live_mark
-- Never back: of two marks on their way at once, the one that a job is only queued may come second.
UPDATE {prefix}live SET status = :status, started_at = :started_at
WHERE job_id = :job_id AND bucket_id = :bucket_id AND attempt = :attempt AND status <= :status

-- name: live_reported
-- The rows that reports are about, with what makes a report hold: bucket, epoch and attempt. The bucket is
-- looked up row by row, so that no planner begins with it and walks through all its jobs. In the order of
-- ids, so that two callers lock in the same order.
SELECT l.job_id, l.bucket_id, (SELECT b.epoch FROM {prefix}bucket b WHERE b.id = l.bucket_id),
  l.attempt, l.cluster_id, l.cancel_requested, {now}
FROM {prefix}live l
WHERE {among:l.job_id:ids:uuid}
ORDER BY l.job_id
{lock:l}

-- name: attempt_add
INSERT INTO {prefix}attempt (
  job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id,
  error_type, error_message, error_traceback
)
VALUES (
  :job_id, :number, :cluster_id, :outcome, :final_status, :started_at, :finished_at, :worker, :host, :bucket_id,
  :error_type, :error_message, :error_traceback
)

-- name: live_put
-- The live row of a job that was stored by the report which says how it goes on.
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, parked, lane, priority,
  cancel_requested
)
VALUES (
  :job_id, :cluster_id, :bucket_id, :status, {now} + :delay, :attempt, :retries, :crashes, :suspect, :parked,
  :lane, :priority, 0
)

-- name: live_delete
DELETE FROM {prefix}live WHERE job_id = :job_id

-- name: live_requeue
-- A job that did not run goes on with the same attempt, and is due as it was.
UPDATE {prefix}live
SET ready_at = CASE WHEN attempt = :attempt THEN COALESCE(due_at, ready_at) ELSE {now} + :delay END, due_at = NULL,
    bucket_id = :bucket_id, status = :status, attempt = :attempt, retries = :retries,
    crashes = :crashes, suspect = :suspect, parked = :parked, started_at = NULL
WHERE job_id = :job_id

-- name: live_for_cancel
-- With what tells whether an owner may have it in hand: when it is due, and whether its message lies on an agent, out
-- of reach.
SELECT l.job_id, l.bucket_id, l.attempt, l.ready_at, CASE WHEN {on_an_agent:l} THEN 1 ELSE 0 END, {now}
FROM {prefix}live l
WHERE l.cluster_id = :cluster_id AND {among:l.job_id:ids:uuid}
ORDER BY l.job_id
{lock:l}

-- name: job_in_cluster
SELECT id FROM {prefix}job WHERE cluster_id = :cluster_id AND {among:id:ids:uuid}

-- name: live_request_cancel
UPDATE {prefix}live SET cancel_requested = 1 WHERE {among:job_id:ids:uuid}

-- name: cancel_requests
SELECT bucket_id, job_id, attempt FROM {prefix}live
WHERE cancel_requested = 1 AND {among:bucket_id:ids:uuid}

-- name: live_marked
-- What is to be cancelled in some buckets, to be ended. To be asked after the statement that holds the rest again:
-- that one has waited for all who were about to mark a job, and whoever comes later finds the job held.
SELECT l.job_id, l.cluster_id, l.bucket_id, l.attempt, {now} FROM {prefix}live l
WHERE l.cancel_requested = 1 AND {among:l.bucket_id:ids:uuid}
ORDER BY l.job_id
{lock:l}

-- name: job_final
-- The attempt that ended the job, if one did.
SELECT f.number, f.final_status FROM {prefix}job j
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL
WHERE j.id = :job_id AND j.cluster_id = :cluster_id

-- name: live_one
SELECT l.status, l.bucket_id, l.ready_at, {now}, CASE WHEN {on_an_agent:l} THEN 1 ELSE 0 END, l.cancel_requested
FROM {prefix}live l WHERE l.job_id = :job_id {lock:l}

-- name: live_reschedule
UPDATE {prefix}live SET bucket_id = NULL, status = {job_held_on_master}, started_at = NULL, ready_at = {now} + :delay, due_at = NULL
WHERE job_id = :job_id

-- name: job_reschedule
UPDATE {prefix}job SET scheduled_at = (SELECT ready_at FROM {prefix}live WHERE job_id = :job_id) WHERE id = :job_id

-- name: attempt_reopen
-- Of several callers that retry a job one finds the final attempt still final.
UPDATE {prefix}attempt SET final_status = NULL
WHERE job_id = :job_id AND number = :number AND final_status IS NOT NULL

-- name: live_retry
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
SELECT id, cluster_id, NULL, {job_held_on_master}, {now}, :attempt, 0, 0, 0, lane, priority, 0 FROM {prefix}job WHERE id = :job_id

-- name: parked_places
SELECT DISTINCT l.cluster_id, l.lane, l.priority FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE {among:l.cluster_id:clusters:text} AND l.parked IS NOT NULL AND {among:j.definition_id:definitions:text}

-- name: parked_known
SELECT l.job_id FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE l.cluster_id = :cluster_id AND l.parked IS NOT NULL AND l.lane = :lane AND l.priority = :priority
  AND {among:j.definition_id:definitions:text}
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{lock_free:l}
