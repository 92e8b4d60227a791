"""The cluster at the other end of a move: opened when needed, and checked to be the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from jobmaster._runtime.durability import Durability
from jobmaster._upkeep.transfer import Route
from jobmaster.config.targets import ARCHIVE_TO, MOVE_TO, ArchiveTarget, MoveTarget, itself
from jobmaster.contracts import ClusterChange, MasterRepository
from jobmaster.errors import ConfigurationError, SchemaError
from jobmaster.models import ClusterRecord
from jobmaster.states import ClusterMode

if TYPE_CHECKING:
    from jobmaster.config import Settings
    from jobmaster.plugins import Plugins
    from jobmaster.urls import StoreUrl


@frozen(kw_only=True)
class _Wanted:
    """What a target must be: the mode it starts in if it is new, and the modes it may be in if it is not."""

    setting: str
    url: StoreUrl
    cluster_id: str | None
    new: ClusterMode
    allowed: frozenset[ClusterMode]
    keep_keys: bool

    def check(self, record: ClusterRecord) -> None:
        """Raise `ConfigurationError` if the cluster's mode does not allow this."""
        if record.mode not in self.allowed:
            modes = " or ".join(sorted(self.allowed))
            msg = (
                f"{self.setting}: cluster {record.id!r} is {record.mode}, but must be {modes}; "
                "change its mode, or give another cluster_id"
            )
            raise ConfigurationError(msg)


def _wanted(target: MoveTarget | ArchiveTarget) -> _Wanted:
    if isinstance(target, ArchiveTarget):
        return _Wanted(
            setting=ARCHIVE_TO,
            url=target.url,
            cluster_id=target.cluster_id,
            new=ClusterMode.ARCHIVED,
            allowed=frozenset({ClusterMode.ARCHIVED}),
            keep_keys=False,
        )
    return _Wanted(
        setting=MOVE_TO,
        url=target.url,
        cluster_id=target.cluster_id,
        new=target.mode,
        allowed=frozenset({ClusterMode.PASSIVE, ClusterMode.ACTIVE}),
        keep_keys=target.keep_keys,
    )


@define(eq=False)
class Destination:
    """A target of one process, with its own connections."""

    source_id: str
    source: MasterRepository
    target: MoveTarget | ArchiveTarget
    plugins: Plugins
    settings: Settings
    _master: MasterRepository | None = field(default=None, init=False)
    _route: Route | None = field(default=None, init=False)

    @property
    def history(self) -> bool:
        """Whether finished jobs and schedules move too."""
        return isinstance(self.target, MoveTarget) and self.target.history

    async def route(self) -> Route:
        """Return the route, after checking that it leads to the right cluster, which is created if necessary.

        Raises `StoreUnavailableError` if the target cannot be reached, `ConfigurationError` if it is the source
        itself or its mode does not allow this, `SchemaError` if its schema is old and must not be migrated.
        """
        if self._route is None:
            self._route = await self._find()
        return self._route

    async def close(self) -> None:
        """Close all connections."""
        self._route = None
        if self._master is not None:
            await self._master.close()

    async def _find(self) -> Route:
        wanted = _wanted(self.target)
        master = await self._open(wanted)
        source = await self.source.clusters.get(self.source_id)
        record = await self._record(master, wanted, source)
        if source is not None and (source.id, source.created_at) == (record.id, record.created_at):
            raise itself(wanted.setting, self.source_id)
        wanted.check(record)
        return Route(
            source_id=self.source_id,
            source=self.source,
            target_id=record.id,
            target=master,
            destination=f"cluster {record.id!r}, registered {record.created_at}",
            keep_keys=wanted.keep_keys,
        )

    async def _open(self, wanted: _Wanted) -> MasterRepository:
        if self._master is None:
            self._master = self.plugins.master(wanted.url, self.settings, wanted.setting)
        await self._master.open()
        await Durability(self.source_id, self.settings.require_durable).check(wanted.setting, self._master)
        if self.settings.auto_migrate:
            await self._master.schema.migrate()
        elif pending := await self._master.schema.pending():
            remedy = "run `jobmaster migrate` on it, or set auto_migrate=True"
            raise SchemaError.behind(f"{wanted.setting}: the schema there", pending, remedy)
        return self._master

    async def _record(
        self, master: MasterRepository, wanted: _Wanted, source: ClusterRecord | None
    ) -> ClusterRecord:
        """Return the target as its master knows it; a new one gets the settings of the source.

        On a move it also gets the settings that were changed at runtime, and the paused lanes.
        """
        cluster_id = wanted.cluster_id or self.source_id
        known = await master.clusters.get(cluster_id)
        if known is not None:
            return known
        settings = source.settings if source is not None else {}
        record = await master.clusters.register(
            ClusterRecord(id=cluster_id, mode=wanted.new, settings=settings)
        )
        if source is None or wanted.setting == ARCHIVE_TO:
            return record
        change = ClusterChange(settings=source.changes, pause=sorted(source.paused_lanes))
        return await master.control.change_cluster(cluster_id, change) or record
