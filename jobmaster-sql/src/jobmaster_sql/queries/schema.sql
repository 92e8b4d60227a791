-- What masters and agents share.

-- name: store_now
-- One clock decides what is due and who owns what: the store's.
SELECT {now}

-- name: migration_versions
SELECT version, name FROM {prefix}migration ORDER BY version

-- name: migration_add
INSERT INTO {prefix}migration (version, name, applied_at) VALUES (:version, :name, {now})

-- name: migration_patience
-- How long to wait for each lock from here on, where a database has one for each table.
SELECT :milliseconds

-- name: migration_serves
SELECT version, oldest, jobmaster FROM {prefix}migration_serves WHERE version > :newest

-- name: migration_serves_add
INSERT INTO {prefix}migration_serves (version, oldest, jobmaster) VALUES (:version, :oldest, :jobmaster)
