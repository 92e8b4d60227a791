-- Batches take an array for each column: one statement, one plan, one round trip, however many rows.

-- name: bucket_add
WITH {lives}
INSERT INTO {prefix}bucket (id, epoch, taken, claimed_ready_at, claimed_in, created_at)
SELECT id, epoch, 0, 0, {life}, {now} FROM unnest(:id::uuid[], :epoch::bigint[]) AS n (id, epoch)
ON CONFLICT DO NOTHING

-- name: messages_alike
-- Messages that differ only in what is an array here, as those of one bulk call do. They are new, unless the push is
-- repeated; then the statement fails, and the caller leaves those alone that are there. To be ready for a conflict with
-- each row costs a third of the whole insert. Arrays are unnested in the SELECT list, which passes rows on one by one: in
-- FROM, all of them would first be put aside. The clock is read in a SELECT of its own, once and not for each row.
INSERT INTO {prefix}message (
  job_id, bucket_id, attempt, ready_at, pushed_at, saved, retries, crashes, suspect, placed,
  cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries, data, metadata
)
SELECT n.job_id, n.bucket_id, :attempt::bigint, (SELECT {now}) + n.delay, (SELECT {now}), :saved::bigint,
  :retries::bigint, :crashes::bigint, :suspect::bigint, :placed::bigint, :cluster_id::text, :definition_id::text, :lane::text,
  :priority::bigint, n.scheduled_at, n.created_at, :timeout_us::bigint, :max_retries::bigint, n.data, :metadata::text
FROM (
  SELECT unnest(:job_id::uuid[]) AS job_id, unnest(:bucket_id::uuid[]) AS bucket_id,
    unnest(:scheduled_at::bigint[]) AS scheduled_at, unnest(:created_at::bigint[]) AS created_at,
    unnest(:delay::bigint[]) AS delay, unnest(:data::text[]) AS data
) AS n

-- name: messages_add
-- Any messages. In the order of their ids: two callers that push the same ones wait for each other one way.
INSERT INTO {prefix}message (
  job_id, bucket_id, attempt, ready_at, pushed_at, saved, retries, crashes, suspect, placed,
  cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
  data, metadata, idempotency_key
)
SELECT n.job_id, n.bucket_id, n.attempt, {now} + n.delay, {now}, n.saved, n.retries, n.crashes, n.suspect, n.placed,
  n.cluster_id, n.definition_id, n.lane, n.priority, n.scheduled_at, n.created_at, n.timeout_us, n.max_retries,
  n.data, n.metadata, n.idempotency_key
FROM unnest(
  :bucket_id::uuid[], :attempt::bigint[], :saved::bigint[], :retries::bigint[], :crashes::bigint[],
  :suspect::bigint[], :placed::bigint[], :job_id::uuid[], :cluster_id::text[], :definition_id::text[], :lane::text[], :priority::bigint[],
  :scheduled_at::bigint[], :created_at::bigint[], :timeout_us::bigint[], :max_retries::bigint[], :data::text[],
  :metadata::text[], :idempotency_key::text[], :delay::bigint[]
) AS n (
  bucket_id, attempt, saved, retries, crashes, suspect, placed, job_id, cluster_id, definition_id, lane, priority,
  scheduled_at, created_at, timeout_us, max_retries, data, metadata, idempotency_key, delay
)
ON CONFLICT DO NOTHING

-- name: bucket_claim_to
-- Waits for no disk: it is there for the time after the owner's death, which does not take the server along. Should both
-- go down at once, jobs beyond the bound on record are run again without a word about the attempt that was lost.
WITH {lives}
UPDATE {prefix}bucket SET claimed_ready_at = :ready_at, claimed_job_id = :job_id, claimed_in = {life}
WHERE id = :id AND epoch = :epoch AND COALESCE(taken, 0) = :taken
  AND set_config('synchronous_commit', 'off', true) IS NOT NULL

-- name: bucket_for_taking
-- After a crash of the server the bound may be an older one than the owner was told, until it writes the next.
SELECT b.claimed_ready_at, b.claimed_job_id FROM {prefix}bucket b
WHERE b.id = :id AND b.taken IS NOT NULL
  AND b.claimed_in = (SELECT l.id FROM {prefix}server_life l WHERE l.started_at = pg_postmaster_start_time())
{lock:b}
