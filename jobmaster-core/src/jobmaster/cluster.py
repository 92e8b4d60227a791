"""`Cluster`: what applications configure and run."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from jobmaster._pipeline.schedule import Schedule
from jobmaster._runtime.agents import Agents, Link
from jobmaster._runtime.destination import Destination
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.host import host_record
from jobmaster._runtime.moving import Move, MoveSummary
from jobmaster._runtime.notify import Notify
from jobmaster._runtime.supervisor import Supervisor
from jobmaster._runtime.worker import RunningWorker
from jobmaster._upkeep.declare import Declaration
from jobmaster._upkeep.migrate import MoveResult
from jobmaster.clock import Clock, SystemClock
from jobmaster.config import AgentSettings, Settings, WorkerSettings, check_name, cluster_mode, make
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.control_verbs import ControlVerbs
from jobmaster.debuglog import DebugLog
from jobmaster.errors import ConfigurationError, NotRunningError, SchemaError
from jobmaster.handlers import Registry, registered_handlers
from jobmaster.hookspecs import hookimpl
from jobmaster.ids import named_id
from jobmaster.jobs import Jobs
from jobmaster.models import (
    STANDALONE,
    AgentRecord,
    Bucket,
    ClusterRecord,
    HostRecord,
    Job,
    WorkerRecord,
    evolve,
)
from jobmaster.plugins import Plugins
from jobmaster.profiles import StaticSchedule, declared
from jobmaster.recurrence import Kinds
from jobmaster.rules import schedule_of
from jobmaster.scheduler import Scheduler
from jobmaster.schedules import Schedules
from jobmaster.states import ClusterMode
from jobmaster.targets import ARCHIVE_TO, MIGRATE_TO, ArchiveTarget, MoveTarget, check_elsewhere

if TYPE_CHECKING:
    from jobmaster.sync import SyncScheduler

log = logging.getLogger("jobmaster.cluster")

_running: dict[str, list[Runtime]] = {}
"""The runtimes of this process by cluster id, the newest last."""


class Cluster:
    """A cluster as this process takes part in it: settings, workers, handlers. Nothing runs yet.

    Every configuring method returns the cluster, so that calls can be chained.
    """

    def __init__(
        self,
        cluster_id: str,
        master: str,
        *,
        mode: ClusterMode | str = ClusterMode.ACTIVE,
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
        self.master_url = master
        self.mode = cluster_mode(mode)
        self.settings = Settings()
        self.agents: list[AgentSettings] = []
        self.workers: list[WorkerSettings] = []
        self.move_target: MoveTarget | None = None
        self.archive_target: ArchiveTarget | None = None
        self._clock = clock or SystemClock()
        self._handlers: list[Any] = []
        self._schedules: list[StaticSchedule] = []
        self._plugins: list[Any] = []
        self._debug_logs: list[DebugLog] = []

    @classmethod
    def standalone(cls, cluster_id: str, url: str, **options: Any) -> Cluster:
        """Describe a cluster that needs one database and nothing else."""
        return cls(cluster_id, url, **options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | Path) -> Cluster:
        """Build a cluster from a mapping, or from a TOML or JSON file; see `jobmaster.fileconfig`."""
        from jobmaster.fileconfig import build_cluster

        return build_cluster(cls, config)

    # Configuring

    def configure(self, **settings: Any) -> Cluster:
        """Change settings, as listed in `jobmaster.config.Settings`; raises `ConfigurationError`."""
        present = {name: getattr(self.settings, name) for name in _setting_names()}
        self.settings = make(Settings, f"cluster {self.id!r}", present | settings)
        return self

    def add_agent(self, name: str, url: str, **settings: Any) -> Cluster:
        """Add an agent, which makes the cluster a distributed one: new jobs land there, and workers name theirs.

        Args:
            name: unique in the cluster, and never given to another store.
            url: where the agent's store is, for example `postgresql://host/database`.
            settings: `weight`, `repoint`: see `jobmaster.config.AgentSettings`.

        Raises:
            ConfigurationError: the name is taken or invalid, or a setting is wrong.

        """
        agent = make(AgentSettings, f"agent {name!r}", {"name": name, "url": url, **settings})
        if agent.name in {other.name for other in self.agents}:
            msg = f"agent {agent.name!r} is added twice; names are unique in a cluster"
            raise ConfigurationError(msg)
        self.agents.append(agent)
        return self

    def add_worker(self, **settings: Any) -> Cluster:
        """Add a worker that runs in this process, as listed in `jobmaster.config.WorkerSettings`."""
        worker = make(WorkerSettings, f"worker {settings.get('name') or len(self.workers) + 1}", settings)
        if worker.name is not None and worker.name in {other.name for other in self.workers}:
            msg = f"worker {worker.name!r} is added twice; names are unique in a cluster"
            raise ConfigurationError(msg)
        self.workers.append(worker)
        return self

    def migrate_to(self, url: str, cluster_id: str | None = None, **settings: Any) -> Cluster:
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
        given = {"url": url, "cluster_id": cluster_id}
        self.archive_target = make(ArchiveTarget, ARCHIVE_TO, given)
        check_elsewhere(ARCHIVE_TO, self.archive_target, self.id, self.master_url)
        return self

    def target(self, url: str, cluster_id: str | None = None, **settings: Any) -> MoveTarget:
        """Return a target for `Runtime.migrate`; takes and raises what `migrate_to` does."""
        target = make(MoveTarget, MIGRATE_TO, {"url": url, "cluster_id": cluster_id, **settings})
        check_elsewhere(MIGRATE_TO, target, self.id, self.master_url)
        return target

    def add_handlers(self, *handlers: Any) -> Cluster:
        """Serve these handlers only, instead of every module-level one this process has imported."""
        self._handlers += handlers
        return self

    def add_schedules(self, *schedules: StaticSchedule) -> Cluster:
        """Declare static schedules, besides those on handlers; raises `ConfigurationError` for a name used twice."""
        for schedule in schedules:
            if not isinstance(schedule, StaticSchedule):
                msg = (
                    f"add_schedules takes StaticSchedule(name, handler, expression) objects, not {schedule!r}"
                )
                raise ConfigurationError(msg)
            if schedule.name in {other.name for other in self._schedules}:
                msg = f"schedule {schedule.name!r} is added twice; names are unique in a cluster"
                raise ConfigurationError(msg)
            self._schedules.append(schedule)
        return self

    def use(self, *plugins: Any) -> Cluster:
        """Add plug-ins (modules or objects with `@hookimpl` methods) besides the installed ones."""
        self._plugins += plugins
        return self

    def build_handlers_with(self, build: Callable[[type[Any]], Any]) -> Cluster:
        """Have class-form handlers built by `build(handler_class)`; it may return None to pass."""
        return self.use(_Builder(build))

    def debug_jsonl(self, folder: str | Path) -> Cluster:
        """Have each process write all it logs and does with jobs into `folder`, as JSON lines.

        The file is `<cluster>-<pid>.jsonl`; at 20 MiB it is moved aside, and five of those are kept. While the
        cluster runs, the logger `jobmaster` lets lines of every level through. Raises `ConfigurationError`
        at the start if the file cannot be written.
        """
        log = DebugLog(Path(folder), self.id)
        self._debug_logs.append(log)
        return self.use(log)

    # Running

    @asynccontextmanager
    async def running(self, *, workers: bool = True) -> AsyncIterator[Runtime]:
        """Run the cluster within the block: `async with cluster.running() as runtime`.

        At the end running jobs get `stop_grace` seconds; what is left goes back without using a retry.

        Args:
            workers: False to schedule and look only.

        Raises:
            ConfigurationError: something in the configuration is wrong; nothing was started.
            StoreUnavailableError: the master cannot be reached.

        """
        with ExitStack() as files:
            for log_file in self._debug_logs:
                files.enter_context(log_file.writing())
            async with self._joined(workers=workers) as runtime:
                yield runtime

    @asynccontextmanager
    async def _joined(self, *, workers: bool) -> AsyncIterator[Runtime]:
        placed = self._placed_workers() if workers else []
        env = self._environment()
        try:
            await self._prepare(env, placed)
            if not any(worker.mode.coordinates for worker in placed):
                env.migrate_to = None
            chosen = self._running_workers(env, placed)
            supervisor = Supervisor(env, chosen)
            async with supervisor.running() as group:
                runtime = Runtime(self, env, supervisor, group)
                with anyio.move_on_after(self.settings.store_timeout):
                    await runtime.workers_ready()
                with _registered(runtime):
                    yield runtime
        finally:
            with anyio.CancelScope(shield=True):
                await env.close()

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[dict[str, Any]]:
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
        return [found.agent(agent.name, agent.url, agent.options(self.settings)) for agent in self.agents]

    def kinds(self) -> Kinds:
        """Return the kinds of recurrence that the cluster's plug-ins bring, the built-in ones included."""
        return Plugins(self._plugins).kinds

    def _environment(self) -> Environment:
        plugins = Plugins(self._plugins)
        master = plugins.master(self.master_url, self.settings)
        registry = Registry(self._handlers or registered_handlers())
        notify = Notify(master)
        return Environment(
            cluster_id=self.id,
            settings=self.settings,
            plugins=plugins,
            master=master,
            agents=Agents(self.id, master, self._links(plugins), notify, self._clock.monotonic),
            notify=notify,
            registry=registry,
            declarations=self._declarations(registry, plugins, self.settings),
            clock=self._clock,
            observers=plugins.observers(),
            migrate_to=self._destination(self.move_target, master, plugins),
            archive_to=self._destination(self.archive_target, master, plugins),
        )

    def _destination(
        self, target: MoveTarget | ArchiveTarget | None, master: MasterRepository, plugins: Plugins
    ) -> Destination | None:
        return None if target is None else Destination(self.id, master, target, plugins, self.settings)

    def _links(self, plugins: Plugins) -> list[Link]:
        """Return the agents, not yet opened; raises `ConfigurationError` for a bad URL."""
        repositories = self.open_agents(plugins)
        return [
            Link(settings, repository, Notify(repository))
            for settings, repository in zip(self.agents, repositories, strict=True)
        ]

    def _declarations(self, registry: Registry, plugins: Plugins, settings: Settings) -> list[Declaration]:
        """Return the static schedules; raises `ConfigurationError` for one that is wrong."""
        schedules = declared(registry, self._schedules)
        build = Schedule(self.id, lambda: settings, self._clock)
        templates = [new.job for new in build.jobs(schedule.request for schedule in schedules)]
        return [
            self._declaration(schedule, template, plugins, settings.time_zone)
            for schedule, template in zip(schedules, templates, strict=True)
        ]

    def _declaration(
        self, schedule: StaticSchedule, template: Job, plugins: Plugins, zone: str | None
    ) -> Declaration:
        known = evolve(template, id=named_id(self.id, "schedule", schedule.name))
        record = schedule_of(schedule.rules, known, plugins.kinds, zone, schedule.name)
        return Declaration(record, anchored=schedule.rules.starts_after is not None)

    def _placed_workers(self) -> list[WorkerSettings]:
        """Return the workers, each with its agent; raises `ConfigurationError` for one that is not known."""
        names = [agent.name for agent in self.agents]
        return [
            evolve(worker, agent=_agent_of(worker, number, names))
            for number, worker in enumerate(self.workers, 1)
        ]

    async def _prepare(self, env: Environment, workers: Sequence[WorkerSettings]) -> None:
        """Open the stores, see to their schemas, register the cluster with its agents and this host."""
        await env.master.open()
        if self.settings.auto_migrate:
            await env.master.migrate()
        elif pending := await env.master.pending_migrations():
            msg = (
                f"the schema of {_masked(self.master_url)} lacks {len(pending)} migrations "
                f"({', '.join(pending)}); run `jobmaster migrate`, or set auto_migrate=True"
            )
            raise SchemaError(msg)
        env.follow(await self._join(env.master, register=bool(workers)))
        if env.settings != self.settings:  # static schedules too are made with what was changed
            env.declarations = self._declarations(env.registry, env.plugins, env.settings)
        await env.agents.join_all(migrate=self.settings.auto_migrate)
        if workers:
            await self._check_one_way(env)
            await env.master.register_host(host_record(self.id, env.host))

    async def _check_one_way(self, env: Environment) -> None:
        """See that no worker without an agent joins a cluster that has agents: it would not be sent any job."""
        known = [] if env.agents.distributed else await env.master.list_agents(self.id)
        if known:
            names = ", ".join(agent.name for agent in known)
            msg = (
                f"cluster {self.id!r} has agents ({names}) and cannot be standalone again; "
                "name them with add_agent(name, url), and give each worker its agent"
            )
            raise ConfigurationError(msg)

    async def _join(self, master: MasterRepository, *, register: bool) -> ClusterRecord:
        """Return the cluster as registered. Who has workers brings its settings; others leave them alone."""
        known = None if register else await master.get_cluster(self.id)
        if known is None:
            record = ClusterRecord(id=self.id, mode=self.mode, settings=self.settings.shared())
            known = await master.register_cluster(record)
        return known

    def _running_workers(self, env: Environment, workers: Sequence[WorkerSettings]) -> list[RunningWorker]:
        if env.mode is ClusterMode.ARCHIVED and workers:
            msg = f"cluster {self.id!r} is archived and cannot have workers; remove add_worker(...), or change its mode"
            raise ConfigurationError(msg)
        default = f"{socket.gethostname().split('.')[0]}-{os.getpid()}"
        names = [w.name or _numbered(default, number) for number, w in enumerate(workers, 1)]
        return [RunningWorker(env, name, w) for name, w in zip(names, workers, strict=True)]


