"""Every error JobMaster raises, in one tree.

JobMasterError
├── ConfigurationError            a setting, name or plug-in is wrong: start-up is refused
│   ├── UnknownSchemeError        no installed provider serves this URL
│   ├── DuplicateDefinitionError  two handlers with one definition id
│   └── SchemaError               the database's schema is missing or from another version
├── SchedulingError               a scheduling call was refused; nothing was stored
│   ├── UnknownHandlerError       what is to be scheduled is not a handler or definition
│   ├── InvalidArgumentsError     arguments do not fit the handler's signature
│   ├── InvalidExpressionError    a recurrence cannot be read; in code, also a ConfigurationError
│   ├── InvalidDataError          a value that message data or metadata cannot hold
│   ├── KeyTakenError             the idempotency key belongs to a job of another definition
│   ├── MessageTooLargeError      message data over `max_message_bytes`
│   ├── ClusterArchivedError      the cluster is read only
│   └── NotRunningError           the cluster's runtime has not started or has stopped
├── InvalidQueryError             a query for jobs or schedules that makes no sense
├── JobNotFoundError              no job with this id in the cluster
├── ScheduleNotFoundError         no recurring schedule with this id in the cluster
├── ClusterNotFoundError          the master has no cluster of this id
├── WorkerNotFoundError           no worker of this name runs in the cluster
├── InvalidTransitionError        the status of a job or schedule does not allow what was asked
├── StoreError                    a database or broker could not do what was asked
│   ├── StoreUnavailableError     unreachable or too slow; retried with backoff where that is safe
│   │   └── StoreUnreachableError  certainly nothing happened, for example without a connection
│   │       └── StoreRefusedError  the store refuses this process; at start-up a ConfigurationError
│   └── StoreConflictError        a constraint of the store refused the write
└── LeaseLostError                this worker's lease ran out; bucket ownership changed

Control flow for handlers (they are not failures): `Retry`, `Snooze`, `Discard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from difflib import get_close_matches
from typing import Final

from jobmaster._text.printable import printable
from jobmaster._text.showing import named, shown
from jobmaster._time.durations import to_delay


class JobMasterError(Exception):
    """Root of all errors JobMaster raises."""


class ConfigurationError(JobMasterError):
    """A setting, a name or a plug-in is wrong; the message names it and the remedy."""


class UnknownSchemeError(ConfigurationError):
    """No installed provider serves the scheme of a database or broker URL."""

    def __init__(self, setting: str, scheme: str, known: Iterable[str], *, show: bool = True) -> None:
        """`show` says whether this is certainly a scheme: the start of a mistyped URL may be part of a password."""
        show = show or scheme.partition("+")[0] in {*PACKAGES, *_FOREIGN}
        self.setting, self.scheme, self.known = setting, scheme if show else "", sorted(known)
        served = ", ".join(f"{name}://" for name in self.known) or "none"
        what = f"{scheme}:// URLs" if show else "the scheme of this URL"
        super().__init__(
            f"{setting}: no installed provider serves {what}; {_remedy(scheme, self.known)} (served now: {served})"
        )


INSTALLING: Final = "from a clone or from wheels, as docs/how-to/install.md says"
"""How JobMaster's packages are installed. Not by their names: these are not published yet, so anyone may claim them."""

PACKAGES: Final[Mapping[str, str]] = {
    "sqlite": "jobmaster-sqlite",
    "postgresql": "jobmaster-postgres",
    "postgres": "jobmaster-postgres",
    "nats": "jobmaster-nats",
    "tls": "jobmaster-nats",
}
"""The package to install for a scheme. Only packages that exist."""
_FOREIGN: Final = frozenset(
    {
        "mysql",
        "mariadb",
        "mssql",
        "sqlserver",
        "oracle",
        "mongodb",
        "redis",
        "rediss",
        "amqp",
        "kafka",
    }
)
"""Schemes of systems that users may well mean, and for which JobMaster has no provider."""


def _remedy(scheme: str, known: Iterable[str]) -> str:
    if scheme in PACKAGES:
        return f"install its provider, {PACKAGES[scheme]}, {INSTALLING}"
    plain = scheme.partition("+")[0]
    if plain in PACKAGES:
        return f"write it as {plain}:// (with {PACKAGES[plain]}, which brings its own driver)"
    if plain in _FOREIGN:
        return (
            "JobMaster has no provider for it; use PostgreSQL (jobmaster-postgres) or SQLite (jobmaster-sqlite), "
            "or install a third-party provider"
        )
    guess = get_close_matches(scheme, [*PACKAGES, *known], n=1)
    return f"did you mean {guess[0]}://?" if guess else "check the URL's spelling"


class DuplicateDefinitionError(ConfigurationError):
    """Two handlers claim the same definition id."""

    def __init__(self, definition_id: str, first: str, second: str) -> None:
        self.definition_id = definition_id
        super().__init__(
            f"definition id {definition_id!r} is used by both {first} and {second}; "
            "give one of them another id in @handler(...), or name the handlers to serve with Cluster.add_handlers(...)"
        )


