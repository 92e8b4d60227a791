-- What is on its way into a cluster: whole jobs and schedules that are on disk and no part of it yet. Rows live for
-- moments, and body is the only wide column.
CREATE TABLE {prefix}arrival (
  id uuid NOT NULL,
  cluster_id text NOT NULL,
  consignment uuid NOT NULL,
  body text NOT NULL,
  staged_at bigint NOT NULL,
  PRIMARY KEY (consignment, id, cluster_id)
);

-- What a cluster gave up, until the one that it went to has admitted it.
CREATE TABLE {prefix}departure (
  id uuid NOT NULL,
  cluster_id text NOT NULL,
  consignment uuid NOT NULL,
  target text NOT NULL,
  departed_at bigint NOT NULL,
  PRIMARY KEY (consignment, id, cluster_id)
);
CREATE INDEX {prefix}departure_by_cluster ON {prefix}departure (cluster_id, consignment);
CREATE INDEX {prefix}departure_by_id ON {prefix}departure (id);
