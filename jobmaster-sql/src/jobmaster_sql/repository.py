"""The shared master repository: all parts combined."""

from __future__ import annotations

from jobmaster.contracts import MasterRepository
from jobmaster_sql.arrivals import SqlTargetStore
from jobmaster_sql.buckets import SqlBucketStore, bucket_macros
from jobmaster_sql.clusters import SqlClusterStore
from jobmaster_sql.control import SqlControlStore
from jobmaster_sql.driver import Dialect
from jobmaster_sql.handovers import SqlHandoverStore
from jobmaster_sql.history import SqlHistoryStore
from jobmaster_sql.jobs import SqlJobStore
from jobmaster_sql.members import SqlMemberStore
from jobmaster_sql.queries import Queries, check_prefix
from jobmaster_sql.reports import SqlReportStore
from jobmaster_sql.requests import SqlRequestStore
from jobmaster_sql.rows import CLAIM_COLUMNS, COLUMN_MACROS, record_macros
from jobmaster_sql.schedules import SqlScheduleStore, job_macros
from jobmaster_sql.store import REQUIRED
from jobmaster_sql.transfers import SqlSourceStore


def load_queries(package: str, dialect: Dialect, prefix: str) -> Queries:
    """Return the base statements, overridden by those of a provider's package.

    Raises `ConfigurationError` for a bad prefix, and `LookupError` if a statement is missing.
    """
    macros, names = dialect.macros(check_prefix(prefix)), dialect.names(prefix)
    own = {**bucket_macros(dialect, names), **job_macros(dialect, names), **record_macros(names)}
    own |= dialect.page_macros(CLAIM_COLUMNS)
    queries = Queries(["jobmaster_sql", package], {**macros, **COLUMN_MACROS, **own})
    queries.require(REQUIRED)
    return queries


class SqlMaster(
    SqlClusterStore,
    SqlControlStore,
    SqlMemberStore,
    SqlBucketStore,
    SqlReportStore,
    SqlHistoryStore,
    SqlHandoverStore,
    SqlRequestStore,
    SqlJobStore,
    SqlScheduleStore,
    SqlSourceStore,
    SqlTargetStore,
    MasterRepository,
):
    """A master on a SQL database.

    A provider adds its driver, its migrations, notifications (`announce` and `listen`), its capabilities and how it
    compares metadata.
    """
