"""Running the measures: round by round, and within a round system by system, so that noise affects all alike."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from attrs import define, field, frozen

from bench.environments import InstallError
from bench.measures import MEASURES, Measure
from bench.scripts import NotOfferedError, ScriptError
from bench.stats import Spread, spread
from bench.systems import System
from bench.trials import Bench, Sample, VerificationError

_FAILURES = (ScriptError, VerificationError, subprocess.SubprocessError, psycopg.Error, OSError)

Progress = Callable[[str], None]


@define
class Cell:
    """The samples of all rounds of one measure for one system."""

    samples: list[Sample] = field(factory=list)
    problem: str | None = None
    """Why there are no (more) samples."""
    failed: bool = False
    """Whether that is a fault, and not merely something that the system does not offer."""

    def spread(self, name: str) -> Spread | None:
        """Return the spread of one value over the rounds."""
        return spread([sample[name] for sample in self.samples if name in sample])

    def median(self, name: str) -> float | None:
        """Return the median of one value over the rounds."""
        found = self.spread(name)
        return None if found is None else found.median


@frozen
class Results:
    """All cells, by measure and system."""

    cells: dict[str, dict[str, Cell]] = field(factory=dict)

    @property
    def failed(self) -> bool:
        """Whether any system failed in any measure."""
        return any(cell.failed for cells in self.cells.values() for cell in cells.values())

    def median(self, measure: str, system: str, name: str) -> float | None:
        """Return the median of a value, or None if it was not measured."""
        cell = self.cells.get(measure, {}).get(system)
        return None if cell is None else cell.median(name)

    def as_json(self) -> dict[str, Any]:
        """Return all measurements as JSON values."""
        return {
            measure: {
                name: {"samples": list(cell.samples), "problem": cell.problem, "failed": cell.failed}
                for name, cell in cells.items()
            }
            for measure, cells in self.cells.items()
        }


@frozen
class Run:
    """A run in progress. Its results so far are in `results`, however it ends."""

    bench: Bench
    rounds: int
    progress: Progress
    results: Results = field(factory=Results)

    def measure(self, name: str, systems: Sequence[System]) -> None:
        """Run all rounds of a measure."""
        measure = MEASURES[name]
        cells = self.results.cells[name] = {system.name: Cell() for system in systems}
        for number in range(1 if measure.repeats_itself else self.rounds):
            for system in _rotated(systems, number):
                cell = cells[system.name]
                if cell.problem is None:
                    self.progress(f"{name} {system.name}")
                    _run_once(self.bench, measure, system, cell)


def _rotated(systems: Sequence[System], number: int) -> list[System]:
    """Return the systems in another order for each round, so that no system always follows the same one."""
    start = number % len(systems) if systems else 0
    return [*systems[start:], *systems[:start]]


def _run_once(bench: Bench, measure: Measure, system: System, cell: Cell) -> None:
    try:
        cell.samples.append(measure.run(bench, system))
    except NotOfferedError as refusal:
        cell.problem = str(refusal)
    except InstallError as error:
        cell.problem, cell.failed = f"not installed: {error}", True
    except _FAILURES as error:
        cell.problem, cell.failed = f"failed: {error}", True
