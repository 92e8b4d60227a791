-- Batches take an array for each column: one statement, one plan, one round trip, however many rows.

-- name: worker_renew
-- Renewal and looks in one statement: this is what an idle worker asks most often. The looks see what was before it, so
-- that a lease renewed too late still seems to have run out: whoever comes to the rescue finds nothing.
UPDATE {prefix}worker SET heartbeat_at = {now}, lease_until = {now} + :lease
WHERE {among:id:ids:uuid} AND status IN ({workers_running})
RETURNING id, {is_cancelling}, :rescuing::text IS NOT NULL AND {needs_rescue:rescuing}

-- name: job_insert
-- One job without a key, as the one caller who awaits each call sends them: half the server's time of an array for each
-- column. Its id is new, unless the statement is sent a second time; then it fails, and the caller looks closer. To be
-- ready for that writes a seventh more to the log.
WITH added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries, data, metadata
  )
  VALUES (
    :id, :cluster_id, :definition_id, :lane, :priority, :scheduled_at, :created_at, :timeout_us, :max_retries,
    :data, :metadata
  )
)
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
VALUES (
  :id, :cluster_id, :bucket_id::uuid, :status, {now} + :delay::bigint, 1, 0, 0, 0, :lane, :priority, 0
)

-- name: job_insert_keyed
-- One job with a key, which another one may have.
WITH added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata, idempotency_key
  )
  VALUES (
    :id, :cluster_id, :definition_id, :lane, :priority, :scheduled_at, :created_at, :timeout_us, :max_retries,
    :data, :metadata, :idempotency_key
  )
  ON CONFLICT DO NOTHING
  RETURNING id, cluster_id, lane, priority
)
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
SELECT id, cluster_id, :bucket_id::uuid, :status::bigint, {now} + :delay::bigint, 1, 0, 0, 0, lane, priority, 0
FROM added

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

-- name: jobs_insert_alike
-- Jobs without keys that differ only in what is an array here, as those of one bulk call do. Their ids are new,
-- unless the statement is sent a second time; then it fails, and the caller looks closer. To be ready for a
-- conflict with each row costs a third of the whole insert. Arrays are unnested in the SELECT list, which passes rows
-- on one by one: in FROM, all of them would first be put aside. So would a list of them for both inserts; each unnests
-- the ids for itself. What is in a SELECT of its own is computed once, and not for each row.
WITH added AS (
  INSERT INTO {prefix}job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata
  )
  SELECT id, :cluster_id, :definition_id, :lane, :priority, scheduled_at, created_at, :timeout_us, :max_retries,
    data, (SELECT :metadata::json)
  FROM (
    SELECT unnest(:id::uuid[]) AS id, unnest(:scheduled_at::bigint[]) AS scheduled_at,
      unnest(:created_at::bigint[]) AS created_at, unnest(:data::text[]) AS data
  ) AS n
)
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
SELECT id, :cluster_id, bucket_id, CASE WHEN bucket_id IS NULL THEN {job_held_on_master} ELSE {job_assigned_to_bucket} END, (SELECT {now}) + delay, 1, 0, 0, 0,
  :lane, :priority, 0
FROM (
  SELECT unnest(:id::uuid[]) AS id, unnest(:bucket_id::uuid[]) AS bucket_id, unnest(:delay::bigint[]) AS delay
) AS n

-- name: held_next
-- When the first held job of each lane and priority is due, by one look at the index for each: an index by due time
-- alone would be one more that every insert of a held job maintains.
WITH RECURSIVE first AS (
  (
    SELECT lane, priority, ready_at FROM {prefix}live
    WHERE cluster_id = :cluster_id AND bucket_id IS NULL AND parked IS NULL
    ORDER BY lane, priority, ready_at
    LIMIT 1
  )
  UNION ALL
  SELECT l.lane, l.priority, l.ready_at
  FROM first f CROSS JOIN LATERAL (
    SELECT lane, priority, ready_at FROM {prefix}live
    WHERE cluster_id = :cluster_id AND bucket_id IS NULL AND parked IS NULL
      AND (lane, priority) > (f.lane, f.priority)
    ORDER BY lane, priority, ready_at
    LIMIT 1
  ) AS l
)
SELECT lane, priority, GREATEST(ready_at, 0) - {now} FROM first

