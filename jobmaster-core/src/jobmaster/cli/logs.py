"""Logging of a worker process: lines for people, or a JSON object a line."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from jobmaster._text.logtext import as_json, message_of, traceback_text
from jobmaster._text.printable import as_entry, in_ascii, marked


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", help="The format of log lines on stderr.")
]
LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", help="The lowest level of log lines to show.")
]

_JOBS_OWN = "jobmaster.job"
"""The logger of what handlers say: those lines do not name their job themselves."""


def set_up_logging(level: LogLevel, style: LogFormat) -> None:
    """Write log lines to stderr. An application that sets up logging itself, when imported, has the last word."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)  # they quote what they warn of, and would stand between the entries


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO    jobmaster.worker: …`; a handler's line ends with its job and attempt.

    Whatever is logged, only an entry's first line starts so: further ones, and tracebacks, start with a mark.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text that no reader takes for more than one entry."""
        line = f"{_moment(record)} {record.levelname:<7} {record.name}: {message_of(record)}{_job(record)}"
        below = [traceback_text(record.exc_info) if record.exc_info else record.exc_text, record.stack_info]
        return "\n".join([as_entry(line), *(marked(text) for text in below if text)])


def _job(record: logging.LogRecord) -> str:
    """Return which attempt a handler's line is of."""
    fields = vars(record)
    if record.name != _JOBS_OWN or not fields.keys() >= {"definition_id", "job_id", "attempt"}:
        return ""
    return f" [{fields['definition_id']} {fields['job_id']} attempt {fields['attempt']}]"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the `extra` fields, an exception's text, the stack."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, in ASCII."""
        body = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        return in_ascii(as_json(body, record))
