-- name: by_metadata
-- Asks the reference implementation in Python: exact for every type, and fast enough for one file.
jobmaster_matches(j.metadata, :name{i}, :operator{i}, :values{i})

-- name: live_add_due
-- As live_add, with the clock asked by the unit that runs this, once for all rows: when the write lock is held already.
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
VALUES (:job_id, :cluster_id, :bucket_id, :status, :ready_at, 1, 0, 0, 0, :lane, :priority, 0)

-- name: live_delete
DELETE FROM {prefix}live WHERE job_id IN (SELECT value FROM json_each(:job_id))

-- name: held_assign
-- The due jobs of one lane and priority, all to one bucket.
UPDATE {prefix}live
SET bucket_id = :bucket_id, status = {job_assigned_to_bucket}, due_at = COALESCE(due_at, ready_at), ready_at = MAX(ready_at, {now})
WHERE job_id IN (
  SELECT l.job_id FROM {prefix}live l
  WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL
    AND l.lane = :lane AND l.priority = :priority AND l.ready_at <= {now} + :ahead
  ORDER BY l.ready_at, l.job_id
  LIMIT :limit
)

-- name: live_finish
-- The live rows of reports that end their jobs. An array of ids alone: taking them out of arrays of more costs half as
-- much as deleting the rows. The plus keeps the planner away from the index by bucket.
DELETE FROM {prefix}live
WHERE job_id IN (SELECT value FROM json_each(:ids))
  AND +bucket_id = :bucket_id AND attempt = :attempt
  AND EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = :bucket_id AND b.epoch = :epoch)

-- name: attempts_succeed
INSERT INTO {prefix}attempt (
  job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id
)
SELECT json_extract(value, '$[0]'), :attempt, b.cluster_id, 1, 6, json_extract(value, '$[1]'),
  json_extract(value, '$[2]'), :worker, :host, b.id
FROM {prefix}bucket b, json_each(:rows)
WHERE b.id = :bucket_id

-- name: held_next
-- Steps from one lane and priority to the next in the index that assigns held jobs, and looks at the first entry of
-- each: within a lane first, since a search for what comes after both walks through the whole lane. An index by due time alone would answer at once, and would be one more page in the commit of each new job.
WITH RECURSIVE first(lane, priority, ready_at) AS (
  SELECT * FROM (
    SELECT lane, priority, ready_at FROM {prefix}live
    WHERE cluster_id = :cluster_id AND bucket_id IS NULL AND parked IS NULL
    ORDER BY lane, priority, ready_at
    LIMIT 1
  )
  UNION ALL
  SELECT n.lane, n.priority, n.ready_at
  FROM first JOIN {prefix}live n ON n.job_id = COALESCE(
    (
      SELECT l.job_id FROM {prefix}live l
      WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL
        AND l.lane = first.lane AND l.priority > first.priority
      ORDER BY l.priority, l.ready_at
      LIMIT 1
    ),
    (
      SELECT l.job_id FROM {prefix}live l
      WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL AND l.lane > first.lane
      ORDER BY l.lane, l.priority, l.ready_at
      LIMIT 1
    )
  )
)
SELECT lane, priority, ready_at - {now} FROM first

-- name: bucket_holdings
-- Steps from one bucket id to the next, and counts in the index alone: whose a bucket is, its first row tells for all.
WITH RECURSIVE held(bucket_id) AS (
  SELECT (SELECT bucket_id FROM {prefix}live WHERE bucket_id IS NOT NULL ORDER BY bucket_id LIMIT 1)
  UNION ALL
  SELECT (SELECT l.bucket_id FROM {prefix}live l WHERE l.bucket_id > held.bucket_id ORDER BY l.bucket_id LIMIT 1)
  FROM held WHERE held.bucket_id IS NOT NULL
)
SELECT bucket_id, (SELECT COUNT(*) FROM {prefix}live l WHERE l.bucket_id = held.bucket_id)
FROM held
WHERE (SELECT l.cluster_id FROM {prefix}live l WHERE l.bucket_id = held.bucket_id LIMIT 1) = :cluster_id

-- name: live_ahead
-- See jobmaster_sqlite.ahead. First attempts of jobs that were due at once, with ids of the future.
UPDATE {prefix}live SET ready_at = {now}
WHERE job_id > :floor AND ready_at > {now} + :slack AND attempt = 1
  AND EXISTS (SELECT 1 FROM {prefix}job j WHERE j.id = {prefix}live.job_id AND j.scheduled_at <= j.created_at)

-- name: live_ahead_again
-- See jobmaster_sqlite.ahead. Attempts that follow one which ended in the future: their delay counts from now.
UPDATE {prefix}live SET ready_at = {now} + MAX(0, ready_at - (
  SELECT a.finished_at FROM {prefix}attempt a
  WHERE a.job_id = {prefix}live.job_id AND a.number = {prefix}live.attempt - 1
))
WHERE attempt > 1 AND ready_at > {now} + :slack
  AND EXISTS (
    SELECT 1 FROM {prefix}attempt a
    WHERE a.job_id = {prefix}live.job_id AND a.number = {prefix}live.attempt - 1 AND a.finished_at > {now} + :slack
  )