class SchemaError(ConfigurationError):
    """The database's schema is missing, older or newer than this version needs."""

    @classmethod
    def behind(cls, what: str, pending: Sequence[str], remedy: str) -> SchemaError:
        """Return the error for a schema, called `what`, that lacks migrations."""
        count = "1 migration" if len(pending) == 1 else f"{len(pending)} migrations"
        return cls(f"{what} lacks {count} ({', '.join(pending)}); {remedy}")


class SchedulingError(JobMasterError):
    """A scheduling call was refused. Nothing was stored."""


class UnknownHandlerError(SchedulingError):
    """What was to be scheduled is neither a handler nor a job definition."""


class InvalidArgumentsError(SchedulingError):
    """The arguments of a scheduling call do not fit the handler's signature."""


_LONGEST_EXPRESSION: Final = 2000
"""The longest expression, in characters, that an error shows in full."""


class InvalidExpressionError(SchedulingError, ConfigurationError):
    """An expression is not a valid recurrence: the call is refused, or the start-up if the expression is in code.

    `kind` is the kind of recurrence (empty if none is implied) and `text` the expression; `reason` says what is wrong
    and what was expected. If one place is wrong, `line`, `column` and `end_column` (from 1, the end exclusive) point at
    it. `code` is for programs.
    """

    def __init__(
        self,
        kind: str,
        text: object,
        reason: str,
        *,
        code: str = "invalid",
        line: int = 1,
        column: int | None = None,
        end_column: int | None = None,
        more: Iterable[str] = (),
        what: str = "",
        place: str = "",
    ) -> None:
        """`more` holds further problems of the text, each as one line.

        `what` says what the expression belongs to, and `place` where it is written.
        """
        self.kind, self.text, self.reason, self.code = kind, text, reason, code
        self.line, self.column, self.end_column, self.more = line, column, end_column, tuple(more)
        self.what, self.place = what, place
        first, *rest = f"{kind} expression {shown(text, _LONGEST_EXPRESSION)}: {reason}".lstrip().split("\n")
        head = (f"{what}: " if what else "") + first + (f" ({place})" if place else "")
        lines = [head, *rest, *_picture(text, line, column, end_column)]
        super().__init__("\n".join([*lines, *self.more]))

    def about(self, what: str, place: str) -> InvalidExpressionError:
        """Return the same error, extended with what the expression belongs to and where it is written."""
        return InvalidExpressionError(
            self.kind,
            self.text,
            self.reason,
            code=self.code,
            line=self.line,
            column=self.column,
            end_column=self.end_column,
            more=self.more,
            what=what,
            place=place,
        )


def _picture(text: object, line: int, column: int | None, end_column: int | None) -> list[str]:
    """Return the line of a text with marks below the wrong place."""
    if column is None or not isinstance(text, str):
        return []
    whole = (text.splitlines() or [""])[line - 1]
    end = max(column, (end_column or column) - 1)
    before, meant, after = (
        printable(part, keep="\t") for part in (whole[: column - 1], whole[column - 1 : end], whole[end:])
    )
    margin = "".join("\t" if char == "\t" else " " for char in before)
    return [f"    {before}{meant}{after}", f"    {margin}{'^' * max(1, len(meant))}"]


class InvalidDataError(SchedulingError):
    """A value that message data or metadata cannot carry."""


class KeyTakenError(SchedulingError):
    """An idempotency key belongs to a job, or a recurring schedule, of another definition."""

    def __init__(self, key: str, definition_id: str, holder: object, held_by: str, what: str = "job") -> None:
        """`definition_id` is the call's, `held_by` the holder's; `what` names the kind of thing."""
        self.key, self.definition_id, self.holder, self.held_by = key, definition_id, holder, held_by
        super().__init__(
            f"key: {key!r} belongs to {what} {holder} of {held_by!r}, so nothing was stored for {definition_id!r}; "
            "use another key, for example one that starts with the definition's id"
        )


class MessageTooLargeError(SchedulingError):
    """The encoded message data exceeds the cluster's `max_message_bytes`."""

    def __init__(self, definition_id: str, size: int, limit: int) -> None:
        self.definition_id, self.size, self.limit = definition_id, size, limit
        super().__init__(
            f"message data of {definition_id!r} is {size} bytes, over max_message_bytes={limit}; "
            "store the payload elsewhere and pass a reference, or raise max_message_bytes"
        )


class ClusterArchivedError(SchedulingError):
    """The cluster is archived: its history can be read, nothing can be scheduled."""

    def __init__(self, cluster_id: str) -> None:
        self.cluster_id = cluster_id
        super().__init__(
            f"cluster {cluster_id!r} is archived and read only; schedule on an active cluster, "
            "or set its mode back to active"
        )


class NotRunningError(SchedulingError):
    """The runtime is not running, so it cannot accept anything."""


class InvalidQueryError(JobMasterError, ValueError):
    """A query for jobs or schedules makes no sense, for example one with an unknown condition, status or priority."""


_LONGEST_GUESSED: Final = 300
"""Characters of a name that are compared with others: the time grows with the product of their lengths."""
_LENGTHS_OF_IDS: Final = (32, 36)
"""Characters of a job's id, without and with hyphens."""


