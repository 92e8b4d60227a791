"""A file that goes away while it is in use: an outage, and no write to a file that is gone counts as one."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import frozen

from jobmaster.contracts import MasterRepository
from jobmaster.errors import ConfigurationError, StoreUnavailableError, StoreUnreachableError
from jobmaster.models import ClusterRecord
from jobmaster_testing.options import Options, open_master, unopened_master
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

QUICK = Options(store_timeout=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    return made


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "jobs.db"


async def register(master: MasterRepository, name: str) -> None:
    await master.clusters.register(ClusterRecord(id=name))


async def can_read(master: MasterRepository, name: str) -> bool:
    return await master.clusters.get(name) is not None


async def cannot_read(master: MasterRepository) -> bool:
    try:
        await master.clusters.get("Before")
    except StoreUnreachableError:
        return True
    return False


@frozen
class Trouble:
    """What happens to the folder of a database, and how it is undone."""

    done: Callable[[Path], object]
    undone: Callable[[Path], object]


FILES = ("jobs.db", "jobs.db-wal", "jobs.db-shm")
"""A file and what SQLite keeps beside it, which belongs to no other file."""


def _take_away(folder: Path) -> None:
    for name in FILES:
        (folder / name).rename(folder / f"away-{name}")


def _bring_back(folder: Path) -> None:
    for name in FILES:
        (folder / f"away-{name}").rename(folder / name)


def _garble(folder: Path) -> None:
    _take_away(folder)
    (folder / "jobs.db").write_text("This is a text, which no database begins with. " * 50)


def _block(folder: Path) -> None:
    _take_away(folder)
    (folder / "jobs.db").mkdir()


def _unblock(folder: Path) -> None:
    (folder / "jobs.db").rmdir()
    _bring_back(folder)


TROUBLES = {
    "moved": Trouble(
        lambda folder: (folder / "jobs.db").rename(folder / "away.db"),
        lambda folder: (folder / "away.db").rename(folder / "jobs.db"),
    ),
    "folder moved": Trouble(
        lambda folder: folder.rename(folder.with_name("there")),
        lambda folder: folder.with_name("there").rename(folder),
    ),
    "all moved": Trouble(_take_away, _bring_back),
    "no database any more": Trouble(_garble, _bring_back),
    "a folder in its place": Trouble(_block, _unblock),
}


@pytest.mark.parametrize("kind", TROUBLES)
async def test_what_happens_to_a_file_in_use_is_an_outage_and_over_when_it_is_mended(
    folder: Path, path: Path, kind: str
) -> None:
    trouble = TROUBLES[kind]
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        await register(master, "Before")
        trouble.done(folder)
        with pytest.raises(StoreUnavailableError):
            await register(master, "During")
        with pytest.raises(StoreUnreachableError) as caught:
            await register(master, "During")
        assert not isinstance(caught.value, ConfigurationError)
        await until(lambda: cannot_read(master), what="the reader to see it")
        trouble.undone(folder)
        await register(master, "After")
        await until(lambda: can_read(master, "Before"), what="the reader to see it")
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        assert await master.clusters.get("After") is not None


async def test_a_file_that_is_gone_is_not_made_anew_while_it_is_in_use(path: Path) -> None:
    """An empty one would look like a cluster without jobs to whoever comes next."""
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        await register(master, "Before")
        path.unlink()  # noqa: ASYNC240 - a test
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                await register(master, "During")
        assert not path.exists()  # noqa: ASYNC240 - a test


async def test_a_backup_that_is_restored_is_used_in_its_place(path: Path, folder: Path) -> None:
    """What was written to the other file before that was noticed was not accepted."""
    backup = folder / "backup.db"
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        await register(master, "Before")
    shutil.copy(path, backup)
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        await register(master, "Lost")
        _take_away(folder)
        backup.rename(path)
        with pytest.raises(StoreUnavailableError):
            await register(master, "Doubtful")
        await register(master, "After")
        await until(lambda: can_read(master, "After"), what="the reader to see it")
        found = [await master.clusters.get(name) for name in ("Before", "After", "Lost", "Doubtful")]
    assert [one is not None for one in found] == [True, True, False, False]


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
async def test_a_file_that_may_not_be_written_any_more_is_an_outage(path: Path) -> None:
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        await register(master, "Before")
        away = path.with_name(f"{uuid4().hex}.db")
        shutil.copy(path, away)
        away.chmod(0o400)
        away.rename(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await register(master, "During")
        path.chmod(0o600)  # noqa: ASYNC240 - a test
        await register(master, "After")


async def test_the_same_at_the_start_is_a_mistake_in_the_configuration(path: Path, folder: Path) -> None:
    async with open_master(f"sqlite:///{path}", QUICK):
        pass
    for name in FILES[1:]:
        (folder / name).touch()
    for kind in ("folder moved", "no database any more", "a folder in its place"):
        TROUBLES[kind].done(folder)
        master = unopened_master(f"sqlite:///{path}", QUICK)
        with pytest.raises(ConfigurationError):
            await master.open()
        await master.close()
        TROUBLES[kind].undone(folder)


def _take_file_away(path: Path, away: Path, *, empty: bool) -> None:
    path.rename(away)
    if empty:
        path.touch()


def _bring_file_back(path: Path, away: Path) -> None:
    away.replace(path)


@pytest.mark.parametrize("empty", [False, True])
async def test_who_starts_beside_what_a_file_left_deletes_none_of_it(path: Path, empty: bool) -> None:
    """What was accepted last is in there: a new file in place of one that was moved away would be the end of it."""
    away = path.with_name("away.db")
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        await register(master, "Accepted last")
        _take_file_away(path, away, empty=empty)
        for wanted in (open_master, unopened):
            with pytest.raises(ConfigurationError, match="move the file back to its place"):
                async with wanted(f"sqlite:///{path}", QUICK):
                    pass
        _bring_file_back(path, away)
    async with open_master(f"sqlite:///{path}", QUICK) as master:
        assert await master.clusters.get("Accepted last") is not None


@asynccontextmanager
async def unopened(url: str, options: Options) -> AsyncIterator[MasterRepository]:
    """Open a store that is not to be made."""
    master = unopened_master(url, options)
    await master.open()
    yield master
