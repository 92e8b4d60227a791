-- Conditions for the statements of history.sql that end in {where}.

-- name: by_status
{among:COALESCE(l.status, f.final_status):statuses:int}

-- name: by_live_status
{among:l.status:statuses:int}

-- name: by_final_status
{among:f.final_status:statuses:int}

-- name: by_definition
j.definition_id = :definition

-- name: by_lane
j.lane = :lane

-- name: by_priority
j.priority = :priority

-- name: by_scheduled_from
j.scheduled_at >= :scheduled_from

-- name: by_scheduled_to
j.scheduled_at < :scheduled_to

-- name: by_parked
l.parked IS NOT NULL

-- name: by_not_parked
l.parked IS NULL

-- name: by_after
j.id < :after

-- name: by_live_after
-- On the table that leads, so that its index ends the scan.
l.job_id < :after

-- name: by_final_after
f.job_id < :after
