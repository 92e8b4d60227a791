"""`Cluster`: what applications configure and run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from jobmaster._runtime.agents import Agents, Link, check_unlike
from jobmaster._runtime.cluster_setup import check_one_way, prepare_master, registered
from jobmaster._runtime.destination import Destination
from jobmaster._runtime.durability import Durability
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.host import host_record
from jobmaster._runtime.notifier import Notifier
from jobmaster._runtime.start_warnings import warn_of_settings
from jobmaster._runtime.static_schedules import declarations
from jobmaster.clock import Clock, SystemClock
from jobmaster.cluster_run import ClusterRun
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
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.debuglog import DebugLog
from jobmaster.errors import ConfigurationError
from jobmaster.files import OWNER_ONLY, checked_mode
from jobmaster.handlers import Handler, JobHandler, Registry, registered_handlers
from jobmaster.hookspecs import hookimpl
from jobmaster.plugins import Plugins
from jobmaster.recurrence import Kinds
from jobmaster.recurrence.expressions import import_readers
from jobmaster.runtime import Runtime, find_runtime, find_scheduler
from jobmaster.states import ClusterMode
from jobmaster.static_schedules import StaticSchedule
from jobmaster.targets import ARCHIVE_TO, MOVE_TO, ArchiveTarget, MoveOptions, MoveTarget, check_elsewhere
from jobmaster.urls import HIDDEN, StoreUrl, may_be_url, said, store_url

if TYPE_CHECKING:
    from jobmaster.sync import SyncScheduler


class NewClusterOptions(TypedDict, total=False):
    """What `Cluster.standalone` can be told besides name and URL."""

    mode: ClusterMode | ModeName
    clock: Clock | None


class Cluster:
    """A cluster as this process takes part in it: settings, workers, handlers. Nothing runs yet.

    Every configuring method returns the cluster, so that calls can be chained. While it runs they raise
    `ConfigurationError`: they would change nothing of it.
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
            mode: what a cluster that is new to its master starts as.
            clock: the process's clocks; only tests hand in their own.

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
        """Describe a cluster that needs one database and nothing else; takes and raises what `Cluster` does."""
        check_known(f"cluster {said(cluster_id)}", options, ("mode", "clock"))
        return cls(cluster_id, url, **options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | Path) -> Cluster:
        """Build a cluster from a mapping, or from a TOML or JSON file; see `jobmaster.fileconfig`.

        Relative paths in the URLs of a file start from its folder, those of a mapping from the working directory.
        """
        from jobmaster.fileconfig import build_cluster

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
        """Add an agent, which makes the cluster a distributed one: new jobs land there, and workers name theirs.

        Args:
            name: unique in the cluster, and never given to another store.
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
            ConfigurationError: a setting is wrong, or the name is that of another worker.

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
        """Say where this cluster moves to while its mode is `migrating`.

        Its held jobs and its schedules move, with their ids and all that belongs to them. Processes with a
        coordinating worker see to it.

        Args:
            url: the target's cluster database.
            cluster_id: the target's name; the same as here if not given. It is made if it is not there.
            settings: `mode`, `keep_keys`, `history`: see `jobmaster.targets.MoveTarget`.

        Raises:
            ConfigurationError: the target is this cluster, or a setting is wrong.

        """
        self._configuring("move_to")
        self.move_target = self.target(url, cluster_id, **settings)
        return self

    def archive_to(self, url: str, cluster_id: str | None = None) -> Cluster:
        """Say where finished jobs and schedules that are over move after `retention`, instead of being deleted.

        The archive is a cluster of the mode `archived`: one can look at it, and it runs nothing. It is made if it
        is not there. Processes with workers see to it; tell all of them, or another one deletes.

        Args:
            url: the archive's cluster database.
            cluster_id: the archive's name; the same as here if not given.

        Raises:
            ConfigurationError: the archive is this cluster, or a value is wrong.

        """
        self._configuring("archive_to")
        given = {"url": url, "cluster_id": cluster_id}
        self.archive_target = make(ArchiveTarget, ARCHIVE_TO, given)
        check_elsewhere(ARCHIVE_TO, self.archive_target, self.id, self.master_url)
        return self

    def target(self, url: str, cluster_id: str | None = None, **settings: Unpack[MoveOptions]) -> MoveTarget:
        """Return a target for `Runtime.migrate`; takes and raises what `move_to` does."""
        target = make(MoveTarget, MOVE_TO, {"url": url, "cluster_id": cluster_id, **settings})
        check_elsewhere(MOVE_TO, target, self.id, self.master_url)
        return target

    def add_handlers(self, *handlers: Handler | type[JobHandler]) -> Cluster:
        """Serve these handlers only, instead of every one that this process has decorated; none if none is given."""
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
        """Have each process write all it logs and does with jobs into `folder`, as JSON lines.

        The file is `<cluster>-<pid>.jsonl`; at 20 MiB it is moved aside, and five of those are kept. While the
        cluster runs, the logger `jobmaster` lets lines of every level through.

        Args:
            folder: made if it is not there, for its owner alone.
            file_mode: who may read and write the files that are made, such as `0o640`; by default their owner alone.

        Raises:
            ConfigurationError: the mode is none of a file. At the start: the file cannot be written, is a link, or
                belongs to another user.

        """
        self._configuring("debug_jsonl")
        log = DebugLog(Path(folder), self.id, checked_mode("debug_jsonl: file_mode", file_mode))
        self.debug_logs.append(log)
        return self.use(log)

    # Running

    @asynccontextmanager
    async def running(self, *, workers: bool = True) -> AsyncIterator[Runtime]:
        """Run the cluster within the block: `async with cluster.running() as runtime`.

        At the end running jobs get `stop_grace` seconds; what is left goes back without using a retry. The block may
        be entered in one task and left in another one of the same event loop.

        Args:
            workers: False to schedule and look only.

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

        Both may be called in any task of one event loop. If that ends first, the cluster stops with it. Takes and
        raises what `running` does; raises `ConfigurationError` as well if it was started already.
        """
        if self._started is not None and self._started.is_on:
            msg = f"cluster {self.id!r} has been started already; await stop() first, or use that runtime"
            raise ConfigurationError(msg)
        run = self._started = self._new_run(workers=workers)
        return await run.start()

    async def stop(self) -> None:
        """Stop what `start` started, gracefully as `running` does at its end, and wait until it has.

        Does nothing if nothing was started here, or if it has stopped. Raises what made the cluster fail while it ran,
        if anything did, and `NotRunningError` in another event loop than that of `start`.
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

        The runtime is `app.state.jobmaster`, and `request.state.jobmaster` where the framework passes
        lifespan state on.
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
        """Return the kinds of recurrence that the cluster's plug-ins bring, the built-in ones included."""
        return Plugins(self._plugins).kinds

    def environment(self, *, serving: bool) -> Environment:
        """Return what the parts of one run share, nothing of it opened; raises `ConfigurationError`.

        A process that runs no worker is not held up by handlers that happen to be in it.
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
        """Open the stores, see to their schemas, register the cluster with its agents and this host."""
        await prepare_master(env, self.master_url)
        # Who has workers brings the cluster's settings; others leave them alone.
        env.follow(await registered(env, self.mode, settles=bool(workers)))
        if env.settings != self.settings:  # static schedules too are made with what was changed
            env.declarations = declarations(env, self._schedules)
        await env.agents.join_all(migrate=self.settings.auto_migrate)
        if workers:
            await check_one_way(env)
            warn_of_settings(env, self.master_url, self.agents)
            await env.master.register_host(host_record(self.id, env.host))


class _Builder:
    """A plug-in made of one function that builds handlers."""

    def __init__(self, build: Callable[[type[Any]], Any]) -> None:
        self._build = build

    @hookimpl
    def jobmaster_build_handler(self, handler_class: type[Any]) -> Any:
        return self._build(handler_class)


def _worker_in(settings: Mapping[str, Any], number: int) -> str:
    """Return what to call a worker in messages, by its name or its number."""
    name = settings.get("name")
    return HIDDEN if isinstance(name, str) and may_be_url(name) else f"{name or number}"


def import_ahead() -> None:
    """Import what a running cluster may need at any time: amid its jobs, that would hold up the event loop.

    It also looks for modules that are not installed, and an application's folder is no place to find them in.
    """
    import typeguard  # noqa: F401 - imported for its sake

    import_readers()


def _setting_names() -> list[str]:
    return [attribute.name for attribute in Settings.__attrs_attrs__]


__all__ = ["Cluster", "Runtime", "find_runtime", "find_scheduler"]
