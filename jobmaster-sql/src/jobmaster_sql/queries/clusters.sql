-- name: cluster_put
-- What people have changed about a cluster that exists is left alone.
INSERT INTO {prefix}cluster (id, mode, settings, created_at)
VALUES (:id, :mode, :settings, {now})
ON CONFLICT (id) DO UPDATE SET settings = excluded.settings

-- name: cluster_get
SELECT {cluster_columns} FROM {prefix}cluster c WHERE c.id = :id

-- name: worker_add
-- A repeated registration changes nothing: renewing the lease is what heartbeats are for.
INSERT INTO {prefix}worker (
  id, cluster_id, name, agent, lane, mode, host, process_id, pid, status, version,
  started_at, heartbeat_at, lease_until
)
VALUES (
  :id, :cluster_id, :name, :agent, :lane, :mode, :host, :process_id, :pid, :status, :version,
  {now}, {now}, {now} + :lease
)
ON CONFLICT (id) DO NOTHING

-- name: worker_renew
-- Whoever was declared lost stays lost, so that two processes never believe to own a bucket.
UPDATE {prefix}worker SET heartbeat_at = {now}, lease_until = {now} + :lease
WHERE {among:id:ids:uuid} AND status IN ({workers_running})

-- name: worker_pulse
SELECT id, {is_cancelling}, CASE WHEN :rescuing IS NULL THEN 0 ELSE {needs_rescue:rescuing} END
FROM {prefix}worker WHERE {among:id:ids:uuid} AND status IN ({workers_running})

-- name: worker_stopping
UPDATE {prefix}worker SET status = {worker_stopping} WHERE id = :id AND status = {worker_active}

-- name: worker_retire
UPDATE {prefix}worker SET status = {worker_stopped} WHERE id = :id AND status IN ({workers_running})

-- name: worker_expire
-- A heartbeat that lies more than a lease ahead was written by a clock that has gone back since: who lives has renewed it.
UPDATE {prefix}worker SET status = {worker_lost}
WHERE cluster_id = :cluster_id AND status IN ({workers_running})
  AND (lease_until < {now} OR heartbeat_at - (lease_until - heartbeat_at) > {now})

-- name: worker_list
SELECT {worker_columns} FROM {prefix}worker WHERE cluster_id = :cluster_id ORDER BY started_at DESC, id DESC

-- name: worker_prune
-- A worker goes after its buckets, so that each bucket's history can be told while it is there. One that was lost, and
-- asked for something, may be back to do it.
DELETE FROM {prefix}worker
WHERE cluster_id = :cluster_id AND status IN ({worker_stopped}, {worker_lost}) AND heartbeat_at < {now} - :age AND heartbeat_at < :before
  AND (status = {worker_stopped} OR request IS NULL OR heartbeat_at < {now} - :requests_kept)
  AND NOT EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.worker_id = {prefix}worker.id AND b.status <> {bucket_ready_to_delete})
