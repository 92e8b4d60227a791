"""Run the benchmarks: `make bench`, or `make bench ARGS="--measures A,C --systems jobmaster,raw --quick"`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve
from bench.environments import HERE
from bench.machine import machine_facts
from bench.measures import MEASURES
from bench.report import Report
from bench.rounds import Run
from bench.servers import running_server
from bench.stores import PairStore, PostgresStore, SqliteStore, Store
from bench.systems import CATALOGUE, System
from bench.trials import QUICK, Bench, Sizes
from rich.console import Console

STORES = ("postgres", "pair", "sqlite")


def main() -> int:
    """Run the measures chosen on the command line; return 1 if a system failed."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped in this case too
    systems = CATALOGUE.chosen(options.systems, options.measures, options.stores)
    progress = Console(stderr=True)
    with ExitStack() as stack:
        folder = stack.enter_context(working_folder(options.folder))
        stores = stack.enter_context(opened_stores(systems, folder, options.postgres_bin))
        facts = {"Machine": machine_facts(folder), **{name: store.facts() for name, store in stores.items()}}
        bench = Bench(stores, sizes_of(options), options.time_limit)
        run = Run(bench, options.rounds, lambda text: progress.print(text, style="dim"))
        try:
            for name in options.measures:
                run.measure(name, taking_part(systems, name, named=bool(options.systems)))
        finally:
            publish(Report(facts, bench.sizes, run.rounds, bench.notes, run.results), options.out)
    return 1 if run.results.failed else 0


def taking_part(systems: Sequence[System], measure: str, *, named: bool) -> list[System]:
    """Return the systems to measure: named systems in all that they support, others in the usual measures."""
    return [system for system in systems if measure in (system.supports if named else system.measures)]


def publish(report: Report, path: Path) -> None:
    """Print a report and write it to a file."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    report.print(console)
    report.write(path)
    console.print(f"written to {path}", soft_wrap=True)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Compare JobMaster with raw driver loops and other job queues.",
        epilog="Measures: " + "; ".join(f"{m.name} {m.title}" for m in MEASURES.values()),
    )
    add = parser.add_argument
    add("--measures", type=names_of(MEASURES), default=tuple(MEASURES), help="comma-separated; default: all")
    add("--systems", type=names_of(CATALOGUE.systems), default=(), help="default: all of the chosen stores")
    add(
        "--stores", type=names_of(STORES), default=STORES, help="some of postgres, pair, sqlite; default: all"
    )
    add("--rounds", type=int, default=3, help="rounds of every measure; the median counts (default: 3)")
    add("--jobs", type=int, help="jobs of bulk calls and drains (default: 20,000)")
    add("--history", type=int, help="finished jobs of measure G (default: 1,000,000)")
    add("--seconds", type=int, help="length of measure H (default: 300)")
    add("--rate", type=int, help="jobs a second of measure H (default: 1,000)")
    add(
        "--quick",
        action="store_true",
        help="tiny sizes and one round: shows that all works, measures nothing",
    )
    add(
        "--out",
        type=Path,
        default=default_out(),
        help="the JSON file (default: benchmarks/results/<moment>.json)",
    )
    add(
        "--folder",
        type=Path,
        help="where the databases are; decides what a commit costs (default: temporary)",
    )
    add("--postgres-bin", type=Path, help="folder of PostgreSQL's programs (default: the newest one found)")
    add("--time-limit", type=float, default=900.0, help="seconds for one command of a system (default: 900)")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def names_of(known: Mapping[str, object] | Sequence[str]) -> Names:
    """Return a converter of comma-separated names."""
    return Names(tuple(known))


class Names:
    """Converts comma-separated names, and refuses unknown ones."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        """Return the names in `text`."""
        names = tuple(name.strip() for name in text.split(","))
        for name in names:
            if name not in self._known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(self._known)}")
        return names


def default_out() -> Path:
    """Return a file named after the current time."""
    return HERE / "results" / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return the sizes to measure."""
    given = {
        "jobs": options.jobs,
        "history": options.history,
        "steady_seconds": options.seconds,
        "steady_rate": options.rate,
    }
    present = {name: value for name, value in given.items() if value is not None}
    return evolve(QUICK if options.quick else Sizes(), **present)


@contextmanager
def working_folder(parent: Path | None) -> Iterator[Path]:
    """Create a folder for the databases, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    folder.chmod(0o755)  # the server may run as another user
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def opened_stores(
    systems: Sequence[System], folder: Path, programs: Path | None
) -> Iterator[Mapping[str, Store]]:
    """Open the stores that the systems need."""
    needed = {system.store for system in systems}
    with ExitStack() as stack:
        stores: dict[str, Store] = {}
        if needed & {"postgres", "pair"}:
            master = PostgresStore(stack.enter_context(running_server(programs, folder)))
            stores["postgres"] = master
            if "pair" in needed:
                agent = PostgresStore(stack.enter_context(running_server(programs, folder)))
                stores["pair"] = PairStore(master, agent)
        if "sqlite" in needed:
            stores["sqlite"] = SqliteStore(folder)
        yield stores


if __name__ == "__main__":
    raise SystemExit(main())
