-- name: schedule_add
-- A schedule that exists, or whose key another one has, is left alone; the caller looks who has it. Planned from the
-- store's now on, whatever the clock of the caller says: what lies before was not missed. Without a start, it starts then.
INSERT INTO {prefix}schedule (
  id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
  data, metadata, idempotency_key, kind, expression, time_zone, name, ends_before, overlap, misfire,
  status, planned_to, look_at, next_at, waiting, newest_job_id, version, alive_until, changed_at
)
VALUES (
  :id, :cluster_id, :definition_id, :lane, :priority, COALESCE(:scheduled_at, {now}), :created_at, :timeout_us, :max_retries,
  :data, :metadata, :idempotency_key, :kind, :expression, :time_zone, :name, :ends_before, :overlap, :misfire,
  :status, {greatest}(:planned_to, {now}), :look_at, :next_at, :waiting, :newest_job_id, 1, {now} + :lease, {now}
)
ON CONFLICT DO NOTHING

-- name: schedule_holders
-- Who has these keys: of schedules that are over, nobody asks.
SELECT cluster_id, idempotency_key, id, definition_id FROM {prefix}schedule
WHERE {among:cluster_id:clusters:text} AND {among:idempotency_key:keys:text} AND status < {schedule_ended}

-- name: schedule_get
SELECT {schedule_columns}, {schedule_jobs} FROM {prefix}schedule j
WHERE j.cluster_id = :cluster_id AND {among:j.id:ids:uuid}

-- name: schedule_find
SELECT {schedule_columns}, {schedule_jobs} FROM {prefix}schedule j
WHERE j.cluster_id = :cluster_id{where}
ORDER BY j.id DESC
LIMIT :limit

-- name: schedule_next
-- The first entry of an index that holds active schedules alone: what an idle planner asks costs next to nothing.
SELECT {now}, (
  SELECT look_at FROM {prefix}schedule
  WHERE cluster_id = :cluster_id AND status = {schedule_active} AND {among:kind:kinds:text} AND {not_among:id:without:uuid}
  ORDER BY look_at
  LIMIT 1
)

-- name: schedule_due
SELECT {schedule_columns}, {schedule_jobs} FROM {prefix}schedule j
WHERE j.cluster_id = :cluster_id AND j.status = {schedule_active} AND {among:j.kind:kinds:text} AND {not_among:j.id:without:uuid}
  AND j.look_at <= {now}
ORDER BY j.look_at, j.id
LIMIT :limit

-- name: schedule_lock
-- In the order of ids, so that two planners lock in the same order.
SELECT s.id, s.version, s.alive_until, {now} FROM {prefix}schedule s WHERE {among:s.id:ids:uuid} ORDER BY s.id {lock:s}

-- name: schedule_move
UPDATE {prefix}schedule
SET status = :status, planned_to = :planned_to, look_at = :look_at, next_at = :next_at, waiting = :waiting,
    newest_job_id = :newest_job_id, version = version + 1, changed_at = {now}
WHERE id = :id

-- name: schedule_redefine
UPDATE {prefix}schedule
SET definition_id = :definition_id, lane = :lane, priority = :priority, scheduled_at = :scheduled_at,
    timeout_us = :timeout_us, max_retries = :max_retries, data = :data, metadata = :metadata, kind = :kind,
    expression = :expression, time_zone = :time_zone, ends_before = :ends_before, overlap = :overlap,
    misfire = :misfire
WHERE id = :id

-- name: firing_add
INSERT INTO {prefix}firing (job_id, schedule_id, nominal_at) VALUES (:job_id, :schedule_id, :nominal_at)

-- name: live_add_at
-- Due at a moment of the store's clock; never in the past, as in live_add.
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested
)
VALUES (:job_id, :cluster_id, NULL, {job_held_on_master}, {greatest}(:ready_at, {now}), 1, 0, 0, 0, :lane, :priority, 0)

-- name: firing_untouched
-- Jobs that are not due, and that nobody can have in hand before their rows are gone: a bucket's owner reads what
-- is due, so that one in a bucket has to be due a little later than now. The message of one in a bucket on an agent is
-- out of reach.
SELECT l.job_id FROM {prefix}firing f JOIN {prefix}live l ON l.job_id = f.job_id
WHERE {among:f.schedule_id:ids:uuid} AND f.nominal_at > {now} AND l.ready_at > {now}
  AND l.status IN ({job_held_on_master}, {job_assigned_to_bucket}) AND l.attempt = 1 AND (l.bucket_id IS NULL OR l.ready_at > {now} + :reach)
  AND NOT {on_an_agent:l}
ORDER BY l.job_id
{lock:l}

-- name: firing_prune
DELETE FROM {prefix}firing WHERE {among:job_id:ids:uuid}

-- name: live_prune
DELETE FROM {prefix}live WHERE {among:job_id:ids:uuid}

-- name: schedule_renew
UPDATE {prefix}schedule SET alive_until = {now} + :lease
WHERE cluster_id = :cluster_id AND {among:id:ids:uuid} AND status IN ({schedule_active}, {schedule_paused}, {schedule_inactive})

-- name: schedule_alive
SELECT id FROM {prefix}schedule WHERE cluster_id = :cluster_id AND {among:id:ids:uuid} AND status IN ({schedule_active}, {schedule_paused})

-- name: schedule_expired
SELECT {schedule_columns}, {schedule_jobs} FROM {prefix}schedule j
WHERE j.cluster_id = :cluster_id AND j.status = {schedule_active} AND j.alive_until < {now}
ORDER BY j.id
LIMIT :limit

-- name: schedule_over
SELECT s.id FROM {prefix}schedule s
WHERE s.cluster_id = :cluster_id AND s.status >= 4 AND s.changed_at < {now} - :age AND s.changed_at < :before
LIMIT :limit

-- name: schedule_prune
DELETE FROM {prefix}schedule WHERE {among:id:ids:uuid} AND status >= 4

-- Conditions for schedule_find.

-- name: by_schedule_status
{among:j.status:statuses:int}

-- name: by_static
j.name IS NOT NULL

-- name: by_dynamic
j.name IS NULL

-- name: by_schedule
-- A condition for jobs: those that were made for a schedule.
j.id IN (SELECT made.job_id FROM {prefix}firing made WHERE made.schedule_id = :schedule)
