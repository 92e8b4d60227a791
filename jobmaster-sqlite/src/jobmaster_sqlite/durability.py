"""Connection settings and file systems with which a commit can be lost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync

from jobmaster.contracts import DurabilityRisk
from jobmaster_sql import Answer, Query, Unit
from jobmaster_sqlite.driver import SqliteDriver

_FULL: Final = 2
_SYNCHRONOUS: Final = ("off", "normal", "full", "extra")
_UNSAFE_JOURNALS: Final = frozenset({"off", "memory"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_SHARED: Final = frozenset(
    {
        *(
            "nfs",
            "nfs3",
            "nfs4",
            "cifs",
            "smb2",
            "smb3",
            "smbfs",
            "9p",
            "afs",
            "coda",
            "ncpfs",
            "davfs",
            "webdav",
        ),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "gfs2", "ocfs2"),
        *("virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
        *(
            "fuse.sshfs",
            "fuse.ceph",
            "fuse.glusterfs",
            "fuse.rclone",
            "fuse.s3fs",
            "fuse.gcsfuse",
            "fuse.vmhgfs-fuse",
        ),
        *(
            "fuse.smbnetfs",
            "fuse.davfs2",
            "fuse.nfs",
            "fuse.juicefs",
            "fuse.mfs",
            "fuse.grpcfuse",
            "fuse.osxfs",
        ),
    }
)
"""File systems of other machines: over a network, or of the host of this virtual machine."""
_TEMPORARY: Final = frozenset({"tmpfs", "ramfs"})
_POINT: Final = 4
"""The field that contains the mount point."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


async def risks_of(driver: SqliteDriver, path: Path) -> list[DurabilityRisk]:
    """Return the risks of an open file."""
    settings = await driver.run(_ask, read_only=True)
    return [*settings, *risks_in(await run_sync(file_system_of, path))]


def _ask() -> Unit[list[DurabilityRisk]]:
    answers: list[Answer] = yield Query("durability_synchronous"), Query("durability_journal", last=True)
    synchronous, journal = (answer.rows[0][0] for answer in answers)
    risks = []
    if synchronous < _FULL:
        risks.append(
            DurabilityRisk(
                setting="synchronous",
                value=_SYNCHRONOUS[synchronous],
                means="a call returns before its jobs are on disk, so a power cut loses the jobs accepted last",
                remedy="leave synchronous out of the URL",
            )
        )
    if journal in _UNSAFE_JOURNALS:
        risks.append(
            DurabilityRisk(
                setting="journal_mode",
                value=journal,
                means="a crash in the middle of a commit damages the file",
                remedy="PRAGMA journal_mode=WAL",
            )
        )
    return risks


def risks_in(file_system: str | None) -> Iterator[DurabilityRisk]:
    """Yield the risks of a kind of file system for a database; none for an unknown one."""
    if file_system in _SHARED:
        yield DurabilityRisk(
            setting="the file system",
            value=file_system,
            means=(
                "its locks and flushes are those of another machine and cannot be relied on: commits can be lost, and the "
                "file can be damaged"
            ),
            remedy="put the file on a disk of this host, or use PostgreSQL",
        )
    elif file_system in _TEMPORARY:
        yield DurabilityRisk(
            setting="the file system",
            value=file_system,
            means="it is in memory: all jobs are gone when the host restarts",
            remedy="name a file on a disk",
        )


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of file system that a file is on, as Linux names it; None where it cannot be determined."""
    try:
        mounted = list(_mounted(mounts.read_text(encoding="utf-8", errors="surrogateescape")))
    except OSError:
        return None
    real = os.path.realpath(path)
    above = [(point, kind) for point, kind in mounted if f"{real}/".startswith(f"{point.rstrip('/')}/")]
    # The deepest mount counts, and of several at one place the last one.
    return max(enumerate(above), key=lambda one: (len(one[1][0]), one[0]))[1][1] if above else None


def _mounted(text: str) -> Iterator[tuple[str, str]]:
    """Yield mount points and their kinds, from lines as `proc_pid_mountinfo(5)` describes them."""
    for line in text.splitlines():
        before, after = (part.split(" ") for part in (line.partition(" - ")[0], line.partition(" - ")[2]))
        if len(before) > _POINT and after[0]:
            yield _ESCAPED.sub(lambda code: chr(int(code[1], 8)), before[_POINT]), after[0]
