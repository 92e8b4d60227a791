"""Opening a file: what is wrong is said, with the remedy."""

import os
import sqlite3
from pathlib import Path

import pytest

from jobmaster.errors import ConfigurationError, SchemaError, StoreUnreachableError
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.options import Options, open_master, unopened_master

pytestmark = pytest.mark.anyio


async def refusal(path: Path) -> str:
    """Return the message with which a file is refused."""
    master = unopened_master(f"sqlite:///{path}", Options(store_timeout=1.0))
    try:
        with pytest.raises(ConfigurationError) as caught:
            await master.open()
    finally:
        await master.close()
    return str(caught.value)


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert "no such/folder does not exist; create it" in await refusal(
        tmp_path / "no such" / "folder" / "jobs.db"
    )


async def test_a_file_that_is_not_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    master = unopened_master(f"sqlite:///{path}")

    with pytest.raises(
        ConfigurationError, match="there is no such file; correct the path, or run `jobmaster"
    ):
        await master.open(create=False)
    assert not path.exists()

    await master.open()
    await master.open(create=False)
    await master.close()


async def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert "is a folder; name a file in it" in await refusal(tmp_path)


@pytest.fixture
def text(path: Path) -> Path:
    path.write_text("This is a text, and quite a long one, which no database begins with. " * 50)
    return path


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o500)
    return tmp_path


async def test_a_file_that_is_no_database(text: Path) -> None:
    assert "is not a SQLite database; name another file" in await refusal(text)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
async def test_a_folder_that_may_not_be_written_to(read_only_folder: Path) -> None:
    assert "may not write to" in await refusal(read_only_folder / "jobs.db")


async def test_a_file_is_kept_with_a_write_ahead_log(url: str, path: Path) -> None:
    async with open_master(url):
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()


async def test_a_file_without_schema_is_reported_as_such(url: str) -> None:
    master = unopened_master(url)
    await master.open()
    try:
        with pytest.raises(SchemaError, match="jobmaster migrate"):
            await master.jobs.insert([make_new_job()])
    finally:
        await master.close()


async def test_a_file_that_stays_locked_is_unavailable(url: str, path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    blocker.execute("CREATE TABLE t (a)")
    master = unopened_master(url, Options(store_timeout=0.2))
    try:
        with pytest.raises(StoreUnreachableError, match="write lock too long"):
            await master.open()
        blocker.execute("COMMIT")
        await master.open()
    finally:
        blocker.close()
        await master.close()
