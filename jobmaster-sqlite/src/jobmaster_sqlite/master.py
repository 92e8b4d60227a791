"""The SQLite master."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import anyio

from jobmaster.contracts import Capabilities
from jobmaster.data import encode
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import MetadataFilter, Operator
from jobmaster.news import NewsHub
from jobmaster_sql import SqlMaster, load_migrations, load_queries
from jobmaster_sqlite.address import parse_address
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver

_hubs: WeakValueDictionary[Path, NewsHub] = WeakValueDictionary()
_hubs_lock = Lock()


class SqliteMaster(SqlMaster):
    """A master in one file, for one host: threads, processes and event loops may share it."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_queries("jobmaster_sqlite", SqliteDialect(), options.table_prefix)
        self._news = _hub_of(address.path)
        self._sqlite = SqliteDriver(address, queries, options.store_timeout, self._news)
        super().__init__(self._sqlite, load_migrations("jobmaster_sqlite"), options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """It notices other processes' commits by looking at the file every 10 to 50 ms."""
        return Capabilities(notifications=True, migrations=True)

    async def announce(self, topics: Sequence[str]) -> None:
        """Tell listeners of this process. Others have seen the commit that came before."""
        await anyio.lowlevel.checkpoint()
        self._news.tell(topics)

    async def listen(
        self, topics: Sequence[str], on_news: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_news` for what this process announces, and with `Topics.ANY` for others' commits."""
        with self._news.listener(topics, on_news), self._sqlite.watching():
            on_ready()
            await anyio.sleep_forever()

    def _metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        value = list(wanted.value) if wanted.operator is Operator.IN else wanted.value
        encoded = encode({"value": value}).decode()
        return [("by_metadata", {"name": wanted.name, "operator": str(wanted.operator), "value": encoded})]


def _hub_of(path: Path) -> NewsHub:
    """Return the hub that all masters on one file share in this process."""
    with _hubs_lock:
        return _hubs.setdefault(path, NewsHub())
