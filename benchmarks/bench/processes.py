"""The resource usage of a process and its descendants, read from /proc (Linux only)."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in _read(children).split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its descendants have used."""
    return sum(_own_cpu_seconds(one) for one in family(pid))


def peak_mb(pid: int) -> float:
    """Return the peak resident memory (MiB) of a process and its descendants, added up."""
    lines = [line for one in family(pid) for line in _read(Path(f"/proc/{one}/status")).splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _own_cpu_seconds(pid: int) -> float:
    # The name in brackets may contain spaces; numbers follow it. See proc(5).
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
