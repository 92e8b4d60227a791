"""Which job to blame when a worker dies: only one whose start was recorded."""

from __future__ import annotations

from attrs import frozen

CRASHES_UNTIL_POISON = 3
CRASHES_UNTIL_ACCUSED = 2
"""From this many crashes on, a job runs alone among its like: the next crash has to identify the culprit."""


@frozen
class Blame:
    """The blame that a job carries after a crash: how many crashes it accounts for, and whether it is a suspect."""

    crashes: int
    suspect: bool

    @property
    def poisoned(self) -> bool:
        """Whether the job has brought down as many workers as it may."""
        return self.crashes >= CRASHES_UNTIL_POISON


def after_crash(crashes: int, *, suspect: bool, start_recorded: bool) -> Blame:
    """Return the blame of a job that its worker may have been running when it died.

    The first time it is unknown which job it was: all become suspects. A suspect's start is written before it runs
    again; if that start was recorded at the next crash, the crash is counted, and so is the one that made the job a
    suspect (unless that one is already counted).
    """
    if not start_recorded:
        return Blame(crashes, suspect=True)
    unaccounted = suspect and crashes == 0
    return Blame(crashes + 1 + unaccounted, suspect=True)
