-- Of an attempt that was lost with its worker before its start was on record, nobody knows whether it ever began. It
-- does not count as one here, no more than a cancellation before the first start.
CREATE OR REPLACE VIEW {prefix}jobs AS
SELECT
  j.id,
  j.cluster_id AS cluster,
  j.definition_id AS definition,
  j.lane,
  (ARRAY['very_low', 'low', 'medium', 'high', 'critical'])[j.priority] AS priority,
  (ARRAY['save_pending', 'held_on_master', 'assigned_to_bucket', 'queued', 'processing',
         'succeeded', 'failed', 'cancelled'])[COALESCE(l.status, f.final_status)] AS status,
  timestamptz 'epoch' + (j.created_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS created_at,
  timestamptz 'epoch' + (j.scheduled_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS scheduled_at,
  timestamptz 'epoch' + (l.ready_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS ready_at,
  timestamptz 'epoch' + (f.finished_at OPERATOR(pg_catalog.*) interval '1 microsecond') AS finished_at,
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
