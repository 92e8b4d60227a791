-- The statements of agents. {prefix} ends in `agent_` here. {began} is the store's clock when the unit began: one value
-- for a whole statement, and not later than what the unit sees, so that a message that was taken away while it was not
-- due is never handed out. ready_at IS NOT NULL is always so; a database may need it to be told that the index by bucket
-- will do.

-- name: fingerprint
SELECT fingerprint FROM {prefix}identity

-- Buckets

-- name: bucket_add
-- claimed_ready_at = 0 without an id says that nothing was handed out yet (see jobmaster_sql.claims).
INSERT INTO {prefix}bucket (id, epoch, taken, claimed_ready_at, created_at)
VALUES (:id, :epoch, 0, 0, {now})
ON CONFLICT DO NOTHING

-- name: bucket_take
-- A new owner shuts the former one out. The first moment of loss is kept: what became due later was in nobody's hand.
-- Of a bucket that is not there, or was dropped, nothing was.
INSERT INTO {prefix}bucket (id, epoch, claimed_ready_at, created_at)
VALUES (:id, :epoch, 0, {now})
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, lost_at = COALESCE({prefix}bucket.lost_at, {now})
WHERE {prefix}bucket.epoch < excluded.epoch

-- name: bucket_drop
DELETE FROM {prefix}bucket
WHERE id = :id
  AND NOT EXISTS (SELECT 1 FROM {prefix}message m WHERE m.bucket_id = :id AND m.ready_at IS NOT NULL)

-- name: bucket_left
-- A row if there is anything of a bucket. Also its own row: the message that kept it from being dropped may be gone.
SELECT 1 FROM {prefix}message m WHERE m.bucket_id = :id AND m.ready_at IS NOT NULL
UNION ALL
SELECT 1 FROM {prefix}bucket b WHERE b.id = :id
LIMIT 1

-- name: bucket_holdings
-- Along the index, which holds all that is asked for.
SELECT bucket_id, COUNT(*) FROM {prefix}message WHERE ready_at IS NOT NULL GROUP BY bucket_id

-- name: bucket_backlog
SELECT bucket_id, COUNT(*), COUNT(CASE WHEN saved = 0 THEN 1 END),
  {now} - MIN(CASE WHEN saved = 0 THEN pushed_at END)
FROM {prefix}message
WHERE ready_at IS NOT NULL AND cluster_id = :cluster_id
GROUP BY bucket_id

-- name: bucket_epoch
SELECT b.epoch FROM {prefix}bucket b WHERE b.id = :id {lock:b}

-- name: bucket_due
SELECT b.id FROM {prefix}bucket b
WHERE {among:b.id:ids:uuid}
  AND EXISTS (SELECT 1 FROM {prefix}message m WHERE m.bucket_id = b.id AND m.ready_at <= {now})

-- name: bucket_state
-- Ends with the time until the next message that is not due yet: one statement less for every look at a bucket.
SELECT b.epoch, b.claimed_ready_at, b.claimed_job_id, b.taken, {began}, (
  SELECT m.ready_at FROM {prefix}message m
  WHERE m.bucket_id = :id AND m.ready_at > {began}
  ORDER BY m.ready_at
  LIMIT 1
) - {began}
FROM {prefix}bucket b WHERE b.id = :id

-- name: bucket_claim_to
-- Not if others have set unread messages aside since the page was read: they may be on it.
UPDATE {prefix}bucket SET claimed_ready_at = :ready_at, claimed_job_id = :job_id
WHERE id = :id AND epoch = :epoch AND COALESCE(taken, 0) = :taken

-- name: bucket_for_taking
-- What lies behind the owner's bound it has not been handed, and never is: it looks at `taken` before it moves the bound
-- (see bucket_claim_to). NULL there says that it does not, as of code of before.
SELECT b.claimed_ready_at, b.claimed_job_id FROM {prefix}bucket b WHERE b.id = :id AND b.taken IS NOT NULL {lock:b}

-- name: bucket_taken
UPDATE {prefix}bucket SET taken = taken + 1 WHERE id = :id

-- name: bucket_set_aside
-- Not what code of before pushed for a coordinator: the master could not tell it from a message of another time.
UPDATE {prefix}message SET bucket_id = :aside
WHERE bucket_id = :id AND ready_at <= {now} - :waited AND (ready_at, job_id) > (:ready_at, :job_id) AND job_id IN (
  SELECT m.job_id FROM {prefix}message m
  WHERE m.bucket_id = :id AND m.ready_at <= {now} - :waited AND (m.ready_at, m.job_id) > (:ready_at, :job_id)
    AND (m.placed IS NOT NULL OR m.saved = 0) AND {not_among:m.job_id:but:uuid}
  ORDER BY m.ready_at, m.job_id
  LIMIT :limit OFFSET :keep
)

-- name: message_stale_aside
-- A job whose message lies aside is held before it can be handed over again. So a message that lies here and there at once
-- is over where it lies aside: whoever brought it back has only not removed it.
DELETE FROM {prefix}message
WHERE bucket_id = :aside AND ready_at IS NOT NULL AND EXISTS (
  SELECT 1 FROM {prefix}message m
  WHERE m.bucket_id = :bucket_id AND m.job_id = {prefix}message.job_id AND m.attempt = {prefix}message.attempt
)