class Runtime(ControlVerbs):
    """A running cluster. `scheduler` schedules and changes, `jobs` and `schedules` look.

    What `ControlVerbs` adds steers the cluster itself.
    """

    def __init__(self, cluster: Cluster, env: Environment, supervisor: Supervisor, group: TaskGroup) -> None:
        self.cluster = cluster
        self.id = cluster.id
        self._env = env
        self._supervisor = supervisor
        self._control = supervisor.control
        self._group = group
        self.scheduler = Scheduler(env, self._in_background, find_scheduler)
        self.jobs = Jobs(env)
        self.schedules = Schedules(env)

    def _in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._group.start_soon(work)

    @property
    def master(self) -> MasterRepository:
        """The master's repository, for tools and tests."""
        return self._env.master

    async def workers_ready(self) -> None:
        """Wait until every worker of this process takes jobs, and its static schedules are registered."""
        for worker in self._supervisor.workers:
            await worker.ready.wait()
        await self._supervisor.declared.wait()

    async def workers_stopped(self) -> None:
        """Wait until every worker of this process has been asked to stop, and has; without workers, for ever."""
        if not self._supervisor.workers:
            await anyio.sleep_forever()
        for worker in self._supervisor.workers:
            await worker.stopped.wait()

    async def list_workers(self) -> list[WorkerRecord]:
        """Return the cluster's workers, the newest first."""
        return list(await self._env.master.list_workers(self.id))

    async def list_buckets(self) -> list[Bucket]:
        """Return the cluster's buckets."""
        return list(await self._env.master.list_buckets(self.id))

    async def list_agents(self) -> list[AgentRecord]:
        """Return the cluster's agents by name; none for a standalone cluster."""
        return list(await self._env.master.list_agents(self.id))

    async def list_hosts(self) -> list[HostRecord]:
        """Return the hosts that workers of the cluster run on, by name."""
        return list(await self._env.master.list_hosts(self.id))

    async def migrate(
        self,
        target: MoveTarget | None = None,
        *,
        patience: float = 60.0,
        on_moved: Callable[[MoveResult], None] = lambda _: None,
    ) -> MoveSummary:
        """Move the whole cluster, and return what came of it. It can be repeated, whatever happened.

        The cluster's mode becomes `migrating`, and stays so: what is scheduled here later waits here.

        Args:
            target: what `Cluster.target` returns; what `Cluster.migrate_to` was told if not given.
            patience: how many seconds to wait for jobs that workers have in hand.
            on_moved: called for each batch that has moved.

        Raises:
            ConfigurationError: there is no target, or it is the wrong one. Nothing was changed.
            StoreUnavailableError: a database cannot be reached; what has not moved is still here.

        """
        wanted = target or self.cluster.move_target
        if wanted is None:
            msg = "migrate_to: no target is given; name it with Cluster.migrate_to(url), or hand one over"
            raise ConfigurationError(msg)
        env = self._env
        destination = Destination(env.cluster_id, env.master, wanted, env.plugins, env.settings)
        try:
            return await Move(env, destination, self.set_mode, patience, on_moved).run()
        finally:
            with anyio.CancelScope(shield=True):
                await destination.close()

    @contextmanager
    def _open(self) -> Iterator[None]:
        directory = self.scheduler.directory
        topic = f"l:{self.id}"
        with self._env.notify.subscribed(topic, directory.invalidate, exact=True):
            try:
                yield
            finally:
                self.scheduler.closed = True