-- name: held_assign
-- Due jobs of one lane and priority go to its buckets by turns, without a journey of their ids to the client. A locked
-- row stays in its place (ctid) until the end, so that it need not be found again by its id; one that changed between
-- snapshot and lock has a place that this statement cannot see, and waits for the next one. The time is a subquery so as
-- to be computed once, and not for each row.
WITH due AS (
  SELECT l.ctid AS place FROM {prefix}live l
  WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL
    AND l.lane = :lane AND l.priority = :priority AND l.ready_at <= {now} + :ahead
  ORDER BY l.ready_at, l.job_id
  LIMIT :limit
  FOR UPDATE OF l SKIP LOCKED
),
shared AS (
  SELECT place, (:turns::uuid[])[(row_number() OVER () - 1) % cardinality(:turns::uuid[]) + 1] AS bucket_id,
    (SELECT {now}) AS now
  FROM due
),
assigned AS (
  UPDATE {prefix}live l
  SET bucket_id = s.bucket_id, status = {job_assigned_to_bucket}, due_at = COALESCE(l.due_at, l.ready_at), ready_at = GREATEST(l.ready_at, s.now)
  FROM shared s
  WHERE l.ctid = s.place
  RETURNING l.bucket_id
)
SELECT bucket_id, COUNT(*) FROM assigned GROUP BY bucket_id

-- name: held_hand_over
-- As held_assign, and back come the jobs' contents. Each is looked up by itself (OFFSET 0): a planner that guesses how
-- many they are might read all jobs there ever were.
WITH due AS (
  SELECT l.ctid AS place FROM {prefix}live l
  WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL
    AND l.lane = :lane AND l.priority = :priority AND l.ready_at <= {now} + :ahead
  ORDER BY l.ready_at, l.job_id
  LIMIT :limit
  FOR UPDATE OF l SKIP LOCKED
),
shared AS (
  SELECT place, (:turns::uuid[])[(row_number() OVER () - 1) % cardinality(:turns::uuid[]) + 1] AS bucket_id,
    (SELECT {now}) AS now
  FROM due
),
assigned AS (
  UPDATE {prefix}live l
  SET bucket_id = s.bucket_id, status = {job_assigned_to_bucket}, placed = COALESCE(l.placed, 0) + 1, due_at = COALESCE(l.due_at, l.ready_at), ready_at = GREATEST(l.ready_at, s.now)
  FROM shared s
  WHERE l.ctid = s.place
  RETURNING l.job_id, l.bucket_id, l.attempt, l.ready_at, l.retries, l.crashes, l.suspect, l.placed
)
SELECT l.bucket_id, {now}, {message_columns}
FROM assigned l CROSS JOIN LATERAL (SELECT * FROM {prefix}job j WHERE j.id = l.job_id OFFSET 0) j

-- name: handovers_add
-- The jobs of all handovers come as one array, of which each takes its part.
INSERT INTO {prefix}handover (id, cluster_id, bucket_id, carrier, job_ids, taken_at)
SELECT h.id, :cluster_id, h.bucket_id, :pusher, (:job_ids::uuid[])[h.begins::int:h.ends::int], {now}
FROM unnest(:id::uuid[], :bucket_id::uuid[], :begins::bigint[], :ends::bigint[]) AS h (id, bucket_id, begins, ends)

-- name: reports_succeed
-- The end of many jobs of one bucket, at the same attempt, in one statement. Deleting the live row is the gate; the
-- attempts of those that pass are appended by the same statement, so that there is never one without the other. ANY,
-- IS NOT DISTINCT FROM and CASE leave a planner no choice but to look up each job by its id: one that trusts statistics
-- from before a backlog came might walk through all of it for each job. Which jobs were written (those whose live row is
-- gone) is told only when some were not.
WITH done AS (
  DELETE FROM {prefix}live l
  WHERE l.job_id = ANY(:job_id::uuid[]) AND l.bucket_id IS NOT DISTINCT FROM :bucket_id AND l.attempt = :number
    AND EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = :bucket_id AND b.epoch = :epoch)
  RETURNING l.job_id, l.cluster_id
),
written AS (
  INSERT INTO {prefix}attempt (
    job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id
  )
  SELECT s.job_id, :number, (SELECT cluster_id FROM done LIMIT 1), 1, 6, s.started_at, s.finished_at, :worker, :host,
    :bucket_id
  FROM unnest(:job_id::uuid[], :started_at::bigint[], :finished_at::bigint[]) AS s (job_id, started_at, finished_at)
  WHERE CASE WHEN s.job_id IN (SELECT job_id FROM done) THEN true END
)
SELECT CASE WHEN COUNT(*) < cardinality(:job_id::uuid[]) THEN array_agg(job_id) END, COUNT(*),
  (SELECT cluster_id FROM done LIMIT 1)
FROM done

