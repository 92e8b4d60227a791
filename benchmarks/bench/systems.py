"""The systems that can be compared, and the measures of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from bench.environments import HERE, Environment, own_environment, peer_environment

SCRIPTS = HERE / "systems"
ALL = ("A", "A100", "B", "C", "D", "E", "F", "G", "H", "M", "R")
SHARING = ("S-late", "S-mixed", "S-long", "S-kill", "S-scale")
"""How work is shared; for scripts that support jobs that take a while."""
EVERYTHING = (*ALL, *SHARING)
USUAL = ("A", "A100", "B", "C", "D", "E", "F")
"""The measures of peers unless they are named; the others are about JobMaster itself."""


@frozen(kw_only=True)
class System:
    """A system under test.

    Attributes:
        name: its name on the command line and in tables.
        store: `postgres`, `sqlite`, or `pair`: two PostgreSQL servers, for master and agent.
        script: the file in `systems/`.
        measures: its measures unless it is named on the command line.
        supports: all measures that it supports.
        language: `python` for the peers that a target compares us with.
        arguments: further arguments for its script.
        peer: its section in `peers.txt`; None for systems that run in our own environment.
        has_agent: whether jobs land on an agent, unless they are to be held.
    """

    name: str
    store: str
    script: str
    measures: tuple[str, ...] = USUAL
    supports: tuple[str, ...] = ALL
    language: str = "python"
    arguments: tuple[str, ...] = ()
    peer: str | None = None
    has_agent: bool = False

    @property
    def path(self) -> Path:
        """The script's path."""
        return SCRIPTS / self.script

    def environment(self) -> Environment:
        """Return the environment that the script runs in, installed if necessary; raises `InstallError`."""
        return own_environment() if self.peer is None else peer_environment(self.peer)


class Catalogue:
    """All systems by name."""

    def __init__(self, systems: Iterable[System]) -> None:
        self.systems: Mapping[str, System] = {system.name: system for system in systems}

    def chosen(
        self, names: tuple[str, ...], measures: tuple[str, ...], stores: tuple[str, ...]
    ) -> list[System]:
        """Return the systems to compare; raises `KeyError` for an unknown name."""
        if names:
            return [self.systems[name] for name in names]
        wanted = [system for system in self.systems.values() if system.store in stores]
        return [system for system in wanted if set(system.measures) & set(measures)]


_DISTRIBUTED = ("A", "A100", "B", "C", "D", "E", "M", "R")
_LOOP = ("A", "B", "C", "D")
_TRIO = ("--backend", "trio")
_SQLITE = ("A", "A100", "B", "C", "E")

CATALOGUE = Catalogue(
    [
        System(
            name="jobmaster",
            store="postgres",
            script="bench_jobmaster.py",
            measures=EVERYTHING,
            supports=EVERYTHING,
        ),
        System(
            name="jobmaster-trio",
            store="postgres",
            script="bench_jobmaster.py",
            measures=("C",),
            supports=EVERYTHING,
            arguments=_TRIO,
        ),
        System(
            name="jobmaster-agent",
            store="postgres",
            script="bench_jobmaster_agents.py",
            measures=(*_DISTRIBUTED, *SHARING),
            supports=EVERYTHING,
            has_agent=True,
        ),
        System(
            name="jobmaster-agent-apart",
            store="pair",
            script="bench_jobmaster_agents.py",
            measures=_DISTRIBUTED,
            supports=EVERYTHING,
            has_agent=True,
        ),
        System(name="raw", store="postgres", script="bench_raw.py", measures=_LOOP, supports=(*_LOOP, "G")),
        System(name="pgqueuer", store="postgres", script="bench_pgqueuer.py", peer="pgqueuer"),
        System(name="procrastinate", store="postgres", script="bench_procrastinate.py", peer="procrastinate"),
        System(name="saq", store="postgres", script="bench_saq.py", peer="saq"),
        System(name="awa", store="postgres", script="bench_awa.py", peer="awa", language="rust"),
        System(
            name="graphile-worker",
            store="postgres",
            script="bench_graphile_worker.mjs",
            peer="graphile-worker",
            language="node",
        ),
        System(name="pg-boss", store="postgres", script="bench_pg_boss.mjs", peer="pg-boss", language="node"),
        System(
            name="jobmaster-sqlite",
            store="sqlite",
            script="bench_jobmaster.py",
            measures=(*_SQLITE, *SHARING),
            supports=EVERYTHING,
        ),
        System(
            name="jobmaster-sqlite-trio",
            store="sqlite",
            script="bench_jobmaster.py",
            measures=("C",),
            supports=EVERYTHING,
            arguments=_TRIO,
        ),
        System(
            name="raw-sqlite",
            store="sqlite",
            script="bench_raw_sqlite.py",
            measures=("A", "B", "C"),
            supports=("A", "B", "C", "G"),
        ),
        System(name="huey", store="sqlite", script="bench_huey.py", measures=_SQLITE, peer="huey"),
    ]
)
