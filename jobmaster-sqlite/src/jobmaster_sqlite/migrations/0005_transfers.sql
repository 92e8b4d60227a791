-- What is on its way into a cluster: whole jobs and schedules that are on disk and no part of it yet. Rows live for
-- moments, and body is the only wide column.
CREATE TABLE {prefix}arrival (
  id TEXT NOT NULL,
  cluster_id TEXT NOT NULL,
  consignment TEXT NOT NULL,
  body TEXT NOT NULL,
  staged_at INTEGER NOT NULL,
  PRIMARY KEY (consignment, id, cluster_id)
) WITHOUT ROWID;

-- What a cluster gave up, until the one that it went to has admitted it.
CREATE TABLE {prefix}departure (
  id TEXT NOT NULL,
  cluster_id TEXT NOT NULL,
  consignment TEXT NOT NULL,
  target TEXT NOT NULL,
  departed_at INTEGER NOT NULL,
  PRIMARY KEY (consignment, id, cluster_id)
) WITHOUT ROWID;
CREATE INDEX {prefix}departure_by_cluster ON {prefix}departure (cluster_id, consignment);
CREATE INDEX {prefix}departure_by_id ON {prefix}departure (id);
