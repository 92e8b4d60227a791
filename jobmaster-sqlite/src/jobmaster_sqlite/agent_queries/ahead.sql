-- name: message_ahead
-- See jobmaster_sqlite.ahead. What was due at once, and what is tried again: its delay counts from now. There are few
-- messages at any time.
UPDATE {prefix}message SET ready_at = {now} + (ready_at - pushed_at), pushed_at = {now}
WHERE pushed_at > {now} + :slack AND (ready_at = pushed_at OR attempt > 1)
