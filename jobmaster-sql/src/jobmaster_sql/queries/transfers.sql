-- name: moving_held
-- By id, so that a mover goes through all of them once, whatever it has to leave behind.
SELECT l.job_id FROM {prefix}live l
WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.job_id > :after
ORDER BY l.job_id
LIMIT :limit

-- name: moving_finished
-- One of the final statuses: their index has them by the moment they finished.
SELECT f.finished_at, f.job_id FROM {prefix}attempt f
WHERE f.cluster_id = :cluster_id AND f.final_status = :status AND f.finished_at < {now} - :age AND f.finished_at < :before
  AND f.finished_at >= :finished_at AND (f.finished_at, f.job_id) > (:finished_at, :job_id)
ORDER BY f.finished_at, f.job_id
LIMIT :limit

-- name: moving_jobs
-- Where each job stands, first of all: what is read after that belongs to it, or it has changed by the time that
-- its cluster gives it up.
SELECT l.job_id IS NOT NULL, l.bucket_id, l.ready_at, l.attempt, l.retries, l.crashes, l.suspect, l.parked,
  l.cancel_requested, f.final_status, m.schedule_id, m.nominal_at, {job_columns}
FROM {prefix}job j
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL
LEFT JOIN {prefix}firing m ON m.job_id = j.id
WHERE {among:j.id:ids:uuid} AND j.cluster_id = :cluster_id
ORDER BY j.id

-- name: moving_attempts
SELECT job_id, {attempt_columns} FROM {prefix}attempt WHERE {among:job_id:ids:uuid} ORDER BY job_id, number

-- name: moving_logs
SELECT subject_id, {log_columns} FROM {prefix}log
WHERE cluster_id = :cluster_id AND subject = 'job' AND {among:subject_id:subjects:text}
ORDER BY subject_id, at, id

-- name: leaving_held
SELECT l.job_id, l.bucket_id, l.ready_at, l.attempt, l.parked, l.cancel_requested FROM {prefix}live l
WHERE {among:l.job_id:ids:uuid} AND l.cluster_id = :cluster_id
ORDER BY l.job_id
{lock:l}

-- name: leaving_finished
SELECT f.job_id, f.number FROM {prefix}attempt f
WHERE {among:f.job_id:ids:uuid} AND f.cluster_id = :cluster_id AND f.final_status IS NOT NULL
ORDER BY f.job_id
{lock:f}

-- name: leaving_schedules
SELECT s.id, s.version FROM {prefix}schedule s
WHERE {among:s.id:ids:uuid} AND s.cluster_id = :cluster_id
ORDER BY s.id
{lock:s}

-- name: schedule_delete
DELETE FROM {prefix}schedule WHERE {among:id:ids:uuid}

-- name: departure_add
-- One that departed before, came back and departs again has a newer consignment.
INSERT INTO {prefix}departure (id, cluster_id, consignment, target, departed_at)
VALUES (:id, :cluster_id, :consignment, :target, {now})
ON CONFLICT DO NOTHING

-- name: departure_list
SELECT id FROM {prefix}departure WHERE cluster_id = :cluster_id AND consignment = :consignment

-- name: departure_find
SELECT d.consignment, d.target, d.id FROM {prefix}departure d
WHERE d.cluster_id = :cluster_id AND d.consignment IN (
  SELECT DISTINCT o.consignment FROM {prefix}departure o
  WHERE o.cluster_id = :cluster_id
  ORDER BY o.consignment
  LIMIT :limit
)
ORDER BY d.consignment, d.id

-- name: departure_forget
DELETE FROM {prefix}departure
WHERE cluster_id = :cluster_id AND consignment = :consignment AND {among:id:ids:uuid}

-- name: departure_return
-- What is admitted into a cluster that it once departed from.
DELETE FROM {prefix}departure WHERE cluster_id = :cluster_id AND {among:id:ids:uuid}

-- name: arrival_add
INSERT INTO {prefix}arrival (id, cluster_id, consignment, body, staged_at)
VALUES (:id, :cluster_id, :consignment, :body, {now})
ON CONFLICT DO NOTHING

-- name: arrival_get
-- Locked in the order of ids: of two callers that admit the same, the second finds nothing left.
SELECT a.id, a.body FROM {prefix}arrival a
WHERE a.cluster_id = :cluster_id AND a.consignment = :consignment AND {among:a.id:ids:uuid}
ORDER BY a.id
{lock:a}

-- name: arrival_clear
DELETE FROM {prefix}arrival
WHERE cluster_id = :cluster_id AND consignment = :consignment AND NOT {among:id:ids:uuid}

-- name: schedule_known
SELECT id FROM {prefix}schedule WHERE {among:id:ids:uuid}

-- name: schedule_in_cluster
SELECT id FROM {prefix}schedule WHERE cluster_id = :cluster_id AND {among:id:ids:uuid}

-- name: live_arrive
-- Due when it was, by the same calendar: assigning sees to it that nothing in a bucket is due in its owner's past.
INSERT INTO {prefix}live (
  job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested, parked
)
VALUES (
  :job_id, :cluster_id, NULL, {job_held_on_master}, :ready_at, :attempt, :retries, :crashes, :suspect, :lane, :priority,
  :cancel_requested, :parked
)

-- name: schedule_arrive
INSERT INTO {prefix}schedule (
  id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
  data, metadata, idempotency_key, kind, expression, time_zone, name, ends_before, overlap, misfire,
  status, planned_to, look_at, next_at, waiting, newest_job_id, version, alive_until, changed_at
)
VALUES (
  :id, :cluster_id, :definition_id, :lane, :priority, :scheduled_at, :created_at, :timeout_us, :max_retries,
  :data, :metadata, :idempotency_key, :kind, :expression, :time_zone, :name, :ends_before, :overlap, :misfire,
  :status, :planned_to, :look_at, :next_at, :waiting, :newest_job_id, :version, {now} + :lease, {now}
)
ON CONFLICT DO NOTHING