@contextmanager
def _registered(runtime: Runtime) -> Iterator[None]:
    """Let scheduling calls of this process find a runtime by its cluster's id, while it is open."""
    runtimes = _running.setdefault(runtime.id, [])
    runtimes.append(runtime)
    try:
        with runtime._open():  # noqa: SLF001 - same module
            yield
    finally:
        runtimes.remove(runtime)


def find_runtime(cluster_id: str) -> Runtime:
    """Return the runtime of a cluster that runs in this process; raises `NotRunningError`."""
    runtimes = _running.get(cluster_id)
    if not runtimes:
        known = ", ".join(sorted(name for name, found in _running.items() if found)) or "none"
        msg = f"cluster {cluster_id!r} does not run in this process (running here: {known})"
        raise NotRunningError(msg)
    return runtimes[-1]


def find_scheduler(cluster_id: str) -> Scheduler:
    """Return the scheduler of a cluster that runs in this process; raises `NotRunningError`."""
    return find_runtime(cluster_id).scheduler


class _Builder:
    """A plug-in made of one function that builds handlers."""

    def __init__(self, build: Callable[[type[Any]], Any]) -> None:
        self._build = build

    @hookimpl
    def jobmaster_build_handler(self, handler_class: type[Any]) -> Any:
        return self._build(handler_class)


def _agent_of(worker: WorkerSettings, number: int, agents: Sequence[str]) -> str:
    """Return the agent that a worker's buckets are to be on."""
    name = f"worker {worker.name or number}"
    known = ", ".join(agents) or "none"
    if worker.agent is None and len(agents) > 1 and worker.mode.executes:
        msg = f"{name}: say which agent its buckets are on, with agent=...; the cluster has {known}"
        raise ConfigurationError(msg)
    if worker.agent is not None and worker.agent not in agents:
        msg = f"{name}: there is no agent {worker.agent!r} (there are: {known}); add_agent({worker.agent!r}, url) adds it"
        raise ConfigurationError(msg)
    return worker.agent or (agents[0] if agents and worker.mode.executes else STANDALONE)


def _setting_names() -> list[str]:
    return [attribute.name for attribute in Settings.__attrs_attrs__]


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _masked(url: str) -> str:
    """Return a URL without its password, for messages."""
    scheme, _, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}{at}{host}"
