"""What SQLite's own settings and the file system under it mean for what was accepted."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jobmaster import Cluster
from jobmaster.contracts import DurabilityRisk, MasterRepository
from jobmaster.errors import ConfigurationError
from jobmaster_sqlite.durability import file_system_of, risks_in
from jobmaster_testing.options import open_agent, open_master

pytestmark = pytest.mark.anyio

SHM = Path("/dev/shm")  # noqa: S108 - a file system in memory is what is wanted


def of_settings(risks: object) -> list[str]:
    """Return what is said of connections: on which file system the tests run is not theirs to say."""
    assert isinstance(risks, list | tuple)
    return [str(one).partition(":")[0] for one in risks if one.setting != "the file system"]


async def test_nothing_is_said_of_a_file_that_is_flushed(master: MasterRepository) -> None:
    assert of_settings(await master.durability_risks()) == []


async def test_flushes_that_are_not_waited_for_are_said(url: str) -> None:
    async with open_master(f"{url}?synchronous=normal") as master:
        assert of_settings(await master.durability_risks()) == ["synchronous is normal"]
    async with open_agent("A", f"{url}?synchronous=normal") as agent:
        assert of_settings(await agent.durability_risks()) == ["synchronous is normal"]


async def test_a_cluster_that_has_to_be_durable_waits_for_the_disk(url: str) -> None:
    made = Cluster("File-1", f"{url}?synchronous=normal").configure(require_durable=True)
    with pytest.raises(ConfigurationError, match=r"require_durable: the master .* synchronous is normal"):
        async with made.running(workers=False):
            pass


@pytest.mark.skipif(not os.path.ismount(SHM), reason="needs a file system in memory at /dev/shm")
async def test_a_file_in_memory_is_said() -> None:
    with TemporaryDirectory(dir=SHM) as folder:
        async with open_master(f"sqlite:///{folder}/jobs.db") as master:
            risks = [str(risk) for risk in await master.durability_risks()]
    assert risks == [
        "the file system is tmpfs: it is in memory: all jobs are gone when the host restarts; name a file on a disk"
    ]


MOUNTS = """\
22 27 0:20 / /proc rw,nosuid - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:33 / {folder} rw,relatime shared:7 - nfs4 nas:/export rw,vers=4.2
31 27 0:34 / {folder}/with\\040space rw - cifs //nas/share rw
32 27 0:35 / {folder}-beside rw - tmpfs tmpfs rw
33 27 0:36 / {folder}/over rw - 9p host rw
34 27 0:37 / {folder}/over rw - fuse.sshfs me@there: rw
35 27 0:38 / {folder}/local rw - xfs /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("jobs.db", "nfs4"),
        ("deep/er/jobs.db", "nfs4"),
        ("with space/jobs.db", "cifs"),
        ("over/jobs.db", "fuse.sshfs"),
        ("local/jobs.db", "xfs"),
        ("../jobs.db", "ext4"),
    ],
)
def test_the_mount_that_a_file_is_on(name: str, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(folder=folder))

    assert file_system_of(folder / name, mounts) == kind


def test_a_link_leads_to_where_the_file_is(tmp_path: Path) -> None:
    folder, mounts = tmp_path / "mounted", tmp_path / "mountinfo"
    folder.mkdir()
    mounts.write_text(MOUNTS.format(folder=folder))
    link = tmp_path / "link"
    link.symlink_to(folder)

    assert file_system_of(link / "jobs.db", mounts) == "nfs4"


@pytest.mark.parametrize("content", ["", "nonsense\n", "1 2 3\n", None])
def test_where_it_cannot_be_told_nothing_is_said(content: str | None, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    if content is not None:
        mounts.write_text(content)

    assert file_system_of(tmp_path / "jobs.db", mounts) is None
    assert list(risks_in(None)) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nfs4", "another machine"),
        ("cifs", "another machine"),
        ("9p", "another machine"),
        ("fuse.sshfs", "another machine"),
        ("tmpfs", "gone when the host restarts"),
        ("ext4", None),
        ("fuseblk", None),
    ],
)
def test_what_kinds_of_file_systems_mean(kind: str, said: str | None) -> None:
    risks: list[DurabilityRisk] = list(risks_in(kind))

    assert [said in str(risk) and risk.value == kind for risk in risks if said] == ([True] if said else [])
    assert bool(risks) == bool(said)
