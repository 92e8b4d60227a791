"""Chaos as a command: `python -m tests.e2e.chaos_run --help`."""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from jobmaster_testing.servers import postgres_url
from tests.e2e import chaos, massacre, world
from tests.e2e.faults import KINDS, plan
from tests.e2e.stores import databases, own_postgres

JOBS_A_FAULT = 250
"""How many jobs come with each fault, unless told otherwise."""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--seed", type=int, help="what the plan of faults is made from; random if not given")
    parser.add_argument("--jobs", type=int, help="how many jobs; 20000, or 100000 in a massacre")
    parser.add_argument("--faults", type=int, help=f"how many faults; one for {JOBS_A_FAULT} jobs")
    parser.add_argument("--massacre", action="store_true", help="kill 90 %% of the workers, once")
    parser.add_argument("--workers", type=int, default=10, help="workers in a massacre; 10")
    parser.add_argument("--after", type=float, default=5.0, help="seconds of work before a massacre; 5")
    return parser.parse_args()


@contextmanager
def servers() -> Iterator[world.Servers]:
    """Within the block there are two servers to be restarted, and one that stays."""
    with own_postgres() as master, own_postgres() as agent, databases(postgres_url()) as new_database:
        yield world.Servers(master, agent, new_database)


async def run(told: argparse.Namespace, folder: Path) -> str:
    """Run what was asked for; return the summary, or raise `AssertionError`."""
    with servers() as ready:
        scenario = world.make_scenario(ready, folder)
        if told.massacre:
            return await massacre.run(scenario, told.jobs or 100_000, told.workers, told.after)
        jobs = told.jobs or 20_000
        faults = plan(told.seed, told.faults or max(len(KINDS), jobs // JOBS_A_FAULT))
        return await chaos.run(scenario, ready, told.seed, jobs, faults)


def main() -> int:
    """Run, say how to repeat it, and return the exit code."""
    told = arguments()
    if told.seed is None:
        told.seed = random.randrange(10_000)
    print(f"seed {told.seed}", flush=True)  # noqa: T201
    folder = Path(tempfile.mkdtemp(prefix="jobmaster-chaos-"))
    try:
        print(anyio.run(run, told, folder))  # noqa: T201
        shutil.rmtree(folder)
    except Exception:  # noqa: BLE001 - shown, with what is needed to repeat it
        traceback.print_exc()
        print(f"FAILED with seed {told.seed}; the logs and the ledger are in {folder}")  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
