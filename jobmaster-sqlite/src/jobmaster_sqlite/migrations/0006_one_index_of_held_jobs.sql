-- Each index is one more page that the commit of a new job writes. When the next held job is due is found in the index
-- that assigns them, at the first entry of each lane and priority: see held_next.
DROP INDEX {prefix}live_held_next;
