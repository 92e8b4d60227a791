"""The machine and software of a run: the figures mean nothing without them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile


def machine_facts(folder: Path) -> Mapping[str, str]:
    """Return the machine's facts for the report; `folder` contains the databases."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "processors": f"{os.cpu_count()} ({_processor()})",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Python": platform.python_version(),
        "fsync": f"{fsync_milliseconds(folder):.2f} ms (median of 100 writes of 8 kB)",
    }


def fsync_milliseconds(folder: Path) -> float:
    """Return the milliseconds for writing 8 kB to disk, in an existing file."""
    block = os.urandom(8192)
    times = []
    with TemporaryFile(dir=folder) as file:
        for _ in range(100):
            started = time.perf_counter()
            os.pwrite(file.fileno(), block, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return median(times) * 1000


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
