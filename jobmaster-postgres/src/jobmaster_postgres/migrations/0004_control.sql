-- What people change while a cluster runs. It comes before what its processes were started with.
ALTER TABLE {prefix}cluster ADD COLUMN changes text NOT NULL DEFAULT '{}';
ALTER TABLE {prefix}cluster ADD COLUMN paused_lanes text NOT NULL DEFAULT '[]';

-- What a worker was asked to do. Few ever are, so that processes find theirs at once.
ALTER TABLE {prefix}worker ADD COLUMN request smallint;
CREATE INDEX {prefix}worker_requested ON {prefix}worker (process_id) WHERE request IS NOT NULL;
