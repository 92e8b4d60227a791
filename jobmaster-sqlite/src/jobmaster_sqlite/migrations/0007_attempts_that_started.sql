-- Of an attempt that was lost with its worker before its start was on record, nobody knows whether it ever began. It
-- does not count as one here, no more than a cancellation before the first start.
DROP VIEW {prefix}jobs;
CREATE VIEW {prefix}jobs AS
SELECT
  j.id,
  j.cluster_id AS cluster,
  j.definition_id AS definition,
  j.lane,
  CASE j.priority WHEN 1 THEN 'very_low' WHEN 2 THEN 'low' WHEN 3 THEN 'medium' WHEN 4 THEN 'high' ELSE 'critical' END
    AS priority,
  CASE COALESCE(l.status, f.final_status)
    WHEN 1 THEN 'save_pending' WHEN 2 THEN 'held_on_master' WHEN 3 THEN 'assigned_to_bucket' WHEN 4 THEN 'queued'
    WHEN 5 THEN 'processing' WHEN 6 THEN 'succeeded' WHEN 7 THEN 'failed' WHEN 8 THEN 'cancelled' END AS status,
  strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1000000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', j.scheduled_at / 1000000.0, 'unixepoch') AS scheduled_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', l.ready_at / 1000000.0, 'unixepoch') AS ready_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', f.finished_at / 1000000.0, 'unixepoch') AS finished_at,
  (SELECT COUNT(*) FROM {prefix}attempt a
   WHERE a.job_id = j.id AND (a.outcome NOT IN (4, 8) OR a.started_at IS NOT NULL)) AS attempts,
  (SELECT a.error_type || ': ' || a.error_message FROM {prefix}attempt a
   WHERE a.job_id = j.id AND a.error_type IS NOT NULL ORDER BY a.number DESC LIMIT 1) AS last_error,
  l.parked AS reason,
  j.data,
  j.metadata
FROM {prefix}job j
LEFT JOIN {prefix}live l ON l.job_id = j.id
LEFT JOIN {prefix}attempt f ON f.job_id = j.id AND f.final_status IS NOT NULL;
