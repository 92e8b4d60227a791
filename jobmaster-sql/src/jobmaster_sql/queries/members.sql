-- name: agent_put
-- A name keeps its store: only when it is told to does it move to another one.
INSERT INTO {prefix}agent (cluster_id, name, kind, fingerprint, registered_at)
VALUES (:cluster_id, :name, :kind, :fingerprint, {now})
ON CONFLICT (cluster_id, name) DO UPDATE SET kind = excluded.kind,
  fingerprint = CASE WHEN :repoint = 1 THEN excluded.fingerprint ELSE {prefix}agent.fingerprint END

-- name: agent_list
SELECT a.cluster_id, a.name, a.kind, a.fingerprint, a.registered_at, (
  SELECT MAX(w.heartbeat_at) FROM {prefix}worker w WHERE w.cluster_id = a.cluster_id AND w.agent = a.name
)
FROM {prefix}agent a
WHERE {among:a.cluster_id:clusters:text}
ORDER BY a.cluster_id, a.name

-- name: host_put
INSERT INTO {prefix}host (cluster_id, name, info, registered_at, seen_at)
VALUES (:cluster_id, :name, :info, {now}, {now})
ON CONFLICT (cluster_id, name) DO UPDATE SET info = excluded.info, seen_at = excluded.seen_at

-- name: host_forget
-- Not one that was seen just now: its worker is registered after it.
DELETE FROM {prefix}host
WHERE cluster_id = :cluster_id AND seen_at < {now} - :age
  AND NOT EXISTS (
    SELECT 1 FROM {prefix}worker w WHERE w.cluster_id = {prefix}host.cluster_id AND w.host = {prefix}host.name
  )

-- name: host_list
SELECT h.cluster_id, h.name, h.info, h.registered_at, MAX(w.heartbeat_at)
FROM {prefix}host h JOIN {prefix}worker w ON w.cluster_id = h.cluster_id AND w.host = h.name
WHERE h.cluster_id = :cluster_id
GROUP BY h.cluster_id, h.name, h.info, h.registered_at
ORDER BY h.name
