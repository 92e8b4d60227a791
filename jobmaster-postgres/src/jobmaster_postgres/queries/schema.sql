-- What masters and agents share.

-- name: migration_limit
SELECT set_config('statement_timeout', :milliseconds, true), set_config('lock_timeout', :milliseconds, true)

-- name: migration_lock
-- Held to the end of the transaction, so that it also works behind PgBouncer.
SELECT pg_advisory_xact_lock(hashtextextended(:lock, 7262463))

-- name: migration_table
-- Reads the catalog rather than ask to_regclass(), which may remember an answer from before the lock.
SELECT 1 FROM pg_catalog.pg_class WHERE relname = :table AND pg_catalog.pg_table_is_visible(oid)

-- name: news_send
-- Not worth a wait for the disk: whoever misses the news polls.
SELECT pg_notify(:channel, payload), set_config('synchronous_commit', 'off', true)
FROM unnest(:payloads::text[]) AS payload
