"""An agent on a SQL database: messages in tables of their own, independent of the master."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from jobmaster.contracts import AgentRepository, NotificationChannel
from jobmaster_sql.agent_buckets import SqlAgentBucketStore
from jobmaster_sql.agent_claims import SqlAgentClaimStore
from jobmaster_sql.asides import SqlAsideStore
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.message_rows import AGENT_MACROS
from jobmaster_sql.messages import SqlMessageStore
from jobmaster_sql.queries import Queries, check_prefix
from jobmaster_sql.repository import SqlRepository
from jobmaster_sql.schema import AGENTS, REQUIRED, SqlSchema
from jobmaster_sql.units import Answer, Query, Unit

AGENT_MIGRATIONS: Final = "agent_migrations"
"""The folder of a provider's package that holds the migrations of agents."""
_SOURCES: Final = ("queries/schema.sql", "agent_queries")


def agent_prefix(table_prefix: str) -> str:
    """Return the prefix of an agent's table names, which lets a master's tables lie beside them."""
    return f"{table_prefix}{AGENTS}"


def load_agent_queries(package: str, dialect: Dialect, table_prefix: str) -> Queries:
    """Return the base statements of agents, overridden by those of a provider's package.

    Raises `ConfigurationError` for a bad prefix, and `LookupError` if a statement is missing.
    """
    prefix = agent_prefix(check_prefix(table_prefix))
    pages = dialect.page_macros(AGENT_MACROS["claim_columns"])
    queries = Queries(
        ["jobmaster_sql", package], {**dialect.macros(prefix), **AGENT_MACROS, **pages}, _SOURCES
    )
    queries.require(REQUIRED)
    return queries


@frozen(kw_only=True)
class AgentStores:
    """The stores of an agent that a provider may write its own way; None stands for the portable one."""

    messages: SqlMessageStore | None = None
    claims: SqlAgentClaimStore | None = None


class SqlAgent(SqlRepository, AgentRepository):
    """An agent on a SQL database.

    A provider adds its driver, its schema, its notifications, its capabilities, and the stores that it writes its own way.
    """

    def __init__(
        self,
        name: str,
        driver: SqlDriver,
        schema: SqlSchema,
        notifications: NotificationChannel,
        stores: AgentStores,
    ) -> None:
        """`driver` is not opened here; all stores share it."""
        super().__init__(
            name=name,
            messages=stores.messages or SqlMessageStore(name, driver),
            claims=stores.claims or SqlAgentClaimStore(driver),
            asides=SqlAsideStore(driver),
            buckets=SqlAgentBucketStore(driver),
            notifications=notifications,
            schema=schema,
        )
        self._driver, self._schema = driver, schema

    async def fingerprint(self) -> str:
        """Return the fingerprint that the migration generated for this store."""
        return await self._driver.run(_fingerprint, read_only=True)


def _fingerprint() -> Unit[str]:
    answer: Answer = yield Query("fingerprint", last=True)
    return str(answer.rows[0][0])