-- name: reports_finish
-- As reports_succeed, for any end of a job.
WITH done AS (
  DELETE FROM {prefix}live l
  WHERE l.job_id = ANY(:job_id::uuid[]) AND l.bucket_id IS NOT DISTINCT FROM :bucket_id AND l.attempt = :number
    AND EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = :bucket_id AND b.epoch = :epoch)
  RETURNING l.job_id, l.cluster_id
),
written AS (
  INSERT INTO {prefix}attempt (
    job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id,
    error_type, error_message, error_traceback
  )
  SELECT s.job_id, :number, (SELECT cluster_id FROM done LIMIT 1), s.outcome, s.final_status, s.started_at,
    COALESCE(s.finished_at, {now}), :worker, :host, :bucket_id, s.error_type, s.error_message, s.error_traceback
  FROM unnest(
    :job_id::uuid[], :outcome::bigint[], :final_status::bigint[], :started_at::bigint[], :finished_at::bigint[],
    :error_type::text[], :error_message::text[], :error_traceback::text[]
  ) AS s (
    job_id, outcome, final_status, started_at, finished_at, error_type, error_message, error_traceback
  )
  WHERE CASE WHEN s.job_id IN (SELECT job_id FROM done) THEN true END
)
SELECT CASE WHEN COUNT(*) < cardinality(:job_id::uuid[]) THEN array_agg(job_id) END, COUNT(*),
  (SELECT cluster_id FROM done LIMIT 1)
FROM done

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

-- name: live_put
INSERT INTO {prefix}live (
  job_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, parked, cluster_id, lane, priority,
  cancel_requested
)
SELECT n.job_id, n.bucket_id, n.status, {now} + n.delay, n.attempt, n.retries, n.crashes, n.suspect, n.parked,
  n.cluster_id, n.lane, n.priority, 0
FROM unnest(
  :job_id::uuid[], :bucket_id::uuid[], :status::bigint[], :delay::bigint[], :attempt::bigint[],
  :retries::bigint[], :crashes::bigint[], :suspect::bigint[], :parked::text[],
  :cluster_id::text[], :lane::text[], :priority::bigint[]
) AS n (
  job_id, bucket_id, status, delay, attempt, retries, crashes, suspect, parked, cluster_id, lane, priority
)

-- name: live_delete
DELETE FROM {prefix}live WHERE job_id = ANY(:job_id::uuid[])

-- name: live_requeue
UPDATE {prefix}live l
SET ready_at = CASE WHEN l.attempt = n.attempt THEN COALESCE(l.due_at, l.ready_at) ELSE {now} + n.delay END, due_at = NULL,
    bucket_id = n.bucket_id, status = n.status, attempt = n.attempt,
    retries = n.retries, crashes = n.crashes, suspect = n.suspect, parked = n.parked, started_at = NULL
FROM unnest(
  :job_id::uuid[], :bucket_id::uuid[], :status::bigint[], :delay::bigint[], :attempt::bigint[],
  :retries::bigint[], :crashes::bigint[], :suspect::bigint[], :parked::text[]
) AS n (job_id, bucket_id, status, delay, attempt, retries, crashes, suspect, parked)
WHERE l.job_id = n.job_id

-- name: live_assign
UPDATE {prefix}live l
SET bucket_id = n.bucket_id, status = {job_assigned_to_bucket}, parked = NULL, due_at = COALESCE(l.due_at, l.ready_at),
    ready_at = GREATEST(l.ready_at, {now})
FROM unnest(:job_id::uuid[], :bucket_id::uuid[]) AS n (job_id, bucket_id)
WHERE l.job_id = n.job_id

-- name: live_mark
-- IS NOT DISTINCT FROM keeps the planner away from the index by bucket, which would have it walk through all of it.
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

-- name: bucket_add
WITH {lives}
INSERT INTO {prefix}bucket (
  id, cluster_id, agent, worker_id, lane, priority, epoch, status, load, free, taken, claimed_ready_at, claimed_in,
  created_at, status_changed_at
)
VALUES (:id, :cluster_id, :agent, :worker_id, :lane, :priority, :epoch, :status, :load, :free, 0, 0, {life}, {now}, {now})
ON CONFLICT (id) DO NOTHING

-- name: bucket_claim_to
-- Waits for no disk: it is there for the time after the owner's death, which does not take the server along. Should both
-- go down at once, jobs beyond the bound on record are run again without a word about the attempt that was lost.
WITH {lives}
UPDATE {prefix}bucket SET claimed_ready_at = :ready_at, claimed_job_id = :job_id, claimed_in = {life}
WHERE id = :id AND epoch = :epoch AND COALESCE(taken, 0) = :taken
  AND set_config('synchronous_commit', 'off', true) IS NOT NULL

-- name: bucket_for_taking
-- After a crash of the server the bound may be an older one than the owner was told, until it writes the next.
SELECT b.claimed_ready_at, b.claimed_job_id FROM {prefix}bucket b
WHERE b.id = :id AND b.taken IS NOT NULL AND b.status IN ({bucket_active}, {bucket_completing})
  AND b.claimed_in = (SELECT l.id FROM {prefix}server_life l WHERE l.started_at = pg_postmaster_start_time())
{lock:b}
