"""The report: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.measures import MEASURES
from bench.rounds import Cell, Results
from bench.scripts import Reply
from bench.systems import CATALOGUE
from bench.targets import Outcome, check_targets
from bench.trials import Sizes

_RATES = ("A", "A100", "B", "C", "D")

# Column heading, name in the sample, format of the figure.
_Column = tuple[str, str, str]
_MAKESPAN: Sequence[_Column] = (
    ("makespan, s", "makespan_s", ".1f"),
    ("ideal, s", "ideal_s", ".1f"),
    ("ratio", "ratio", ".2f"),
    ("beyond 1.15 x ideal, s", "excess_s", ".1f"),
    ("needless wait, s", "needless_s", ".1f"),
)
_COLUMNS: Mapping[str, Sequence[_Column]] = {
    "E": (
        ("p50 ms", "p50", ".1f"),
        ("p95 ms", "p95", ".1f"),
        ("p99 ms", "p99", ".1f"),
        ("worst ms", "max", ".0f"),
    ),
    "F": (
        ("peak MiB", "peak_mb", ".0f"),
        ("idle queries/s", "idle_queries_per_s", ".2f"),
        ("idle CPU %", "idle_cpu_percent", ".2f"),
    ),
    "G": (("jobs/s", "rate", ",.0f"), ("without history", "control", ",.0f"), ("ratio", "ratio", ".2f")),
    "M": (
        ("statements a job", "statements_per_job", ".3f"),
        ("rows written a job", "rows_per_job", ".2f"),
    ),
    "R": (
        ("first start, s", "first_s", ".1f"),
        ("last start, s", "last_s", ".1f"),
        ("jobs that waited", "stranded", ",.0f"),
    ),
    "S-late": _MAKESPAN,
    "S-mixed": _MAKESPAN,
    "S-scale": _MAKESPAN,
    "S-long": (
        ("longest wait, s", "wait_s", ".1f"),
        ("ideal wait, s", "ideal_wait_s", ".1f"),
        ("quick ones that waited", "stuck", ".0f"),
        ("needless wait, s", "needless_s", ".1f"),
        ("makespan, s", "makespan_s", ".1f"),
        ("its ideal, s", "ideal_s", ".1f"),
    ),
    "S-kill": (
        ("longest wait, s", "new_wait_s", ".1f"),
        ("jobs that waited", "delayed", ",.0f"),
        ("not begun before, s", "old_wait_s", ".1f"),
        ("run again, s", "again_s", ".1f"),
        ("jobs run again", "again", ",.0f"),
        ("lowest second", "lowest", ".0%"),
        ("seconds below 90 %", "low_seconds", ".0f"),
    ),
    "H": (
        ("p50 ms", "p50", ".1f"),
        ("p99 ms", "p99", ".1f"),
        ("early p99", "early_p99", ".1f"),
        ("late p99", "late_p99", ".1f"),
        ("worst ms", "max", ".0f"),
        ("dead rows", "dead_tuples", ",.0f"),
    ),
}


@frozen
class Report:
    """A run: its circumstances and its results."""

    facts: Mapping[str, Mapping[str, str]]
    sizes: Sizes
    rounds: int
    notes: Mapping[str, Reply]
    results: Results

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of the targets."""
        return check_targets(self.results)

    def as_json(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        return {
            "facts": self.facts,
            "sizes": asdict(self.sizes),
            "rounds": self.rounds,
            "payload_bytes": 200,
            "systems": self.notes,
            "measures": {name: MEASURES[name].title for name in self.results.cells},
            "results": self.results.as_json(),
            "targets": [_outcome_json(outcome) for outcome in self.outcomes],
        }

    def write(self, path: Path) -> None:
        """Write the run to a JSON file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    def print(self, console: Console) -> None:
        """Print the run."""
        for title, facts in self.facts.items():
            console.print(Text(f"{title}: " + ", ".join(f"{name} {value}" for name, value in facts.items())))
        console.print(Text(f"Sizes: {asdict(self.sizes)}, {self.rounds} rounds, payload 200 bytes"))
        console.print(_systems_table(self.notes))
        for table in _tables(self.results):
            console.print(table)
        _print_problems(self.results, console)
        if outcomes := self.outcomes:
            console.print(_targets_table(outcomes))


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    target = outcome.target
    limit = {"at_most" if target.at_most else "at_least": target.limit}
    return {
        "measure": target.measure,
        "target": target.text,
        **limit,
        "value": outcome.value,
        "met": outcome.met,
    }


def _systems_table(notes: Mapping[str, Reply]) -> Table:
    table = Table(title="Systems", title_justify="left", show_lines=True)
    for heading in ("system", "versions", "settings", "history"):
        table.add_column(heading, overflow="fold")
    for name in sorted(notes, key=_place):
        note = notes[name]
        table.add_row(name, _listed(note["versions"], " "), _listed(note["settings"], ": "), note["history"])
    return table


def _listed(values: Mapping[str, Any], between: str) -> str:
    return "\n".join(f"{name}{between}{value}" for name, value in values.items())


def _place(name: str) -> int:
    return list(CATALOGUE.systems).index(name)


def _tables(results: Results) -> list[Table]:
    rates = [name for name in _RATES if name in results.cells]
    tables = [_rates_table(results, rates)] if rates else []
    return tables + [_values_table(results, name) for name in _COLUMNS if name in results.cells]


def _rates_table(results: Results, measures: Sequence[str]) -> Table:
    table = Table(title="Jobs a second: median, and the range over the rounds", title_justify="left")
    table.add_column("")
    for name in measures:
        table.add_column(f"{name}\n{MEASURES[name].title}", justify="right")
    systems = {system for name in measures for system in results.cells[name]}
    for system in sorted(systems, key=_place):
        table.add_row(system, *(_shown(results.cells[name].get(system), "rate", ",.0f") for name in measures))
    return table


def _values_table(results: Results, measure: str) -> Table:
    table = Table(title=f"{measure}: {MEASURES[measure].title}", title_justify="left")
    table.add_column("")
    for heading, _, _ in _COLUMNS[measure]:
        table.add_column(heading, justify="right")
    for system, cell in results.cells[measure].items():
        table.add_row(system, *(_shown(cell, name, form) for _, name, form in _COLUMNS[measure]))
    return table


def _shown(cell: Cell | None, name: str, form: str) -> str:
    if cell is None:
        return ""
    if cell.problem is not None and not cell.samples:
        return "failed" if cell.failed else "none"
    found = cell.spread(name)
    if found is None:
        return "-"
    text = format(found.median, form)
    return text if found.rounds == 1 else f"{text} [{found.least:{form}} to {found.most:{form}}]"


def _print_problems(results: Results, console: Console) -> None:
    for measure, cells in results.cells.items():
        for system, cell in cells.items():
            if cell.problem is not None:
                console.print(
                    Text(f"{measure} {system}: {cell.problem}"), style="red" if cell.failed else "dim"
                )


def _targets_table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Targets", title_justify="left")
    for heading in ("target", "wanted", "measured", ""):
        table.add_column(heading, justify="left" if heading in ("target", "") else "right")
    for outcome in outcomes:
        target = outcome.target
        wanted = f"{'≤' if target.at_most else '≥'} {target.limit:g}{target.unit}"
        value = "-" if outcome.value is None else f"{outcome.value:.2f}{target.unit}"
        table.add_row(target.text, wanted, value, _verdict(outcome))
    return table


def _verdict(outcome: Outcome) -> Text:
    if outcome.met is None:
        return Text("not measured", style="dim")
    return Text("met", style="green") if outcome.met else Text("missed", style="bold red")
