"""The targets: ratios within one run, so that the machine and its load cancel out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from bench.rounds import Results
from bench.systems import CATALOGUE

Value = Callable[[Results], float | None]

OURS = "jobmaster"
OURS_SQLITE = "jobmaster-sqlite"
_PEERS = [s.name for s in CATALOGUE.systems.values() if s.peer is not None and s.store == "postgres"]
_PYTHON = [name for name in _PEERS if CATALOGUE.systems[name].language == "python"]
_FROM_PYTHON = [name for name in _PEERS if CATALOGUE.systems[name].language != "node"]


@frozen
class Target:
    """A target: a value that is to be at least, or at most, a limit."""

    measure: str
    text: str
    value: Value
    limit: float
    at_most: bool = False
    unit: str = ""

    def check(self, results: Results) -> Outcome:
        """Compare the measured value with the limit."""
        value = self.value(results)
        if value is None:
            return Outcome(self, None, None)
        return Outcome(self, value, value <= self.limit if self.at_most else value >= self.limit)


@frozen
class Outcome:
    """The outcome of a target; None where a required value was not measured."""

    target: Target
    value: float | None
    met: bool | None


def check_targets(results: Results) -> list[Outcome]:
    """Return the outcomes of all targets whose measure was run."""
    return [target.check(results) for target in TARGETS if target.measure in results.cells]


def _one(measure: str, system: str, name: str) -> Value:
    return lambda results: results.median(measure, system, name)


def _ratio(above: Value, below: Value) -> Value:
    def value(results: Results) -> float | None:
        top, bottom = above(results), below(results)
        return None if top is None or not bottom else top / bottom

    return value


def _best(
    choose: Callable[[Iterable[float]], float], measure: str, name: str, systems: Sequence[str]
) -> Value:
    def value(results: Results) -> float | None:
        found = [results.median(measure, system, name) for system in systems]
        present = [one for one in found if one is not None]
        return choose(present) if present else None

    return value


def _against(measure: str, ours: str, other: str) -> Value:
    return _ratio(_one(measure, ours, "rate"), _one(measure, other, "rate"))


def _latency_against(name: str, ours: str, peers: Sequence[str]) -> Value:
    """Return our latency relative to the best peer's: below 1 we are ahead of all of them."""
    return _ratio(_one("E", ours, name), _best(min, "E", name, peers))


def _drain_against_best(peers: Sequence[str]) -> Value:
    return _ratio(_one("C", OURS, "rate"), _best(max, "C", "rate", peers))


def _shared(system: str) -> list[Target]:
    """Return the targets of one of our systems in S: nearly the ideal schedule, and no slot idle for long."""
    targets = [
        *(
            _seconds(measure, system, "makespan beyond 1.15 x ideal", "excess_s", 1)
            for measure in ("S-late", "S-mixed", "S-long", "S-scale")
        ),
        *(
            _seconds(measure, system, "longest wait with a slot free", "needless_s", 1)
            for measure in ("S-late", "S-mixed", "S-long", "S-scale")
        ),
        _seconds("S-long", system, "wait of quick jobs beyond 1.15 x ideal", "wait_excess_s", 1),
        _seconds("S-kill", system, "wait of jobs that came after the kill", "new_wait_s", 2),
        Target(
            "S-kill",
            f"S-kill: seconds below 90 % of the rate, {system}",
            _one("S-kill", system, "low_seconds"),
            2,
            at_most=True,
        ),
    ]
    return sorted(targets, key=lambda target: target.measure)


def _seconds(measure: str, system: str, text: str, name: str, limit: float) -> Target:
    return Target(
        measure, f"{measure}: {text}, {system}", _one(measure, system, name), limit, at_most=True, unit=" s"
    )


TARGETS: Sequence[Target] = (
    Target("A", "A: ours / raw", _against("A", OURS, "raw"), 0.85),
    Target("A100", "A100 / A of ours", _ratio(_one("A100", OURS, "rate"), _one("A", OURS, "rate")), 10),
    Target("B", "B: ours / raw", _against("B", OURS, "raw"), 0.7),
    Target("C", "C: ours / best Python peer, awa's Rust core included", _drain_against_best(_FROM_PYTHON), 2),
    Target("C", "C: ours / best peer in pure Python", _drain_against_best(_PYTHON), 2),
    Target("C", "C: ours / raw with history", _against("C", OURS, "raw"), 0.6),
    Target("C", "C: trio / asyncio", _against("C", "jobmaster-trio", OURS), 0.75),
    Target("D", "D / C of ours", _ratio(_one("D", OURS, "rate"), _one("C", OURS, "rate")), 1),
    Target("E", "E: p50, ours / best peer", _latency_against("p50", OURS, _PEERS), 1, at_most=True),
    Target("E", "E: p99, ours / best peer", _latency_against("p99", OURS, _PEERS), 1, at_most=True),
    Target(
        "F", "F: idle queries a second", _one("F", OURS, "idle_queries_per_s"), 1, at_most=True, unit="/s"
    ),
    Target("F", "F: peak memory", _one("F", OURS, "peak_mb"), 80, at_most=True, unit=" MiB"),
    *(
        Target("E", f"E: p99 of {name}", _one("E", name, "p99"), 20, at_most=True, unit=" ms")
        for name in ("jobmaster-agent", "jobmaster-agent-apart")
    ),
    Target(
        "M",
        "M: rows written on the master for a short job, agent apart: the job and its attempt",
        _one("M", "jobmaster-agent-apart", "rows_per_job"),
        2.1,
        at_most=True,
    ),
    *(
        Target(
            "R",
            f"R: first start after a kill, {name}: at most lease and heartbeat",
            _one("R", name, "first_s"),
            20,
            at_most=True,
            unit=" s",
        )
        for name in (OURS, "jobmaster-agent", "jobmaster-agent-apart")
    ),
    *(target for system in (OURS, OURS_SQLITE, "jobmaster-agent") for target in _shared(system)),
    Target("G", "G / C of ours, in turn", _one("G", OURS, "ratio"), 0.9),
    Target("H", "H: p99", _one("H", OURS, "p99"), 50, at_most=True, unit=" ms"),
    Target("H", "H: late p99 / early p99", _one("H", OURS, "growth"), 1.5, at_most=True),
    *(
        Target(name, f"{name}: ours / huey, SQLite", _against(name, OURS_SQLITE, "huey"), 1)
        for name in ("A", "A100", "C")
    ),
    Target(
        "B",
        "B: ours / huey's calls one by one, SQLite",
        _ratio(_one("B", OURS_SQLITE, "rate"), _one("A", "huey", "rate")),
        1,
    ),
    Target(
        "E", "E: p50, ours / huey, SQLite", _latency_against("p50", OURS_SQLITE, ["huey"]), 1, at_most=True
    ),
    Target(
        "E", "E: p99, ours / huey, SQLite", _latency_against("p99", OURS_SQLITE, ["huey"]), 1, at_most=True
    ),
    *(
        Target(name, f"{name}: ours / raw, SQLite", _against(name, OURS_SQLITE, "raw-sqlite"), 0.5)
        for name in ("A", "B", "C")
    ),
    Target("C", "C: trio / asyncio, SQLite", _against("C", "jobmaster-sqlite-trio", OURS_SQLITE), 0.75),
)
