"""`Cluster`: what applications configure and run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from jobmaster._logs.debuglog import DebugLog
from jobmaster._process.files import OWNER_ONLY, checked_mode
from jobmaster._runtime.agents import Agents, Link, check_unlike
from jobmaster._runtime.cluster_setup import check_one_way, prepare_master, registered
from jobmaster._runtime.destination import Destination
from jobmaster._runtime.durability import Durability
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.host import host_record
from jobmaster._runtime.notifier import Notifier
from jobmaster._runtime.start_warnings import warn_of_settings
from jobmaster._runtime.static_schedules import declarations
from jobmaster._setup.cluster_run import ClusterRun
from jobmaster.clock import Clock, SystemClock
from jobmaster.config import (
    AgentOptions,
    AgentSettings,
    ClusterOptions,
    ModeName,
    Settings,
    WorkerOptions,
    WorkerSettings,
    check_known,
    check_name,
    cluster_mode,
    make,
    said_twice,
)
from jobmaster.config.targets import (
    ARCHIVE_TO,
    MOVE_TO,
    ArchiveTarget,
    MoveOptions,
    MoveTarget,
    check_elsewhere,
)
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import ConfigurationError
from jobmaster.handlers import Handler, JobHandler, Registry, registered_handlers
from jobmaster.hookspecs import hookimpl
from jobmaster.plugins import Plugins
from jobmaster.recurrence import Kinds
from jobmaster.recurrence.expressions import import_readers
from jobmaster.runtime import Runtime, find_runtime
from jobmaster.states import ClusterMode
from jobmaster.static_schedules import StaticSchedule
from jobmaster.urls import HIDDEN, StoreUrl, may_be_url, said, store_url

if TYPE_CHECKING:
    from jobmaster.sync import SyncScheduler


class NewClusterOptions(TypedDict, total=False):
    """Options of `Cluster.standalone` besides name and URL."""

    mode: ClusterMode | ModeName
    clock: Clock | None


class Cluster:
    """A cluster as this process takes part in it: settings, workers and handlers. Nothing runs yet.

    Every configuring method returns the cluster, so that calls can be chained. While the cluster runs they raise
    `ConfigurationError`, as they would have no effect.
    """

    def __init__(
        self,
        cluster_id: str,
        master: str,
        *,
        mode: ClusterMode | ModeName = ClusterMode.ACTIVE,
        clock: Clock | None = None,
    ) -> None:
        """Describe a cluster.

        Args:
            cluster_id: the cluster's name; several clusters may share one database.
            master: URL of the cluster database, for example `sqlite:///jobs.db`.
            mode: the initial mode of a cluster that is new to its master.
            clock: the process's clocks; only tests pass their own.

        Raises:
            ConfigurationError: the name or mode is invalid.

        """
        self.id = check_name("cluster id", cluster_id)
        self.master_url: StoreUrl = store_url(master)
        self.mode = cluster_mode(mode)
        self.settings = Settings()
        self.agents: list[AgentSettings] = []
        self.workers: list[WorkerSettings] = []
        self.move_target: MoveTarget | None = None
        self.archive_target: ArchiveTarget | None = None
        self._clock = clock or SystemClock()
        self._handlers: list[Handler | type[JobHandler]] | None = None
        self._schedules: list[StaticSchedule] = []
        self._plugins: list[object] = []
        self.debug_logs: list[DebugLog] = []
        self._runs: list[ClusterRun] = []
        self._started: ClusterRun | None = None

    @classmethod
    def standalone(cls, cluster_id: str, url: str, **options: Unpack[NewClusterOptions]) -> Cluster:
        """Describe a cluster that needs only one database; arguments and errors are those of `Cluster`."""
        check_known(f"cluster {said(cluster_id)}", options, ("mode", "clock"))
        return cls(cluster_id, url, **options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | Path) -> Cluster:
        """Build a cluster from a mapping, or from a TOML or JSON file; see `jobmaster._setup.fileconfig`.

        Relative paths in the URLs of a file are relative to its folder, those of a mapping to the working directory.
        """
        from jobmaster._setup.fileconfig import build_cluster

        return build_cluster(cls, config)

    # Configuring

    def _configuring(self, method: str) -> None:
        """Raise `ConfigurationError` if the cluster runs."""
        if any(run.is_on for run in self._runs):
            msg = (
                f"cluster {self.id!r} is running, and {method}() would change nothing of it; "
                "configure a cluster before it runs"
            )
            raise ConfigurationError(msg)

    def configure(self, **settings: Unpack[ClusterOptions]) -> Cluster:
        """Change settings, as listed in `jobmaster.config.Settings`; raises `ConfigurationError`."""
        self._configuring("configure")
        present = {name: getattr(self.settings, name) for name in _setting_names()}
        self.settings = make(Settings, f"cluster {self.id!r}", {**present, **settings})
        return self

    def add_agent(self, name: str, url: str, **settings: Unpack[AgentOptions]) -> Cluster:
        """Add an agent, which makes the cluster distributed: new jobs go to agents, and each worker names its agent.

        Args:
            name: unique in the cluster, and never reused for another store.
            url: where the agent's store is, for example `postgresql://host/database`.
            settings: `weight`, `repoint`, `table_prefix`, `store_options`: see `jobmaster.config.AgentSettings`.

        Raises:
            ConfigurationError: the name is taken or invalid, or a setting is wrong.

        """
        self._configuring("add_agent")
        agent = make(AgentSettings, f"agent {said(name)}", {"name": name, "url": url, **settings})
        check_unlike(agent.name, [other.name for other in self.agents])
        self.agents.append(agent)
        return self

    def add_worker(self, **settings: Unpack[WorkerOptions]) -> Cluster:
        """Add a worker that runs in this process.

        Args:
            settings: `name`, `agent`, `lane`, `mode`, `batch_size`, `batch_bytes`, `buckets`, and `parallelism` or
                `concurrency`: see `jobmaster.config.WorkerSettings`.

        Raises:
            ConfigurationError: a setting is wrong, or another worker has the name.

        """
        self._configuring("add_worker")
        where = f"worker {_worker_in(settings, len(self.workers) + 1)}"
        if settings.get("parallelism") is not None and settings.get("concurrency") is not None:
            raise ConfigurationError(f"{where}: {said_twice()}")
        worker = make(WorkerSettings, where, settings)
        if worker.name is not None and worker.name in {other.name for other in self.workers}:
            msg = f"worker {worker.name!r} is added twice; names are unique in a cluster"
            raise ConfigurationError(msg)
        self.workers.append(worker)
        return self

    def move_to(self, url: str, cluster_id: str | None = None, **settings: Unpack[MoveOptions]) -> Cluster:
        """Set the target that this cluster moves to while its mode is `migrating`.

        Its held jobs and its schedules move, with their ids and everything that belongs to them. Processes with a
        coordinating worker move them.

        Args:
            url: the target's cluster database.
            cluster_id: the target's name; by default this cluster's. It is created if it does not exist.
            settings: `mode`, `keep_keys`, `history`: see `jobmaster.config.targets.MoveTarget`.

        Raises:
            ConfigurationError: the target is this cluster, or a setting is wrong.

        """
        self._configuring("move_to")
        self.move_target = self.target(url, cluster_id, **settings)
        return self

    def archive_to(self, url: str, cluster_id: str | None = None) -> Cluster:
        """Set the archive that finished jobs and ended schedules move to after `retention`, instead of being deleted.

        The archive is a cluster in the mode `archived`: it can be read, and runs nothing. It is created if it does not
        exist. Processes with workers do the archiving; configure all of them, or another one deletes.

        Args:
            url: the archive's cluster database.
            cluster_id: the archive's name; by default this cluster's.

        Raises:
            ConfigurationError: the archive is this cluster, or a value is wrong.

        """
        self._configuring("archive_to")
        given = {"url": url, "cluster_id": cluster_id}
        self.archive_target = make(ArchiveTarget, ARCHIVE_TO, given)
        check_elsewhere(ARCHIVE_TO, self.archive_target, self.id, self.master_url)
        return self

    def target(self, url: str, cluster_id: str | None = None, **settings: Unpack[MoveOptions]) -> MoveTarget:
        """Return a target for `Runtime.move`; takes the same arguments and raises the same errors as `move_to`."""
        target = make(MoveTarget, MOVE_TO, {"url": url, "cluster_id": cluster_id, **settings})
        check_elsewhere(MOVE_TO, target, self.id, self.master_url)
        return target

    def add_handlers(self, *handlers: Handler | type[JobHandler]) -> Cluster:
        """Serve only these handlers, instead of all that this process has decorated; none if none are given."""
        self._configuring("add_handlers")
        self._handlers = [*(self._handlers or ()), *handlers]
        return self

    def add_schedules(self, *schedules: StaticSchedule) -> Cluster:
        """Declare static schedules, besides those on handlers; raises `ConfigurationError` for a name used twice."""
        self._configuring("add_schedules")
        for schedule in schedules:
            if not isinstance(schedule, StaticSchedule):
                msg = f"add_schedules takes StaticSchedule(name, handler, expression) objects, not {said(schedule)}"
                raise ConfigurationError(msg)
            if schedule.name in {other.name for other in self._schedules}:
                msg = f"schedule {schedule.name!r} is added twice; names are unique in a cluster"
                raise ConfigurationError(msg)
            self._schedules.append(schedule)
        return self

    def use(self, *plugins: object) -> Cluster:
        """Add plug-ins (modules or objects with `@hookimpl` methods) besides the installed ones."""
        self._configuring("use")
        self._plugins += plugins
        return self

    def build_handlers_with(self, build: Callable[[type[Any]], Any]) -> Cluster:
        """Have class-form handlers built by `build(handler_class)`; it may return None to pass."""
        return self.use(_Builder(build))

    def debug_jsonl(self, folder: str | Path, *, file_mode: int = OWNER_ONLY) -> Cluster:
        """Have each process write everything it logs and does with jobs into `folder`, as JSON lines.

        The file is `<cluster>-<pid>.jsonl`; it is rotated at 20 MiB, and five older files are kept. While the cluster
        runs, the logger `jobmaster` lets lines of every level through.

        Args:
            folder: created if it does not exist, for its owner only.
            file_mode: the mode of new files, such as `0o640`; by default only their owner may read and write them.

        Raises:
            ConfigurationError: the mode is not valid for a file. At the start: the file cannot be written, is a link,
                or belongs to another user.

        """
        self._configuring("debug_jsonl")
        log = DebugLog(Path(folder), self.id, checked_mode("debug_jsonl: file_mode", file_mode))
        self.debug_logs.append(log)
        return self.use(log)

    # Running

    @asynccontextmanager
    async def running(self, *, workers: bool = True) -> AsyncIterator[Runtime]:
        """Run the cluster within the block: `async with cluster.running() as runtime`.

        At the end running jobs get `stop_grace` seconds; the rest is given back without using a retry. The block may be
        entered in one task and left in another task of the same event loop.

        Args:
            workers: False to only schedule and look.

        Raises:
            ConfigurationError: something in the configuration is wrong; nothing was started.
            StoreUnavailableError: the master cannot be reached.

        """
        run = self._new_run(workers=workers)
        runtime = await run.start()
        try:
            yield runtime
        finally:
            await run.stop()

    async def start(self, *, workers: bool = True) -> Runtime:
        """Run the cluster until `stop`, where a block does not fit: `running` for hooks, fixtures and notebooks.

        Both may be called in any task of one event loop. If the loop ends first, the cluster stops with it. Takes the
        same arguments and raises the same errors as `running`; also raises `ConfigurationError` if the cluster was
        already started.
        """
        if self._started is not None and self._started.is_on:
            msg = f"cluster {self.id!r} has been started already; await stop() first, or use that runtime"
            raise ConfigurationError(msg)
        run = self._started = self._new_run(workers=workers)
        return await run.start()

    async def stop(self) -> None:
        """Stop what `start` started, as gracefully as `running` does, and wait until it has stopped.

        Does nothing if nothing was started here, or if it has stopped. Raises the error that made the cluster fail
        while it ran, if there was one, and `NotRunningError` in a different event loop than that of `start`.
        """
        if self._started is not None:
            await self._started.stop()

    def _new_run(self, *, workers: bool) -> ClusterRun:
        import_ahead()
        run = ClusterRun(self, workers=workers)
        self._runs = [one for one in self._runs if one.is_on] + [run]
        return run

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[dict[str, Runtime]]:
        """Run the cluster for as long as an ASGI application runs: `FastAPI(lifespan=cluster.lifespan)`.

        The runtime is `app.state.jobmaster`, and `request.state.jobmaster` if the framework passes on the lifespan state.
        """
        async with self.running() as runtime:
            if hasattr(app, "state"):
                app.state.jobmaster = runtime
            yield {"jobmaster": runtime}

    def sync_scheduler(self) -> SyncScheduler:
        """Return the scheduling verbs for code without an event loop; use it as a context manager."""
        from jobmaster.sync import SyncScheduler

        return SyncScheduler(self)

    def open_master(self) -> MasterRepository:
        """Return the master's repository, not yet opened; raises `ConfigurationError` for a bad URL."""
        return Plugins(self._plugins).master(self.master_url, self.settings)

    def open_agents(self, plugins: Plugins | None = None) -> list[AgentRepository]:
        """Return the repositories of the agents, not yet opened; raises `ConfigurationError` for a bad URL."""
        found = plugins or Plugins(self._plugins)
        return [self._open_agent(found, agent) for agent in self.agents]

    def _open_agent(self, plugins: Plugins, agent: AgentSettings) -> AgentRepository:
        try:
            return plugins.agent(agent.name, agent.url, agent.options(self.settings))
        except ConfigurationError as error:
            if f"agent {agent.name!r}" in str(error):
                raise
            msg = f"agent {agent.name!r}: {error}"
            raise ConfigurationError(msg) from error

    def kinds(self) -> Kinds:
        """Return the kinds of recurrence that the cluster's plug-ins provide, the built-in ones included."""
        return Plugins(self._plugins).kinds

    def environment(self, *, serving: bool) -> Environment:
        """Return what the parts of one run share, not yet opened; raises `ConfigurationError`.

        Handlers that happen to be loaded do not stop a process without workers from starting.
        """
        chooses = serving or self._handlers is not None
        plugins = Plugins(self._plugins)
        master = plugins.master(self.master_url, self.settings)
        notify = Notifier(master)
        durability = Durability(self.id, self.settings.require_durable)
        links, monotonic = self._links(plugins), self._clock.monotonic
        env = Environment(
            cluster_id=self.id,
            settings=self.settings,
            plugins=plugins,
            master=master,
            agents=Agents(self.id, master, links, notify, monotonic, durability.check),
            notify=notify,
            registry=Registry(
                registered_handlers() if self._handlers is None else self._handlers, serving=chooses
            ),
            serves=chooses,
            clock=self._clock,
            durability=durability,
            observers=plugins.observers(),
            move_to=self._destination(self.move_target, master, plugins),
            archive_to=self._destination(self.archive_target, master, plugins),
        )
        env.declarations = declarations(env, self._schedules)
        return env

    def _destination(
        self, target: MoveTarget | ArchiveTarget | None, master: MasterRepository, plugins: Plugins
    ) -> Destination | None:
        return None if target is None else Destination(self.id, master, target, plugins, self.settings)

    def _links(self, plugins: Plugins) -> list[Link]:
        """Return the agents, not yet opened; raises `ConfigurationError` for a bad URL."""
        repositories = self.open_agents(plugins)
        return [
            Link(settings, repository, Notifier(repository))
            for settings, repository in zip(self.agents, repositories, strict=True)
        ]

    async def join(self, env: Environment, workers: Sequence[WorkerSettings]) -> None:
        """Open the stores, check or migrate their schemas, and register the cluster with its agents and this host."""
        await prepare_master(env, self.master_url)
        # A process with workers sets the cluster's settings; others leave them alone.
        env.follow(await registered(env, self.mode, settles=bool(workers)))
        if env.settings != self.settings:  # static schedules use the changed settings too
            env.declarations = declarations(env, self._schedules)
        await env.agents.join_all(migrate=self.settings.auto_migrate)
        if workers:
            await check_one_way(env)
            warn_of_settings(env, self.master_url, self.agents)
            await env.master.members.register_host(host_record(self.id, env.host))


class _Builder:
    """A plug-in that consists of one function that builds handlers."""

    def __init__(self, build: Callable[[type[Any]], Any]) -> None:
        self._build = build

    @hookimpl
    def jobmaster_build_handler(self, handler_class: type[Any]) -> Any:
        return self._build(handler_class)


def _worker_in(settings: Mapping[str, Any], number: int) -> str:
    """Return how messages call a worker: by its name or its number."""
    name = settings.get("name")
    return HIDDEN if isinstance(name, str) and may_be_url(name) else f"{name or number}"


def import_ahead() -> None:
    """Import what a running cluster may need at any time: an import while jobs run would block the event loop.

    Such an import also looks for modules that are not installed, and must not find them in an application's folder.
    """
    import typeguard  # noqa: F401 - imported for its sake

    import_readers()


def _setting_names() -> list[str]:
    return [attribute.name for attribute in Settings.__attrs_attrs__]


__all__ = ["Cluster", "Runtime", "find_runtime"]
