-- name: cluster_lock
SELECT {cluster_columns} FROM {prefix}cluster c WHERE c.id = :id {lock:c}

-- name: cluster_change
UPDATE {prefix}cluster SET mode = :mode, changes = :changes, paused_lanes = :paused_lanes WHERE id = :id

-- name: worker_request
-- The weightier request stays: a stop (2) that follows a drain, or comes before it. What nobody here knows does not.
-- Who was declared lost (4) may be back.
UPDATE {prefix}worker SET request = CASE WHEN request = {request_stop} THEN request ELSE :request END
WHERE cluster_id = :cluster_id AND name = :name AND status IN ({workers_running}, {worker_lost})

-- name: worker_named
SELECT id, status FROM {prefix}worker WHERE cluster_id = :cluster_id AND name = :name AND status IN ({workers_running}, {worker_lost})

-- name: orders_read
-- All that a process wants to know now and then, in one question.
SELECT {cluster_columns}, w.name, w.request
FROM {prefix}cluster c
LEFT JOIN {prefix}worker w
  ON w.process_id = :process_id AND w.request IS NOT NULL AND w.cluster_id = c.id
WHERE c.id = :id
