-- Pages of jobs. What is joined to a job is looked up job by job (OFFSET 0 keeps the subqueries from becoming joins): a
-- planner that does not know the limit expects a tenth of all jobs, and would sort every attempt there ever was for a
-- page of one.

-- name: job_find
SELECT {record_columns}, {job_columns}
FROM {prefix}job j
LEFT JOIN LATERAL (SELECT * FROM {prefix}live l WHERE l.job_id = j.id OFFSET 0) l ON true
LEFT JOIN LATERAL (
  SELECT * FROM {prefix}attempt f WHERE f.job_id = j.id AND f.final_status IS NOT NULL OFFSET 0
) f ON true
LEFT JOIN LATERAL (SELECT * FROM {prefix}firing m WHERE m.job_id = j.id OFFSET 0) m ON true
WHERE j.cluster_id = :cluster_id{where}
ORDER BY j.id DESC
LIMIT :limit

-- name: job_find_live
-- The narrow table leads, and jobs are looked up as well, though the history is long and what waits may be old.
SELECT {record_columns}, {job_columns}
FROM {prefix}live l
CROSS JOIN LATERAL (SELECT * FROM {prefix}job j WHERE j.id = l.job_id OFFSET 0) j
LEFT JOIN LATERAL (
  SELECT * FROM {prefix}attempt f WHERE f.job_id = l.job_id AND f.final_status IS NOT NULL OFFSET 0
) f ON true
LEFT JOIN LATERAL (SELECT * FROM {prefix}firing m WHERE m.job_id = l.job_id OFFSET 0) m ON true
WHERE l.cluster_id = :cluster_id{where}
ORDER BY l.job_id DESC
LIMIT :limit
