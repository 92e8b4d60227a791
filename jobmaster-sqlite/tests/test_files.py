"""Who may read the files of a database, and where a link may lead."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobmaster.errors import ConfigurationError
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.options import open_master, unopened_master

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def modes(url: str, folder: Path) -> dict[str, int]:
    """Return the modes of the files in a folder while a database there is in use."""
    async with open_master(url) as master:
        await master.schema.migrate()
        await master.jobs.insert([make_new_job()])
        return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}  # noqa: ASYNC240 - a moment


async def refusal(path: Path) -> str:
    """Return the message with which a file is refused."""
    master = unopened_master(f"sqlite:///{path}")
    try:
        with pytest.raises(ConfigurationError) as caught:
            await master.open()
    finally:
        await master.close()
    return str(caught.value)


@pytest.mark.parametrize(("options", "mode"), [("", 0o600), ("?file_mode=0640", 0o640)])
async def test_a_database_is_its_owners_and_so_is_what_lies_beside_it(
    tmp_path: Path, options: str, mode: int
) -> None:
    found = await modes(f"sqlite:///{tmp_path}/jobs.db{options}", tmp_path)

    assert found == {"jobs.db": mode, "jobs.db-wal": mode, "jobs.db-shm": mode}


async def test_one_that_is_there_is_left_as_it_is_and_told_of_if_it_is_wider(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite3.connect(tmp_path / "jobs.db").close()
    (tmp_path / "jobs.db").touch(0o664)
    (tmp_path / "jobs.db").chmod(0o664)

    found = await modes(f"sqlite:///{tmp_path}/jobs.db", tmp_path)

    assert set(found.values()) == {0o664}
    [said] = [record.getMessage() for record in caplog.records]
    assert "jobs.db is open to other users of this host (mode 0664): chmod 0600, or file_mode=0664" in said

    caplog.clear()
    await modes(f"sqlite:///{tmp_path}/jobs.db?file_mode=0664", tmp_path)
    assert not caplog.records


async def test_a_link_of_ones_own_may_lead_to_it_also_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "jobs.db").symlink_to(tmp_path / "volume" / "data.db")

    found = await modes(f"sqlite:///{tmp_path}/jobs.db", tmp_path / "volume")

    assert found == dict.fromkeys(["data.db", "data.db-wal", "data.db-shm"], 0o600)


async def test_a_link_of_another_user_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs.db").symlink_to(tmp_path / "victim")
    if os.geteuid() == 0:
        os.chown(tmp_path / "jobs.db", 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

    assert "is a symbolic link of another user; name its target" in await refusal(tmp_path / "jobs.db")
    assert not (tmp_path / "victim").exists()


async def test_a_device_is_no_database() -> None:
    assert "is not a regular file; name another one" in await refusal(Path(os.devnull))
