"""The agents of one cluster as this process uses them: joined when reachable, left alone while they fail."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import anyio
from attrs import define, field

from jobmaster._flow.inline import InlineAgent
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import (
    ConfigurationError,
    SchemaError,
    StoreError,
    StoreRefusedError,
    StoreUnreachableError,
    starting,
)
from jobmaster.loops import start_in
from jobmaster.models import AgentRecord
from jobmaster.retry import ExponentialBackoff
from jobmaster.urls import scheme_of

if TYPE_CHECKING:
    from jobmaster._runtime.notifier import Notifier
    from jobmaster.config import AgentSettings

log = logging.getLogger("jobmaster.agents")

TIME_OUT = 3.0
"""Seconds for which no job is sent to an agent that could not be reached; other agents take its share meanwhile."""
LONGEST_TIME_OUT = 30.0
"""Upper limit of that time, which doubles while every try fails: an agent that hangs costs each try `store_timeout`."""
TIME_OUT_JITTER = 0.2
"""Share by which that time may be shortened, so that not all processes try at once."""
JOIN_EVERY = 2.0
"""Seconds between two tries to join an agent that could not be reached at the start."""


def check_unlike(name: str, others: Iterable[str]) -> None:
    """Raise `ConfigurationError` if an agent has this name, or one that differs only in case, which invites mistakes."""
    for other in others:
        if other == name:
            msg = f"agent {name!r} is added twice; names are unique in a cluster"
            raise ConfigurationError(msg)
        if other.casefold() == name.casefold():
            msg = f"agent {name!r} differs from agent {other!r} by case alone; if it is another agent, give it another name"
            raise ConfigurationError(msg)


@define(eq=False)
class Link:
    """One agent: its configuration, its repository, and whether it can be used now.

    `joined` means that the agent's schema exists and that its store, identified by `fingerprint`, is the one that the
    master knows by this name; `refused` says why it never will be joined: at the start any fault, later only that it
    is another store.
    """

    settings: AgentSettings
    repository: AgentRepository
    notify: Notifier
    fingerprint: str | None = None
    joined: bool = False
    refused: str | None = None
    awaited: type[Exception] | None = None
    """The kind of error last logged as the reason why the agent cannot be joined yet."""
    away_until: float = field(default=0.0)
    failures: int = 0
    """How many tries in a row have failed."""

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.settings.name

    def failed(self, now: float) -> None:
        """Note that the agent could not be reached. Calls already under way at that time do not count as further tries."""
        if self.away_until <= now:
            self.failures += 1
            growing = ExponentialBackoff(TIME_OUT, cap=LONGEST_TIME_OUT, jitter=TIME_OUT_JITTER)
            self.away_until = now + growing.delay(self.failures, random.random)


async def _accept(_name: str, _agent: AgentRepository) -> None:
    """Accept every agent as it is."""


_Step = Callable[[Link], Awaitable[None]]


class Agents(Mapping[str, AgentRepository]):
    """The agents by name, including the master's own rows.

    Indexing an agent that is not joined raises `StoreUnreachableError`; iteration skips such agents.
    """

    def __init__(
        self,
        cluster_id: str,
        master: MasterRepository,
        links: Iterable[Link],
        notifications: Notifier,
        monotonic: Callable[[], float],
        on_open: Callable[[str, AgentRepository], Awaitable[None]] = _accept,
    ) -> None:
        """`on_open` is called with each opened agent; if it raises, the agent is not joined."""
        self.inline = InlineAgent(master, cluster_id)
        self.links = {link.name: link for link in links}
        self._cluster_id = cluster_id
        self._master = master
        self._notifications = notifications
        self._monotonic = monotonic
        self._on_open = on_open

    # Using them

    @property
    def distributed(self) -> bool:
        """Whether the cluster has agents besides the master's own rows."""
        return bool(self.links)

    def __getitem__(self, name: str) -> AgentRepository:
        """Return an agent's repository."""
        if name == self.inline.name:
            return self.inline
        link = self.links.get(name)
        if link is None:
            msg = f"agent {name!r} is not configured in this process; add_agent({name!r}, url) adds it"
            raise StoreUnreachableError(msg)
        if not link.joined:
            raise StoreUnreachableError(link.refused or f"agent {name!r} could not be reached yet")
        return link.repository

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the joined agents; the master's own rows come first."""
        yield self.inline.name
        yield from (link.name for link in self.links.values() if link.joined)

    def __len__(self) -> int:
        """Return how many agents can be used."""
        return sum(1 for _ in self)

    def notifications_of(self, name: str) -> Notifier:
        """Return the notifier that sends and receives notifications about an agent's buckets."""
        link = self.links.get(name)
        return self._notifications if link is None else link.notify

    def usable(self) -> list[str]:
        """Return the names of the agents that are reachable now or may be later: all except the refused ones."""
        return [link.name for link in self.links.values() if link.refused is None]

    def weights(self) -> Mapping[str, float]:
        """Return the agents that new jobs may be sent to, with their weights."""
        now = self._monotonic()
        return {
            link.name: link.settings.weight
            for link in self.links.values()
            if link.joined and link.away_until <= now
        }

    def leave_alone(self, name: str) -> None:
        """Note that an agent could not be reached: it gets no new jobs for a while, longer each time."""
        link = self.links.get(name)
        if link is not None:
            link.failed(self._monotonic())

    def is_failing(self, name: str) -> bool:
        """Return whether an agent could not be reached the last time: the warning need not be repeated."""
        link = self.links.get(name)
        return link is not None and link.failures > 0

    def answered(self, name: str) -> None:
        """Note that an agent took jobs: if it fails again, it is retried as soon as after a first failure."""
        link = self.links.get(name)
        if link is not None:
            link.failures = 0

    def reachable(self) -> list[str]:
        """Return the names of the agents that answered last: those worth a rescue."""
        return [self.inline.name, *self.weights()]

    # Joining them

    async def join_all(self, *, migrate: bool) -> None:
        """Join all agents at once; unreachable ones are left for `join_missing`.

        Raises `ConfigurationError` if an agent's store is not the one that the master knows by its name, or if two
        names refer to one store, and `SchemaError` if its tables do not exist and must not be created.
        """
        failures: list[Exception] = []
        async with anyio.create_task_group() as group:
            for link in self.links.values():
                start_in(group, self._attempt, link, partial(self._open_at_start, migrate=migrate), failures)
        await self._identify_all(failures, self._identify_at_start)
        if failures:
            raise failures[0]

    async def join_missing(self, *, migrate: bool) -> float | None:
        """Join the agents that can be reached now; return when to try again, None once all are joined or refused.

        At this point a store's refusal may be temporary: only another store in its place is refused for good.
        """
        failures: list[Exception] = []
        for link in self._missing():
            await self._attempt(link, partial(self._open_later, migrate=migrate), failures)
        await self._identify_all(failures, self._identify)
        for failure in failures:
            log.error("%s", failure)
        return JOIN_EVERY if self._missing() else None

    def _missing(self) -> list[Link]:
        return [link for link in self.links.values() if not link.joined and link.refused is None]

    async def _attempt(self, link: Link, step: _Step, failures: list[Exception]) -> None:
        try:
            await step(link)
        except ConfigurationError as error:
            link.refused = str(error)
            failures.append(error)
        except StoreError as error:
            level = logging.DEBUG if link.awaited is type(error) else logging.WARNING
            log.log(level, "agent %s cannot be joined yet, trying again: %s", link.name, error)
            link.awaited = type(error)

    async def _open_at_start(self, link: Link, *, migrate: bool) -> None:
        with starting():
            await self._open(link, migrate=migrate)

    async def _open_later(self, link: Link, *, migrate: bool) -> None:
        try:
            await self._open(link, migrate=migrate)
        except ConfigurationError as error:
            raise StoreRefusedError(error) from error

    async def _open(self, link: Link, *, migrate: bool) -> None:
        repository = link.repository
        await repository.open()
        await self._on_open(link.name, repository)
        if migrate:
            await repository.schema.migrate()
        elif pending := await repository.schema.pending():
            remedy = "run `jobmaster migrate`, or set auto_migrate=True"
            raise SchemaError.behind(f"the schema of agent {link.name!r}", pending, remedy)
        link.fingerprint = await repository.fingerprint()

    async def _identify_all(self, failures: list[Exception], identify: _Step) -> None:
        """Join the open agents, one after the other.

        All agents that can be opened are open by then: if two names refer to one store, both are refused before either
        is registered with the master, so that the name the user keeps can still be registered.
        """
        for link in self._missing():
            if link.fingerprint is not None:
                await self._attempt(link, identify, failures)

    async def _identify_at_start(self, link: Link) -> None:
        with starting():
            await self._identify(link)

    async def _identify(self, link: Link) -> None:
        await self._check_unlike_others(link)
        record = AgentRecord(
            cluster_id=self._cluster_id,
            name=link.name,
            kind=scheme_of(link.settings.url),
            fingerprint=link.fingerprint or "",
        )
        repoint = [link.name] if link.settings.repoint else []
        (known,) = await self._master.members.register_agents([record], repoint=repoint)
        if known.fingerprint != link.fingerprint:
            msg = (
                f"agent {link.name!r} does not point at the store that the cluster knows by this name; "
                "point it back, or give the new store a name of its own. If nothing is left in the old "
                "one, add_agent(..., repoint=True) moves the name"
            )
            raise ConfigurationError(msg)
        link.joined = True

    async def _check_unlike_others(self, link: Link) -> None:
        here = [(other.name, other.fingerprint) for other in self.links.values()]
        known = [(a.name, a.fingerprint) for a in await self._master.members.list_agents(self._cluster_id)]
        check_unlike(link.name, [name for name, _ in known if name != link.name])
        for name, fingerprint in [*here, *known]:
            if name != link.name and fingerprint == link.fingerprint:
                raise ConfigurationError(self._taken(link.name, name))

    def _taken(self, name: str, other: str) -> str:
        """Return why a store cannot have this name: it already has another one."""
        if other in self.links and self.links[other].fingerprint == self.links[name].fingerprint:
            remedy = "give each agent a database, or a table_prefix, of its own"
            return f"agents {name!r} and {other!r} are the same store; {remedy}"
        remedy = "use that name, which is permanent, or give this agent a store of its own"
        return f"agent {name!r} points at the store that the cluster knows as {other!r}; {remedy}"

    async def unnamed(self) -> list[str]:
        """Return the names of the cluster's agents that are not configured in this process."""
        known = await self._master.members.list_agents(self._cluster_id)
        return [agent.name for agent in known if agent.name not in self.links]

    async def close(self) -> None:
        """Close all repositories."""
        for link in self.links.values():
            await link.repository.close()
