-- name: bucket_add
-- claimed_ready_at = 0 without an id says that nothing was handed out yet (see jobmaster_sql.claims).
INSERT INTO {prefix}bucket (
  id, cluster_id, agent, worker_id, lane, priority, epoch, status, load, free, taken, claimed_ready_at, created_at,
  status_changed_at
)
VALUES (:id, :cluster_id, :agent, :worker_id, :lane, :priority, :epoch, :status, :load, :free, 0, 0, {now}, {now})
ON CONFLICT (id) DO NOTHING

-- name: bucket_load
UPDATE {prefix}bucket SET load = :load, running = :running, free = :free, offered = :offered, silent_at = NULL
WHERE id = :id
  AND EXISTS (SELECT 1 FROM {prefix}worker w WHERE w.id = worker_id AND w.status IN ({workers_running}))

-- name: bucket_silent
UPDATE {prefix}bucket SET silent_at = {now} WHERE {among:id:ids:uuid}

-- name: bucket_complete
UPDATE {prefix}bucket SET status = {bucket_completing}, status_changed_at = {now} WHERE worker_id = :worker_id AND status = {bucket_active}

-- name: bucket_list
SELECT {bucket_columns} FROM {prefix}bucket b WHERE b.cluster_id = :cluster_id ORDER BY b.created_at, b.id

-- name: bucket_active
SELECT {bucket_columns}, {now} - w.heartbeat_at, CASE WHEN b.silent_at >= w.heartbeat_at THEN 1 ELSE 0 END
FROM {prefix}bucket b JOIN {prefix}worker w ON w.id = b.worker_id
WHERE b.cluster_id = :cluster_id AND b.status = {bucket_active} AND w.status IN ({workers_running}) AND w.lease_until >= {now}
ORDER BY b.created_at, b.id

-- name: bucket_set_status
UPDATE {prefix}bucket SET status = :status, status_changed_at = {now} WHERE id = :id AND epoch = :epoch

-- name: bucket_left_behind
-- Passing over locked rows makes rescuers share the work instead of waiting for one another. One that is lost (3)
-- was given away by its owner, who lives.
SELECT b.id, b.worker_id, b.epoch FROM {prefix}bucket b
WHERE b.cluster_id = :cluster_id AND b.status <> {bucket_ready_to_delete} AND (:everywhere = 1 OR {among:b.agent:agents:text})
  AND (b.status = {bucket_lost} OR NOT EXISTS (SELECT 1 FROM {prefix}worker w WHERE w.id = b.worker_id AND w.status IN ({workers_running})))
ORDER BY b.id
LIMIT :limit
{lock_free:b}

-- name: rescue_needed
SELECT 1 WHERE {needs_rescue:cluster_id}

-- name: bucket_take
-- The first moment of loss is kept: what became due later was in nobody's hand. Looks again whether each is
-- left behind: another rescuer can have taken it just before it was locked.
-- No epoch follows the last one: a row that says so is damaged, and must not keep the others from being taken.
UPDATE {prefix}bucket
SET epoch = epoch + 1, worker_id = :rescuer, status = {bucket_draining}, lost_at = COALESCE(lost_at, {now}), status_changed_at = {now}
WHERE {among:id:ids:uuid} AND epoch < 2147483647
  AND (status = {bucket_lost} OR NOT EXISTS (SELECT 1 FROM {prefix}worker w WHERE w.id = worker_id AND w.status IN ({workers_running})))

-- name: bucket_get
SELECT {bucket_columns} FROM {prefix}bucket b WHERE {among:b.id:ids:uuid} ORDER BY b.id

-- name: bucket_epoch
SELECT b.epoch FROM {prefix}bucket b WHERE b.id = :id {lock:b}

-- name: bucket_epochs
SELECT b.id, b.epoch, {now} FROM {prefix}bucket b WHERE {among:b.id:ids:uuid}

-- name: bucket_state
-- Ends with the time until the next job that is not due yet: one statement less for every look at a bucket.
SELECT b.epoch, b.claimed_ready_at, b.claimed_job_id, b.taken, {now}, (
  SELECT l.ready_at FROM {prefix}live l WHERE l.bucket_id = :id AND l.ready_at > {now} ORDER BY l.ready_at LIMIT 1
) - {now}
FROM {prefix}bucket b WHERE b.id = :id

-- name: bucket_claim_to
-- Not if others have taken unread jobs since the page was read: they may be on it.
UPDATE {prefix}bucket SET claimed_ready_at = :ready_at, claimed_job_id = :job_id
WHERE id = :id AND epoch = :epoch AND COALESCE(taken, 0) = :taken

-- name: bucket_for_taking
-- What lies behind the owner's bound it has not been handed, and never is: it looks at `taken` before it moves the bound
-- (see bucket_claim_to). NULL there says that it does not, as of code of before.
SELECT b.claimed_ready_at, b.claimed_job_id FROM {prefix}bucket b
WHERE b.id = :id AND b.taken IS NOT NULL AND b.status IN ({bucket_active}, {bucket_completing})
{lock:b}

-- name: bucket_taken
UPDATE {prefix}bucket SET taken = taken + 1 WHERE id = :id

