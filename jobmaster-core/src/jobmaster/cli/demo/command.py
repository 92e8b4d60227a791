"""The command itself."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.reading import Backend, BackendOption, run_async
from jobmaster.cli.terminal import console

LARGEST_BURST = 100_000


def demo(
    *,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="The database to use. By default: a temporary SQLite file."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=LARGEST_BURST, help="The number of jobs in the burst.")
    ] = 2000,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary file, and show its path.")] = False,
    backend: BackendOption = Backend.ASYNCIO,
) -> None:
    """Show the system at work: priorities, retries, timeouts, cancellation, a burst; then audit every job.

    Exits with 0 only if every job ended as it should.
    """
    from jobmaster.cli.demo.run import run_demo

    with _database(url, keep=keep) as chosen, _failures_shown_by_the_demo():
        fine = run_async(run_demo, chosen, jobs, console(), kept=keep or url is not None, backend=backend)
    raise typer.Exit(ExitCode.OK if fine else ExitCode.FAILED)


@contextmanager
def _failures_shown_by_the_demo() -> Iterator[None]:
    """Within the block, log no failed attempts: the demo means them, and shows them itself."""
    logger = logging.getLogger("jobmaster.attempts")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _database(url: str | None, *, keep: bool) -> Iterator[str]:
    """Give the URL to use; a temporary file is removed in the end, unless it is to be kept."""
    if url is not None:
        yield url
    elif keep:
        yield _sqlite(tempfile.mkdtemp(prefix="jobmaster-demo-"))
    else:
        with tempfile.TemporaryDirectory(prefix="jobmaster-demo-") as folder:
            yield _sqlite(folder)


def _sqlite(folder: str) -> str:
    return f"sqlite:///{(Path(folder) / 'demo.db').as_posix()}"
