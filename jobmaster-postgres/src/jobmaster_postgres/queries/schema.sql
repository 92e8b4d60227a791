-- What masters and agents share.

-- name: migration_limit
SELECT set_config('statement_timeout', :milliseconds, true), set_config('lock_timeout', :milliseconds, true)

-- name: migration_lock
-- Held to the end of the transaction, so that it also works behind PgBouncer.
SELECT pg_advisory_xact_lock(hashtextextended(:lock, 7262463))

-- name: migration_patience
SELECT set_config('lock_timeout', :milliseconds, true)

-- name: migration_table
-- Reads the catalog rather than ask to_regclass(), which may remember an answer from before the lock.
SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = :table::name AND n.nspname = @schema_name@

-- name: notification_send
-- Not worth a wait for the disk: whoever misses the notifications polls.
SELECT pg_notify(:channel, payload), set_config('synchronous_commit', 'off', true)
FROM unnest(:payloads::text[]) AS payload

-- name: durability
-- What is in effect for this session, whoever set it: the server, the database, the role or the URL. A crash is to empty
-- the tables of the server's lives.
SELECT
    pg_catalog.current_setting('synchronous_commit'),
    pg_catalog.current_setting('synchronous_standby_names'),
    pg_catalog.current_setting('fsync'),
    pg_catalog.current_setting('full_page_writes'),
    pg_catalog.current_setting('default_transaction_read_only'),
    pg_catalog.pg_is_in_recovery(),
    ARRAY(
        SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'p') AND n.nspname = @schema_name@
            AND pg_catalog.starts_with(c.relname::pg_catalog.text, '{bare_prefix}')
            AND c.relname::pg_catalog.text NOT LIKE '%server\_life'
    )
