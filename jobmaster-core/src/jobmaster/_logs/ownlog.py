"""JobMaster's own log lines, through loggers that applications set up: one entry each, whatever names and errors it has.

A job's line (`jobmaster.job`) belongs to its handler, and is passed on unchanged: `jobmaster worker` and the debug log
write it safely; an application's own format decides for itself.
"""

from __future__ import annotations

import logging
from typing import Final

from jobmaster._text.logtext import message_of, traceback_text
from jobmaster._text.printable import as_entry, marked

_AREAS: Final = (
    "agents assign attempts attempts.final cli clock cluster config control directory durability "
    "execute handover heartbeat jobs "
    "moving nats notify orphaned_messages plugins poison_guard postgres recurrence report rescue retry scheduler schedules "
    "service sqlite start "
    "tasks transfer worker"
)
LOGGERS: Final = tuple(f"jobmaster.{area}" for area in _AREAS.split())
"""The loggers that JobMaster writes to."""


def keep_entries_whole(record: logging.LogRecord) -> bool:
    """Make the unsafe parts of a record printable: its message, and the traceback that formatters use as is."""
    text = message_of(record)
    if (safe := as_entry(text)) != text:
        record.msg, record.args = safe, ()
    if record.exc_info and (trace := traceback_text(record.exc_info)):
        record.exc_text = marked(trace)
    return True


for _name in LOGGERS:
    logging.getLogger(_name).addFilter(keep_entries_whole)
