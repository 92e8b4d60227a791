-- What masters and agents share.

-- name: migration_limit
-- The driver interrupts what takes too long; the file needs no telling.
SELECT :milliseconds

-- name: migration_lock
-- A unit that writes holds the file's one write lock from its first statement on.
SELECT :lock

-- name: migration_table
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :table

-- name: durability_synchronous
PRAGMA synchronous

-- name: durability_journal
PRAGMA journal_mode
