"""Logging of a worker process: lines for people, or a JSON object a line."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from jobmaster.logtext import as_json, message_of


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


LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="How log lines look, on stderr.")]
LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", help="The least important lines to show.")]

_JOBS_OWN = "jobmaster.job"
"""The logger of what handlers say: those lines do not name their job themselves."""


def set_up_logging(level: LogLevel, style: LogFormat) -> None:
    """Write log lines to stderr. An application that sets up logging itself, when imported, has the last word."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO    jobmaster.worker: …`; a handler's line ends with its job and attempt."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - the base's signature
        """Return the time in UTC, to the millisecond."""
        return _moment(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base's signature
        """Return the line without an exception's text."""
        line = super().formatMessage(record)
        fields = vars(record)
        if record.name != _JOBS_OWN or not fields.keys() >= {"definition_id", "job_id", "attempt"}:
            return line
        return f"{line} [{fields['definition_id']} {fields['job_id']} attempt {fields['attempt']}]"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the `extra` fields, an exception's text, the stack."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        body = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        return as_json(body, record)
