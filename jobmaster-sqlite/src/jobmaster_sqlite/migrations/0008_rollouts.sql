-- serves: 8
-- From here on code runs on a schema that is newer than itself, as long as each migration that it does not know serves it.
-- Code of the release before looks at nothing of the kind: it refuses any newer schema, and nothing can be
-- done about that here. So this one serves itself only: it is applied when all is stopped, or when nothing of before is to start
-- again. `jobmaster` is the release that a migration came with; one without an entry here serves everybody.
CREATE TABLE {prefix}migration_serves (
  version INTEGER NOT NULL PRIMARY KEY,
  oldest INTEGER NOT NULL,
  jobmaster TEXT NOT NULL
);
