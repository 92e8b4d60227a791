"""The logger of a job: its lines go to the process's own logging, and stay with the attempt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from jobmaster._text.logtext import (
    beside,
    cut,
    cut_front,
    plain,
    presentable,
    readable,
    reserved,
    storable,
    tell_of_lost_line,
    text_of,
    traceback_text,
)
from jobmaster.models import LogLine

MAX_LOG_LINES: Final = 1000
"""Lines kept with one attempt; later ones still reach the process's own logging."""
LONGEST_MESSAGE: Final = 10_000
LONGEST_FIELD: Final = 4_000
LONGEST_TRACEBACK: Final = 32_000
"""Characters that are kept of a line's message, of each of its fields, and of a traceback or stack."""
MOST_FIELDS: Final = 50
"""Fields that are kept of a line."""
MOST_CHARACTERS: Final = 1_000_000
"""Characters that are kept of all lines of an attempt, with their fields: they are one write to a store."""
_LONGEST_LEVEL: Final = 100

_OUR_FRAMES: Final = 3
"""Functions of this module between a handler's call and that of `logging`."""
_TAKEN: Final = reserved("job_id", "definition_id", "attempt", "lane", "cluster_id")
_OPTIONS: Final = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})

_log = logging.getLogger("jobmaster.job")


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs under `jobmaster.job` with the job's ids as extra fields, and keeps the lines for the audit.

    An error in formatting a part of a line, or in a logging handler, costs that part or that line, but never the attempt.
    """

    def __init__(self, identity: Mapping[str, object]) -> None:
        """`identity` names the attempt: `job_id`, `definition_id`, `attempt`, `lane`, `cluster_id`."""
        super().__init__(_log, identity)
        self._identity = identity
        self._lines: list[LogLine] = []
        self._room = MOST_CHARACTERS
        self._left_out = 0

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the job's ids into `extra`."""
        kwargs["extra"] = self._merged(_readable_fields(kwargs.get("extra")))
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log and keep a line. `extra` fields are kept as text if they are not JSON.

        Raises `TypeError` for a keyword that `logging` does not know.
        """
        if kwargs and not _OPTIONS.issuperset(kwargs):
            msg = f"log lines take {', '.join(sorted(_OPTIONS))}, not {', '.join(kwargs.keys() - _OPTIONS)}"
            raise TypeError(msg)
        if level < logging.INFO and not self.logger.isEnabledFor(level):
            return
        try:
            self._write(level, msg, args, kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - logging must not decide how an attempt ends
            tell_of_lost_line(error)

    def _write(self, level: int, msg: object, args: tuple[object, ...], options: dict[str, Any]) -> None:
        keeps, passes = self._keeps(level), self.logger.isEnabledFor(level)
        if not keeps and not passes:
            return
        msg, args, text = presentable(msg, args)
        if (clean := storable(text)) != text:
            msg, args, text = clean, (), clean
        fields = _readable_fields(options.get("extra"))
        if keeps:
            self._keep(self._line(level, text, fields, options))
        if passes:
            self._pass_on(level, msg, args, options | {"extra": self._merged(fields)})

    def _pass_on(self, level: int, msg: object, args: tuple[object, ...], options: dict[str, Any]) -> None:
        level_of_caller = options.pop("stacklevel", 1) + _OUR_FRAMES
        self.logger.log(level, msg, *args, stacklevel=level_of_caller, **options)

    def _merged(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a record: the job's ids, and the line's own, renamed if their names are taken."""
        return {**self._identity, **{beside(name, _TAKEN): value for name, value in fields.items()}}

    # What stays with the attempt

    def kept(self) -> Sequence[LogLine]:
        """Return the lines to keep; if there were more, the last one says how many."""
        if not self._left_out:
            return tuple(self._lines)
        most = f"{MOST_CHARACTERS} characters" if self._room < 0 else f"its first {MAX_LOG_LINES}"
        text = f"{self._left_out} more lines were not kept: an attempt keeps {most}"
        return *self._lines, self._made(logging.WARNING, text, {"left_out": self._left_out})

    def _keep(self, line: LogLine) -> None:
        """Keep a line if there is room. After the first line without room none are kept, so that there are no gaps."""
        size = len(line.message) + sum(len(name) + _size(value) for name, value in line.fields.items())
        self._room -= size
        if self._room >= 0:
            self._lines.append(line)
        else:
            self._left_out += 1

    def _keeps(self, level: int) -> bool:
        if level < logging.INFO:
            return False
        if len(self._lines) < MAX_LOG_LINES and self._room >= 0:
            return True
        self._left_out += 1
        return False

    def _line(
        self, level: int, text: str, extra: Mapping[str, object], options: Mapping[str, Any]
    ) -> LogLine:
        fields = {
            cut(storable(name), LONGEST_FIELD): plain(extra[name], LONGEST_FIELD)
            for name in islice(extra, MOST_FIELDS)
        }
        if len(extra) > MOST_FIELDS:
            fields[beside("fields_left_out", fields)] = len(extra) - MOST_FIELDS
        if (exc_info := options.get("exc_info")) is not None and (trace := traceback_text(exc_info)):
            fields[beside("exception", fields)] = cut_front(storable(trace), LONGEST_TRACEBACK)
        if options.get("stack_info"):
            stack = self._stack(options.get("stacklevel", 1))
            fields[beside("stack", fields)] = cut_front(storable(stack), LONGEST_TRACEBACK)
        return self._made(level, text, fields)

    def _stack(self, stacklevel: int) -> str:
        return self.logger.findCaller(stack_info=True, stacklevel=stacklevel + _OUR_FRAMES + 1)[3] or ""

    def _made(self, level: int, text: str, fields: Mapping[str, Any]) -> LogLine:
        return LogLine(
            at=datetime.now(UTC),
            level=cut(storable(text_of(logging.getLevelName(level))), _LONGEST_LEVEL),
            message=cut(text, LONGEST_MESSAGE),
            fields=fields,
            subject="job",
            subject_id=str(self._identity["job_id"]),
            attempt=self._identity["attempt"],  # type: ignore[arg-type]
        )


def _size(value: object) -> int:
    return len(value) if isinstance(value, str) else 8


def _readable_fields(extra: object) -> Mapping[str, object]:
    """Return a line's `extra` with names as text, and with placeholders for values that cannot be shown."""
    if extra is None:
        return {}
    try:
        pairs = dict(extra) if extra else {}  # type: ignore[call-overload]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a user's mapping may raise anything
        pairs = {"extra": extra}
    return {text_of(name): readable(value) for name, value in pairs.items()}
