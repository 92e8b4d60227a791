"""Everything that a process logs and does with jobs, as JSON lines in a file: for finding out what happened."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from jobmaster._process.files import OWNER_ONLY, check_link, make_folder, open_to_append
from jobmaster._text.logtext import as_json, message_of
from jobmaster.errors import ConfigurationError
from jobmaster.forks import in_forked_child
from jobmaster.hookspecs import JobObserver, hookimpl
from jobmaster.models import JobReceipt, NewJob, Report

ROOT: Final = "jobmaster"
"""The logger whose lines, and those of the loggers below it, are written."""
MAX_BYTES: Final = 20 * 1024 * 1024
LONGEST_FILE_NAME: Final = 100
"""Characters of the cluster's id that a file's name may contain: file systems allow 255 bytes, and more follows."""
FILES_KEPT: Final = 5
"""Older files of a process that are kept beside the current one."""

_open_logs: list[DebugLog] = []
_level_before: dict[str, int] = {}


class DebugLog:
    """Writes one cluster's lines while it runs; a plug-in that observes the jobs of this process."""

    def __init__(self, folder: Path, cluster_id: str, file_mode: int = OWNER_ONLY) -> None:
        """`folder` is created when writing begins; each process writes its own file there."""
        self._folder, self._cluster_id, self._file_mode = folder, cluster_id, file_mode
        self._handler: logging.Handler | None = None

    @hookimpl
    def jobmaster_observer(self) -> JobObserver:
        """Return itself: it observes every job that is scheduled, started or reported here."""
        return self

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within the block, write. Raises `ConfigurationError` if the file cannot be opened."""
        handler = self._handler = self._opened()
        logger = logging.getLogger(ROOT)
        logger.addHandler(handler)
        try:
            with _everything_logged(logger, self):
                yield
        finally:
            logger.removeHandler(handler)
            self._handler = None
            handler.close()

    def _opened(self) -> logging.Handler:
        # The process id is read only now: a server may have forked since the cluster was described.
        path = self._folder / f"{_file_name(self._cluster_id)}-{os.getpid()}.jsonl"
        try:
            check_link(self._folder)
            make_folder(self._folder)
            handler = _OwnFile(path, self._file_mode)
        except ConfigurationError as error:
            msg = f"debug_jsonl: {error}"
            raise ConfigurationError(msg) from error
        except OSError as error:
            msg = f"debug_jsonl: {path} cannot be written ({error.strerror}); name another folder"
            raise ConfigurationError(msg) from error
        handler.setFormatter(_JsonFormatter())
        handler.addFilter(self._is_ours)
        return handler

    def _is_ours(self, record: logging.LogRecord) -> bool:
        return getattr(record, "cluster_id", self._cluster_id) == self._cluster_id

    # Observing

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        """A job was accepted."""
        self._write(
            "scheduled",
            job_id=receipt.job_id,
            definition_id=new.job.definition_id,
            is_new=receipt.created,
            accepted_by=receipt.accepted_by,
            bucket_id=new.bucket_id,
            delay=new.delay,
        )

    def on_started(self, job: Any) -> None:
        """A handler is about to run."""
        self._write(
            "started",
            job_id=job.id,
            definition_id=job.definition_id,
            attempt=job.attempt,
            worker=job.worker,
        )

    def on_reported(self, report: Report, stale: bool) -> None:
        """An outcome was written, or refused as stale."""
        self._write(
            "refused as stale" if stale else "reported",
            job_id=report.job_id,
            attempt=report.attempt,
            outcome=report.outcome,
            status=report.status,
            worker=report.worker,
            bucket_id=report.bucket_id,
            epoch=report.epoch,
            error=report.error.traceback if report.error else None,
        )

    def _write(self, message: str, **fields: Any) -> None:
        if self._handler is not None:
            present = {name: value for name, value in fields.items() if value is not None}
            line = {"name": f"{ROOT}.job", "levelno": logging.DEBUG, "levelname": "DEBUG", "msg": message}
            self._handler.handle(logging.makeLogRecord(line | present))


class _OwnFile(RotatingFileHandler):
    """A file that only this user can access, when it is first opened and after each rotation."""

    def __init__(self, path: Path, file_mode: int) -> None:
        self._file_mode = file_mode
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="backslashreplace"
        )

    def _open(self) -> TextIOWrapper:
        file = open_to_append(Path(self.baseFilename), self._file_mode)
        return TextIOWrapper(
            os.fdopen(file, "ab"), encoding=self.encoding, errors=self.errors, line_buffering=True
        )


_inherited: list[logging.Handler] = []
"""In a forked child, the files of its parent: they are neither written nor closed here."""


def _let_go() -> None:
    """In a forked child, stop writing into the files of its parent."""
    logger = logging.getLogger(ROOT)
    for log in _open_logs:
        if log._handler is not None:  # noqa: SLF001 - same module
            _inherited.append(log._handler)  # noqa: SLF001 - same module
            logger.removeHandler(log._handler)  # noqa: SLF001 - same module
            log._handler = None  # noqa: SLF001 - same module
    if _open_logs:
        _open_logs.clear()
        logger.setLevel(_level_before.pop(ROOT))


in_forked_child(_let_go)


@contextmanager
def _everything_logged(logger: logging.Logger, log: DebugLog) -> Iterator[None]:
    """Within the block, let lines of all levels through; several clusters of a process may overlap."""
    if not _open_logs:
        _level_before[logger.name] = logger.level
        logger.setLevel(logging.DEBUG)
    _open_logs.append(log)
    try:
        yield
    finally:
        if log in _open_logs:
            _open_logs.remove(log)
        if not _open_logs and logger.name in _level_before:
            logger.setLevel(_level_before.pop(logger.name))


def _file_name(cluster_id: str) -> str:
    """Return a cluster's id as part of a file's name; a long id is cut and followed by a digest that makes it unique."""
    name = re.sub(r"[^\w.-]", "_", cluster_id)
    if len(name) <= LONGEST_FILE_NAME:
        return name
    digest = hashlib.sha256(cluster_id.encode()).hexdigest()[:8]
    return f"{name[:LONGEST_FILE_NAME]}-{digest}"


class _JsonFormatter(logging.Formatter):
    """One object per line: time, level, subject, message, then the line's own fields, traceback and stack."""

    def format(self, record: logging.LogRecord) -> str:
        body = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "subject": record.name.removeprefix(f"{ROOT}."),
            "message": message_of(record),
        }
        return as_json(body, record, traceback_name="error")
