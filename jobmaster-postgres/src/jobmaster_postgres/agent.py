"""The PostgreSQL agent."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from jobmaster.contracts import Capabilities, DurabilityRisk, Message
from jobmaster.errors import StoreConflictError
from jobmaster.hookspecs import StoreOptions
from jobmaster.weighing import in_parts, new_weight
from jobmaster_postgres import durability
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.channel import Channel
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.inserting import ending_with
from jobmaster_postgres.pushing import push_any, push_steps
from jobmaster_postgres.schema import named
from jobmaster_sql import SqlAgent, Unit, agent_prefix, load_agent_queries
from jobmaster_sql.agent import push_patience

_PACKAGE = "jobmaster_postgres"


def _weight(message: Message) -> int:
    return new_weight(message.new)


class PostgresAgent(SqlAgent):
    """An agent on PostgreSQL 13 or newer, beside a master or on a server of its own."""

    def __init__(self, name: str, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_agent_queries(_PACKAGE, PostgresDialect(), options.table_prefix)
        driver = PostgresDriver(address, queries, options.store_timeout, agent_prefix(options.table_prefix))
        self._schema = address.schema
        self._channel = Channel(address, driver, f"{options.table_prefix}agent_news")
        super().__init__(name, driver, _PACKAGE, options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """Notifications unless PgBouncer pools transactions, and migrations."""
        return self._channel.capabilities

    async def _push(self, messages: Sequence[Message]) -> None:
        """Store messages that are all new; on a conflict, only the new ones among them."""
        try:
            limit = push_patience(messages)
            await self._driver.run(lambda: self._push_new(messages), time_limit=limit, again=False)
        except StoreConflictError:
            await super()._push(messages)

    def _push_new(self, messages: Sequence[Message]) -> Unit[None]:
        parts = list(in_parts(messages, _weight))
        for part in parts:
            yield ending_with(push_steps(part), last=part is parts[-1])

    def _add(self, messages: Sequence[Message]) -> Unit[None]:
        ordered = sorted(messages, key=lambda message: message.new.job.id)
        parts = list(in_parts(ordered, _weight))
        for part in parts:
            yield ending_with((push_any(part),), last=part is parts[-1])

    def migration_script(self) -> str:
        """Return the statements of all migrations. Names have the URL's schema, if it has one."""
        return named(super().migration_script(), self._schema)

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings in effect can lose a commit, or prevent writing."""
        return await self._driver.run(durability.ask, read_only=True)

    async def announce(self, topics: Sequence[str]) -> None:
        await self._channel.announce(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        await self._channel.listen(topics, on_notification, on_ready)