class JobNotFoundError(JobMasterError):
    """No job with this id exists in the cluster (any more)."""

    def __init__(self, job_id: object, cluster_id: str) -> None:
        self.job_id, self.cluster_id = job_id, cluster_id
        asked = named(job_id)
        hint = "" if len(asked) in _LENGTHS_OF_IDS else " (the id of a job has 36 characters)"
        super().__init__(
            f"cluster {cluster_id!r} has no job {asked}; it may have outlived the retention, or belong elsewhere{hint}"
        )


class ScheduleNotFoundError(JobMasterError):
    """No recurring schedule with this id exists in the cluster (any more)."""

    def __init__(self, schedule_id: object, cluster_id: str, remedy: str | None = None) -> None:
        """`remedy` says what to do, if more is known."""
        self.schedule_id, self.cluster_id = schedule_id, cluster_id
        usual = "it may have outlived the retention after its end, or belong to another cluster"
        super().__init__(
            f"cluster {cluster_id!r} has no recurring schedule {named(schedule_id)}; {remedy or usual}"
        )


class ClusterNotFoundError(JobMasterError):
    """The master has no cluster with this id. A master in memory is visible to the cluster's own process only."""

    def __init__(self, cluster_id: str, *, in_memory: bool = False) -> None:
        self.cluster_id, self.in_memory = cluster_id, in_memory
        remedy = (
            "other processes cannot see a memory:// store; name a database, for example sqlite:///jobs.db"
            if in_memory
            else "check its id, or start it once"
        )
        super().__init__(f"the master has no cluster {cluster_id!r}; {remedy}")


class WorkerNotFoundError(JobMasterError):
    """No worker of this name runs in the cluster."""

    def __init__(self, name: str, cluster_id: str, running: Iterable[str] = ()) -> None:
        """`running` are the names of the workers that run, as far as they are known."""
        self.name, self.cluster_id = name, cluster_id
        guess = get_close_matches(named(name, _LONGEST_GUESSED), list(running), n=1)
        remedy = f"did you mean {guess[0]!r}?" if guess else "`jobmaster workers list` shows those that do"
        super().__init__(f"no worker {shown(name)} runs in cluster {cluster_id!r}; {remedy}")


class InvalidTransitionError(JobMasterError):
    """The current status of a job or schedule does not allow the operation; nothing was changed."""

    def __init__(
        self,
        job: object,
        before: str,
        allowed: Iterable[str],
        after: str,
        why: str | None = None,
        *,
        what: str = "job",
    ) -> None:
        """`why` gives the reason in the words of the refused call, and `what` names the kind of thing."""
        self.job, self.before, self.after = job, before, after
        names = ", ".join(allowed) or "nothing"
        reason = f"; {why}" if why else f" and cannot become {after} (possible: {names})"
        super().__init__(f"{what} {job} is {before}{reason}")


class StoreError(JobMasterError):
    """A database or broker could not do what was asked."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, or did not answer in time."""


class StoreUnreachableError(StoreUnavailableError):
    """The operation certainly did not happen: there was no connection, or the store refused it."""


class StoreRefusedError(StoreUnreachableError):
    """The store refuses this process: the database, table or privilege is missing, or the password is wrong.

    While a cluster runs this is an outage like any other, since it has worked before: an operator restores a backup, or
    rotates a password. At start-up it is a mistake in the configuration, and `at_start` is raised instead.
    """

    def __init__(self, at_start: ConfigurationError) -> None:
        """`at_start` names the remedy."""
        self.at_start = at_start
        super().__init__(str(at_start))


@contextmanager
def starting() -> Iterator[None]:
    """Within the block, raise a store's refusal as the `ConfigurationError` that it is at start-up."""
    try:
        yield
    except StoreRefusedError as error:
        raise error.at_start from error


class StoreConflictError(StoreError):
    """A constraint of the store refused the write."""


class LeaseLostError(JobMasterError):
    """This worker's lease has run out, so the ownership of its buckets may have changed."""


class Retry(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a handler: this attempt failed, try again after `after` (uses up one retry)."""

    def __init__(self, after: timedelta | float | None = None, reason: str = "") -> None:
        """`after` is a delay (seconds or `timedelta`, at most a hundred years); without it the backoff decides.

        Raises `TypeError` or `ValueError` for an invalid delay.
        """
        self.after = None if after is None else to_delay(after)
        super().__init__(reason or "the handler asked for a retry")


class Snooze(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a handler: run me again after `after`; uses up no retry."""

    def __init__(self, after: timedelta | float, reason: str = "") -> None:
        """`after` is a delay (seconds or `timedelta`, at most a hundred years).

        Raises `TypeError` or `ValueError` for an invalid delay.
        """
        self.after = to_delay(after)
        super().__init__(reason or "the handler asked to be run later")


class Discard(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a handler: fail this job now, even if retries are left."""

    def __init__(self, reason: str = "") -> None:
        """`reason` is kept with the attempt."""
        super().__init__(reason or "the handler discarded the job")
