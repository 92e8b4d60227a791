-- When the next held job is due is read from live_held, a lane and priority at a time. Each insert of a held job, and
-- each assignment, has one index entry less to write.
DROP INDEX {prefix}live_held_next;
