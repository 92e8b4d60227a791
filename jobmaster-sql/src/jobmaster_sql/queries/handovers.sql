-- name: held_contents
-- As held_due, with all that a message says, so that nothing has to be read a second time.
SELECT {now}, {message_columns}
FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE l.cluster_id = :cluster_id AND l.bucket_id IS NULL AND l.parked IS NULL
  AND l.lane = :lane AND l.priority = :priority AND l.ready_at <= {now} + :ahead
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{lock_free:l}

-- name: parked_contents
-- As parked_known, with all that a message says.
SELECT {now}, {message_columns}
FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE l.cluster_id = :cluster_id AND l.parked IS NOT NULL AND l.lane = :lane AND l.priority = :priority
  AND {among:j.definition_id:definitions:text}
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{lock_free:l}

-- name: live_hand_over
-- As live_assign, for all jobs of one bucket.
UPDATE {prefix}live
SET bucket_id = :bucket_id, status = {job_assigned_to_bucket}, parked = NULL, placed = COALESCE(placed, 0) + 1, due_at = COALESCE(due_at, ready_at),
    ready_at = {greatest}(ready_at, {now})
WHERE {among:job_id:ids:uuid}

-- name: handover_add
INSERT INTO {prefix}handover (id, cluster_id, bucket_id, carrier, job_ids, taken_at)
VALUES (:id, :cluster_id, :bucket_id, :pusher, :job_ids, {now})

-- name: handover_delete
DELETE FROM {prefix}handover WHERE {among:id:ids:uuid}

-- name: handover_lock
-- Two callers never have the same one: the second finds it gone, once the first has committed.
SELECT h.id, h.bucket_id, h.job_ids FROM {prefix}handover h
WHERE {among:h.id:ids:uuid}
ORDER BY h.id
{lock:h}

-- name: handover_of_bucket
-- There are few at any time: each is deleted as soon as its jobs are pushed.
SELECT h.job_ids FROM {prefix}handover h WHERE h.bucket_id = :bucket_id

-- name: handover_old
-- Callers take different ones: what another one has locked is passed over.
SELECT h.id, h.bucket_id, h.job_ids FROM {prefix}handover h
WHERE h.cluster_id = :cluster_id AND h.taken_at <= {now} - :age
ORDER BY h.taken_at
LIMIT :limit
{lock_free:h}

-- name: handover_retake
-- A new id: to the carrier before, the handover is gone, and whatever it still does about it changes nothing.
UPDATE {prefix}handover SET id = :new_id, carrier = :pusher, taken_at = {now} WHERE id = :id

-- name: live_take_back
-- CASE keeps planners away from the index by bucket, which would have them walk through the whole bucket.
-- What is to be cancelled ends, as in bucket_release.
UPDATE {prefix}live SET bucket_id = NULL, status = {job_held_on_master}, started_at = NULL, ready_at = COALESCE(due_at, ready_at), due_at = NULL
WHERE {among:job_id:ids:uuid} AND cancel_requested = 0 AND CASE WHEN bucket_id = :bucket_id THEN 1 ELSE 0 END = 1

-- name: live_contents
-- The jobs among these that still wait or run, with all that a message says, and in which bucket each is.
SELECT l.bucket_id, {now}, {message_columns}
FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE {among:l.job_id:ids:uuid}
ORDER BY l.ready_at, l.job_id
