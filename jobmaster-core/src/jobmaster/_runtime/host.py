"""The host of a process, as recorded on the master."""

from __future__ import annotations

import os
import platform

from jobmaster.models import HostRecord
from jobmaster.version import __version__


def host_record(cluster_id: str, name: str) -> HostRecord:
    """Return the record of this host: its system, its CPUs, the versions of Python and of JobMaster."""
    info = {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "jobmaster": __version__,
    }
    return HostRecord(cluster_id=cluster_id, name=name, info=info)
