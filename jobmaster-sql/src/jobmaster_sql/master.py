"""A master on a SQL database: its statements, and its stores."""

from __future__ import annotations

from attrs import frozen

from jobmaster.contracts import MasterRepository, NotificationChannel
from jobmaster_sql.assignments import SqlAssignmentStore
from jobmaster_sql.buckets import SqlBucketStore
from jobmaster_sql.claims import SqlClaimStore
from jobmaster_sql.clusters import SqlClusterStore
from jobmaster_sql.control import SqlControlStore
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.handovers import SqlHandoverStore
from jobmaster_sql.jobs import SqlJobStore
from jobmaster_sql.logs import SqlLogStore
from jobmaster_sql.macros import CODE_MACROS, bucket_macros
from jobmaster_sql.members import SqlMemberStore
from jobmaster_sql.outcomes import SqlOutcomeStore
from jobmaster_sql.queries import Queries, check_prefix
from jobmaster_sql.repository import SqlRepository
from jobmaster_sql.requests import SqlRequestStore
from jobmaster_sql.rescue import SqlRescueStore
from jobmaster_sql.rows import CLAIM_COLUMNS, COLUMN_MACROS, record_macros
from jobmaster_sql.schedules import SqlScheduleStore, job_macros
from jobmaster_sql.schema import REQUIRED, SqlSchema
from jobmaster_sql.transfers import SqlTransferStore
from jobmaster_sql.workers import SqlWorkerStore


def load_queries(package: str, dialect: Dialect, prefix: str) -> Queries:
    """Return the base statements, overridden by those of a provider's package.

    Raises `ConfigurationError` for a bad prefix, and `LookupError` if a statement is missing.
    """
    macros, names = dialect.macros(check_prefix(prefix)), dialect.names(prefix)
    own = {**bucket_macros(dialect, names), **job_macros(dialect, names), **record_macros(names)}
    own |= dialect.page_macros(CLAIM_COLUMNS)
    queries = Queries(["jobmaster_sql", package], {**macros, **CODE_MACROS, **COLUMN_MACROS, **own})
    queries.require(REQUIRED)
    return queries


@frozen(kw_only=True)
class MasterStores:
    """The stores of a master that a provider may write its own way; None stands for the portable one.

    Each class names its override points. How jobs are found by their metadata has no portable form.
    """

    jobs: SqlJobStore
    workers: SqlWorkerStore | None = None
    assignments: SqlAssignmentStore | None = None
    handovers: SqlHandoverStore | None = None
    outcomes: SqlOutcomeStore | None = None


class SqlMaster(SqlRepository, MasterRepository):
    """A master on a SQL database.

    A provider adds its driver, its schema, its notifications, its capabilities, and the stores that it writes its own
    way.
    """

    def __init__(
        self, driver: SqlDriver, schema: SqlSchema, notifications: NotificationChannel, stores: MasterStores
    ) -> None:
        """`driver` is not opened here; all stores share it."""
        super().__init__(
            clusters=SqlClusterStore(driver),
            members=SqlMemberStore(driver),
            control=SqlControlStore(driver),
            workers=stores.workers or SqlWorkerStore(driver),
            buckets=SqlBucketStore(driver),
            claims=SqlClaimStore(driver),
            rescue=SqlRescueStore(driver),
            jobs=stores.jobs,
            assignments=stores.assignments or SqlAssignmentStore(driver),
            handovers=stores.handovers or SqlHandoverStore(driver),
            outcomes=stores.outcomes or SqlOutcomeStore(driver),
            requests=SqlRequestStore(driver),
            schedules=SqlScheduleStore(driver),
            transfers=SqlTransferStore(driver),
            logs=SqlLogStore(driver),
            notifications=notifications,
            schema=schema,
        )
        self._driver, self._schema = driver, schema
