"""Log lines about workers, buckets and clusters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jobmaster.models import LogLine


class LogStore(ABC):
    """Log lines. Those of jobs come with the reports of their attempts."""

    @abstractmethod
    async def add(self, cluster_id: str, lines: Sequence[LogLine]) -> None:
        """Append log lines about workers, buckets or the cluster."""

    @abstractmethod
    async def read(self, cluster_id: str, subject: str, subject_id: str, limit: int) -> Sequence[LogLine]:
        """Return the newest log lines of a subject, oldest first."""
