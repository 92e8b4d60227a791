"""The PostgreSQL agent."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from jobmaster.contracts import Capabilities, Message
from jobmaster.errors import StoreConflictError
from jobmaster.hookspecs import StoreOptions
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.channel import Channel
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.pushing import push_any, push_steps
from jobmaster_sql import SqlAgent, Unit, load_agent_queries

_PACKAGE = "jobmaster_postgres"


class PostgresAgent(SqlAgent):
    """An agent on PostgreSQL 13 or newer, beside a master or on a server of its own."""

    def __init__(self, name: str, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_agent_queries(_PACKAGE, PostgresDialect(), options.table_prefix)
        driver = PostgresDriver(address, queries, options.store_timeout)
        self._channel = Channel(address, driver, f"{options.table_prefix}agent_news")
        super().__init__(name, driver, _PACKAGE, options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """News unless PgBouncer pools transactions, and migrations."""
        return self._channel.capabilities

    async def _push(self, messages: Sequence[Message]) -> None:
        """Store messages that are new, or else those among them that are."""
        try:
            await self._driver.run(lambda: self._push_new(messages), again=False)
        except StoreConflictError:
            await super()._push(messages)

    def _push_new(self, messages: Sequence[Message]) -> Unit[None]:
        yield push_steps(messages)

    def _add(self, messages: Sequence[Message]) -> Unit[None]:
        yield push_any(messages)

    async def announce(self, topics: Sequence[str]) -> None:
        await self._channel.announce(topics)

    async def listen(
        self, topics: Container[str], on_news: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        await self._channel.listen(topics, on_news, on_ready)
