"""Settings of a server, database, role or URL with which a commit can be lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobmaster.contracts import DurabilityRisk
from jobmaster_sql import Answer, Query, Unit

_WITH_STANDBYS = {
    "local": (
        "a commit does not wait for the synchronous standbys, so a switch to one of them loses the jobs accepted in "
        "the last moments"
    ),
    "remote_write": (
        "a commit waits until a synchronous standby has received it, not until it is on the standby's disk: if primary and "
        "standby fail at once, the jobs accepted in the last moments are lost"
    ),
}
"""The meaning of weaker values than `on`. Without synchronous standbys they are the same as `on`."""
_RESET = "set it to on for the server, the database or the role, and take it out of the URL's options"


def ask() -> Unit[list[DurabilityRisk]]:
    """Read the settings of the session that runs this unit."""
    answer: Answer = yield Query("durability", last=True)
    return list(risks_in(*answer.rows[0]))


def risks_in(
    synchronous_commit: str,
    synchronous_standby_names: str,
    fsync: str,
    full_page_writes: str,
    read_only: str,
    in_recovery: bool,
    unlogged: Sequence[str],
) -> Iterator[DurabilityRisk]:
    """Yield the risks of settings, with values as `SHOW` shows them."""
    if in_recovery:
        yield DurabilityRisk(
            setting="pg_is_in_recovery",
            value="true",
            means="this server is a standby or is being restored, and only reads: nothing can be accepted",
            remedy="name the primary, or all hosts with target_session_attrs=read-write",
        )
    elif read_only == "on":
        yield DurabilityRisk(
            setting="default_transaction_read_only",
            value="on",
            means="sessions only read: nothing can be accepted",
            remedy="set it to off for the server, the database or the role, once there is room on its disk",
        )
    yield from _of_commits(synchronous_commit, synchronous_standby_names)
    if fsync == "off":
        yield DurabilityRisk(
            setting="fsync",
            value="off",
            means="the server never waits for its disk: a crash of its host can lose any commit and damage the database",
            remedy="set it to on in postgresql.conf, and reload",
        )
    if full_page_writes == "off":
        yield DurabilityRisk(
            setting="full_page_writes",
            value="off",
            means="a crash of the server's host while it writes a page can damage data committed before",
            remedy="set it to on in postgresql.conf, and reload, unless the file system writes pages whole",
        )
    if unlogged:
        yield DurabilityRisk(
            setting="relpersistence",
            value=f"unlogged ({', '.join(sorted(unlogged))})",
            means="a crash of the server empties these tables",
            remedy="ALTER TABLE ... SET LOGGED",
        )


def _of_commits(value: str, standbys: str) -> Iterator[DurabilityRisk]:
    if value == "off":
        means = (
            "a call returns before its jobs are on disk, so a crash of the server loses the jobs accepted in the last "
            "moments (up to three times wal_writer_delay)"
        )
        yield DurabilityRisk(setting="synchronous_commit", value=value, means=means, remedy=_RESET)
    elif standbys and value in _WITH_STANDBYS:
        means = _WITH_STANDBYS[value]
        yield DurabilityRisk(setting="synchronous_commit", value=value, means=means, remedy=_RESET)
