-- name: job_get
SELECT {record_columns}, {job_columns}
FROM {prefix}job j
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL
LEFT JOIN {prefix}firing m ON m.job_id = j.id
WHERE j.id = :job_id AND j.cluster_id = :cluster_id

-- name: attempt_list
SELECT {attempt_columns} FROM {prefix}attempt WHERE job_id = :job_id ORDER BY number

-- name: attempt_numbers
-- Each of these jobs is looked up; few have more than one attempt.
SELECT job_id, number FROM {prefix}attempt WHERE {among:job_id:ids:uuid}

-- name: log_list
SELECT {log_columns} FROM {prefix}log
WHERE cluster_id = :cluster_id AND subject = :subject AND subject_id = :subject_id
ORDER BY at DESC, id DESC
LIMIT :limit

-- name: log_add
INSERT INTO {prefix}log (cluster_id, at, level, message, fields, subject, subject_id, attempt)
VALUES (:cluster_id, :at, :level, :message, :fields, :subject, :subject_id, :attempt)

-- name: job_find
-- Page by page down the ids, which sort by creation: no page costs more than another.
SELECT {record_columns}, {job_columns}
FROM {prefix}job j
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL
LEFT JOIN {prefix}firing m ON m.job_id = j.id
WHERE j.cluster_id = :cluster_id{where}
ORDER BY j.id DESC
LIMIT :limit

-- name: job_find_live
-- Only statuses of live rows are asked for: the live table is narrow, however long the history.
SELECT {record_columns}, {job_columns}
FROM {prefix}live l
JOIN {prefix}job j ON j.id = l.job_id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL
LEFT JOIN {prefix}firing m ON m.job_id = j.id
WHERE l.cluster_id = :cluster_id{where}
ORDER BY l.job_id DESC
LIMIT :limit

-- name: job_find_final
-- Jobs that ended badly: an index has them together, and they are few.
SELECT {record_columns}, {job_columns}
FROM {prefix}attempt f
JOIN {prefix}job j ON j.id = f.job_id
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}firing m ON m.job_id = j.id
WHERE f.cluster_id = :cluster_id AND f.final_status IS NOT NULL{where}
ORDER BY f.job_id DESC
LIMIT :limit

-- name: job_count
SELECT COALESCE(l.status, f.final_status) AS status, COUNT(*)
FROM {prefix}job j
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL
WHERE j.cluster_id = :cluster_id{where}
GROUP BY 1

-- name: live_count
-- Without conditions on jobs, the job rows need not be read.
SELECT status, COUNT(*) FROM {prefix}live WHERE cluster_id = :cluster_id GROUP BY status

-- name: waiting_held
-- A stretch of the index that assigns held jobs.
SELECT COUNT(*) FROM {prefix}live
WHERE cluster_id = :cluster_id AND lane = :lane AND priority = :priority AND bucket_id IS NULL AND parked IS NULL
  AND ready_at <= {now}

-- name: waiting_in_buckets
-- For each bucket, the stretch of its index that is due.
SELECT b.lane,
  (SELECT COUNT(*) FROM {prefix}live l WHERE l.bucket_id = b.id AND l.ready_at <= {now} AND l.status <> {job_processing})
FROM {prefix}bucket b WHERE b.cluster_id = :cluster_id

-- name: final_count
SELECT final_status, COUNT(*) FROM {prefix}attempt
WHERE cluster_id = :cluster_id AND final_status IS NOT NULL GROUP BY final_status

-- name: final_old
-- A job that is being retried is locked, and passed over. By two clocks: the store's may jump before it is asked.
SELECT f.job_id FROM {prefix}attempt f
WHERE f.cluster_id = :cluster_id AND f.final_status IS NOT NULL AND f.finished_at < {now} - :age AND f.finished_at < :before
LIMIT :limit
{lock_free:f}

-- name: attempt_prune
DELETE FROM {prefix}attempt WHERE {among:job_id:ids:uuid}

-- name: log_prune
DELETE FROM {prefix}log WHERE cluster_id = :cluster_id AND subject = 'job' AND {among:subject_id:subjects:text}

-- name: job_prune
DELETE FROM {prefix}job WHERE {among:id:ids:uuid}
