-- What masters and agents share.

-- name: store_now
-- One clock decides what is due and who owns what: the store's.
SELECT {now}

-- name: migration_versions
SELECT version, name FROM {prefix}migration ORDER BY version

-- name: migration_add
INSERT INTO {prefix}migration (version, name, applied_at) VALUES (:version, :name, {now})