-- name: bucket_unread
SELECT b.id FROM {prefix}bucket b
WHERE {among:b.id:ids:uuid} AND b.taken IS NOT NULL AND b.claimed_ready_at IS NOT NULL
  AND EXISTS (
    SELECT 1 FROM {prefix}message m
    WHERE m.bucket_id = b.id AND m.ready_at <= {now} - :waited AND (m.placed IS NOT NULL OR m.saved = 0)
      AND (m.ready_at, m.job_id) > (b.claimed_ready_at, b.claimed_job_id)
  )

-- name: bucket_lost_at
SELECT epoch, COALESCE(lost_at, {now}), claimed_ready_at, claimed_job_id FROM {prefix}bucket WHERE id = :id

-- name: bucket_page
-- No lock and no write: only the owner reads a bucket. The row comparison is one range of the index
-- (bucket_id, ready_at, job_id), so that a page costs what it returns.
{page_head}
SELECT {claim_columns}
FROM {prefix}message m
WHERE m.bucket_id = :bucket_id AND m.ready_at <= {began} AND (m.ready_at, m.job_id) > (:ready_at, :job_id)
ORDER BY m.ready_at, m.job_id
LIMIT :limit
{page_tail}

-- name: bucket_page_but
-- The same without jobs that the owner has in hand already: at the end of a backlog it reads again what was due lately.
{page_head}
SELECT {claim_columns}
FROM {prefix}message m
WHERE m.bucket_id = :bucket_id AND m.ready_at <= {began} AND (m.ready_at, m.job_id) > (:ready_at, :job_id)
  AND {not_among:m.job_id:known:uuid}
ORDER BY m.ready_at, m.job_id
LIMIT :limit
{page_tail}

-- name: bucket_exposed
{page_head}
SELECT {claim_columns}
FROM {prefix}message m
WHERE m.bucket_id = :bucket_id AND m.ready_at <= :lost_at AND (m.ready_at, m.job_id) <= (:ready_at, :job_id)
ORDER BY m.ready_at, m.job_id
LIMIT :limit
{page_tail}

-- Messages

-- name: message_add
-- The store's clock plus a delay: never in the past, so that no owner has read beyond it for good. A message that is
-- there already is left alone, so that a push may be repeated.
INSERT INTO {prefix}message (
  job_id, bucket_id, attempt, ready_at, pushed_at, saved, retries, crashes, suspect, placed,
  cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
  data, metadata, idempotency_key
)
VALUES (
  :job_id, :bucket_id, :attempt, {began} + :delay, {began}, :saved, :retries, :crashes, :suspect, :placed,
  :cluster_id, :definition_id, :lane, :priority, :scheduled_at, :created_at, :timeout_us, :max_retries,
  :data, :metadata, :idempotency_key
)
ON CONFLICT DO NOTHING

-- name: message_remove
-- With any epoch: the master has the jobs' state, and it is the master that looked at the epoch.
DELETE FROM {prefix}message
WHERE {among:job_id:job_ids:uuid} AND bucket_id = :bucket_id AND attempt = :attempt

-- name: message_put_aside
UPDATE {prefix}message SET bucket_id = :aside
WHERE {among:job_id:job_ids:uuid} AND bucket_id = :bucket_id AND attempt = :attempt AND (placed IS NOT NULL OR saved = 0)

-- name: message_remove_aside
DELETE FROM {prefix}message
WHERE {among:job_id:job_ids:uuid} AND bucket_id = :bucket_id AND attempt = :attempt AND COALESCE(placed, 0) = :placed

-- name: message_saved
UPDATE {prefix}message SET saved = 1
WHERE {among:job_id:job_ids:uuid} AND bucket_id = :bucket_id AND attempt = :attempt AND saved = 0

-- name: message_drain
SELECT {greatest}(m.ready_at, 0) - {now}, {message_columns}
FROM {prefix}message m
WHERE m.bucket_id = :bucket_id AND m.ready_at IS NOT NULL
ORDER BY m.ready_at, m.job_id
LIMIT :limit

-- name: message_find
SELECT {greatest}(m.ready_at, 0) - {now}, {message_columns}
FROM {prefix}message m
WHERE {among:m.job_id:job_ids:uuid}
ORDER BY m.job_id

-- name: message_unsaved
-- What is due at once, which most is, was pushed when it became due, and lies in the order of its push along the index
-- that owners read by. Only what has a delay needs an index of its own for this.
SELECT m.pushed_at, m.wait, {message_columns} FROM (
  SELECT * FROM (
    SELECT {greatest}(m.ready_at, 0) - {now} AS wait, m.*
    FROM {prefix}message m
    WHERE m.bucket_id = :bucket_id AND m.saved = 0 AND m.ready_at = m.pushed_at
      AND m.ready_at <= {now} - :age AND (m.ready_at, m.job_id) > (:pushed_at, :job_id)
    ORDER BY m.ready_at, m.job_id
    LIMIT :limit
  ) at_once
  UNION ALL
  SELECT * FROM (
    SELECT {greatest}(m.ready_at, 0) - {now} AS wait, m.*
    FROM {prefix}message m
    WHERE m.bucket_id = :bucket_id AND m.saved = 0 AND m.ready_at > m.pushed_at
      AND m.pushed_at <= {now} - :age AND (m.pushed_at, m.job_id) > (:pushed_at, :job_id)
    ORDER BY m.pushed_at, m.job_id
    LIMIT :limit
  ) delayed
) m
ORDER BY m.pushed_at, m.job_id
LIMIT :limit

-- name: message_places
-- When some messages of a bucket are due.
SELECT m.job_id, m.attempt, m.ready_at, {now} FROM {prefix}message m
WHERE {among:m.job_id:job_ids:uuid} AND m.bucket_id = :bucket_id
ORDER BY m.job_id
{lock:m}