-- name: bucket_hold_unread
UPDATE {prefix}live SET bucket_id = NULL, status = {job_held_on_master}, started_at = NULL, ready_at = COALESCE(due_at, ready_at), due_at = NULL
WHERE job_id IN (
  SELECT l.job_id FROM {prefix}live l
  WHERE l.bucket_id = :id AND l.ready_at <= {now} - :waited AND (l.ready_at, l.job_id) > (:ready_at, :job_id)
    AND l.cancel_requested = 0
  ORDER BY l.ready_at, l.job_id
  LIMIT :limit OFFSET :keep
)
AND CASE WHEN bucket_id = :id AND cancel_requested = 0 THEN 1 ELSE 0 END = 1

-- name: bucket_unread
SELECT b.id FROM {prefix}bucket b
WHERE {among:b.id:ids:uuid} AND b.taken IS NOT NULL AND b.claimed_ready_at IS NOT NULL
  AND EXISTS (
    SELECT 1 FROM {prefix}live l
    WHERE l.bucket_id = b.id AND l.ready_at <= {now} - :waited AND l.cancel_requested = 0
      AND (l.ready_at, l.job_id) > (b.claimed_ready_at, b.claimed_job_id)
  )

-- name: live_hold
UPDATE {prefix}live SET bucket_id = NULL, status = {job_held_on_master}, started_at = NULL, ready_at = COALESCE(due_at, ready_at), due_at = NULL
WHERE {among:job_id:job_ids:uuid} AND bucket_id = :bucket_id AND attempt = :attempt AND COALESCE(placed, 0) = :placed
  AND cancel_requested = 0

-- name: bucket_lost_at
SELECT epoch, COALESCE(lost_at, {now}), claimed_ready_at, claimed_job_id FROM {prefix}bucket WHERE id = :id

-- name: bucket_page
-- No lock and no write: only the owner reads a bucket. The row comparison is one range of the index
-- (bucket_id, ready_at, job_id), so that a page costs what it returns.
{page_head}
SELECT {claim_columns}
FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE l.bucket_id = :bucket_id AND l.ready_at <= {now} AND (l.ready_at, l.job_id) > (:ready_at, :job_id)
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{page_tail}

-- name: bucket_page_but
-- The same without jobs that the owner has in hand already: at the end of a backlog it reads again what was due lately.
{page_head}
SELECT {claim_columns}
FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE l.bucket_id = :bucket_id AND l.ready_at <= {now} AND (l.ready_at, l.job_id) > (:ready_at, :job_id)
  AND {not_among:l.job_id:known:uuid}
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{page_tail}

-- name: bucket_due
SELECT b.id FROM {prefix}bucket b
WHERE {among:b.id:ids:uuid}
  AND EXISTS (SELECT 1 FROM {prefix}live l WHERE l.bucket_id = b.id AND l.ready_at <= {now})

-- name: bucket_exposed
{page_head}
SELECT {claim_columns}
FROM {prefix}live l JOIN {prefix}job j ON j.id = l.job_id
WHERE l.bucket_id = :bucket_id AND l.ready_at <= :lost_at AND (l.ready_at, l.job_id) <= (:ready_at, :job_id)
ORDER BY l.ready_at, l.job_id
LIMIT :limit
{page_tail}

-- name: bucket_holdings
SELECT bucket_id, COUNT(*) FROM {prefix}live
WHERE cluster_id = :cluster_id AND bucket_id IS NOT NULL
GROUP BY bucket_id

-- name: bucket_release
-- What is to be cancelled ends, see live_marked: a request on its way makes this wait, and is then seen by both.
UPDATE {prefix}live SET bucket_id = NULL, status = {job_held_on_master}, started_at = NULL, ready_at = COALESCE(due_at, ready_at), due_at = NULL
WHERE bucket_id = :bucket_id AND cancel_requested = 0

-- name: bucket_orphans
-- Steps from one bucket id to the next in the index rather than read a million rows to find ten ids.
WITH RECURSIVE held(bucket_id) AS (
  SELECT (SELECT bucket_id FROM {prefix}live WHERE bucket_id IS NOT NULL ORDER BY bucket_id LIMIT 1)
  UNION ALL
  SELECT (SELECT l.bucket_id FROM {prefix}live l WHERE l.bucket_id > held.bucket_id ORDER BY l.bucket_id LIMIT 1)
  FROM held WHERE held.bucket_id IS NOT NULL
)
SELECT bucket_id FROM held
WHERE bucket_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = held.bucket_id AND b.status <> {bucket_ready_to_delete})

-- name: bucket_sweep
-- Looks again whether each is still an orphan: somebody may have registered it in the meantime.
UPDATE {prefix}live SET bucket_id = NULL, status = {job_held_on_master}, started_at = NULL, ready_at = COALESCE(due_at, ready_at), due_at = NULL
WHERE {among:bucket_id:ids:uuid} AND cluster_id = :cluster_id AND cancel_requested = 0
  AND NOT EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = {prefix}live.bucket_id AND b.status <> {bucket_ready_to_delete})

-- name: bucket_sweep_marked
-- As live_marked, of what lies in buckets that are still orphans.
SELECT l.job_id, l.cluster_id, l.bucket_id, l.attempt, {now} FROM {prefix}live l
WHERE l.cancel_requested = 1 AND {among:l.bucket_id:ids:uuid} AND l.cluster_id = :cluster_id
  AND NOT EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = l.bucket_id AND b.status <> {bucket_ready_to_delete})
ORDER BY l.job_id
{lock:l}

-- name: bucket_prune
DELETE FROM {prefix}bucket WHERE cluster_id = :cluster_id AND status = {bucket_ready_to_delete} AND status_changed_at < {now} - :age AND status_changed_at < :before
