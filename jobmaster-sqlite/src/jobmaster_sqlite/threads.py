"""The two threads that use SQLite: one writes, committing what has accumulated; one reads."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, ClassVar, Final, TypeAlias
from weakref import WeakSet

from jobmaster.errors import NotRunningError, StoreUnavailableError, StoreUnreachableError
from jobmaster.forks import this_process
from jobmaster_sql import Queries, perform
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.calls import Call, wake
from jobmaster_sqlite.connection import Connection, Identity, set_aside
from jobmaster_sqlite.errors import cannot_open, is_busy, is_tainted, moved_away, translate

log = logging.getLogger("jobmaster.sqlite")

_PAUSES: Final = (0.0003, 0.002)
"""Seconds between two attempts to get a lock: short, since SQLite does not queue waiting connections."""
_QUICK_LOOK: Final = 0.01
_SLOW_LOOK: Final = 0.05
_BUSY_FOR: Final = 1.0
"""Seconds after the last change during which the next one is looked for quickly."""

_NUDGE: Final = "nudge"
_STOP: Final = "stop"
_Item: TypeAlias = Call[Any] | Event | str
"""A call, a command, or an event to set once the connection is closed."""


class _UndoneError(Exception):
    """An error in one unit made SQLite roll back the transaction that other units were part of."""


class UnitThread(ABC):
    """A thread with its own connection that runs units of work for callers in event loops."""

    name: ClassVar[str]
    group: ClassVar[int]
    """The maximum number of calls that are served together."""

    def __init__(self, address: Address, queries: Queries) -> None:
        self._address, self._queries = address, queries
        self._connection: Connection | None = None
        self._left: Connection | None = None
        """The previous connection, which is closed."""
        self._has_opened = self._is_tainted = False
        self._lock = Lock()
        self._thread: Thread | None = None
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._process = this_process()
        _threads.add(self)

    def submit(self, item: _Item) -> None:
        """Queue a call; the thread is started if it does not run. A forked child cannot use its parent's thread."""
        if self._process is not this_process():
            raise NotRunningError(
                "a database opened before a fork belongs to the parent process; open it in this process"
            )
        with self._lock:
            if self._thread is None:
                # Each thread has its own queue: a thread that was told to stop never takes another thread's calls.
                self._queue = SimpleQueue()
                name = f"jobmaster-sqlite-{self.name}"
                self._thread = Thread(target=self._run, args=(self._queue,), name=name, daemon=True)
                self._thread.start()
            self._queue.put(item)

    def stop(self) -> Thread | None:
        """Tell the thread to end after its queued items; return it, to be joined."""
        if self._process is not this_process():
            return None
        with self._lock:
            thread, self._thread = self._thread, None
            self._queue.put(_STOP)
            return thread

    def _run(self, queue: SimpleQueue[_Item]) -> None:
        items: list[_Item] = []
        while _STOP not in items:
            items = self._gather(queue)
            calls = [item for item in items if isinstance(item, Call)]
            if calls:
                self._answer(calls)
            for closed in [item for item in items if isinstance(item, Event)]:
                self._disconnect()
                closed.set()
        self._disconnect()
        self._has_opened = False

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._left = self._connection
            self._connection.close()
            self._connection = None
        self._is_tainted = False

    @property
    def is_open(self) -> bool:
        """Whether it has a connection."""
        return self._connection is not None

    def let_go(self, timeout: float) -> None:
        """Close the connection, waiting at most `timeout` seconds; the next call opens another one."""
        closed = Event()
        self.submit(closed)
        closed.wait(timeout)

    def _gather(self, queue: SimpleQueue[_Item]) -> list[_Item]:
        """Wait for an item, and take all others that are queued."""
        items: list[_Item] = []
        with suppress(Empty):
            items.append(queue.get(timeout=self._look_around()))
            while len(items) < self.group:
                items.append(queue.get_nowait())
        return items

    def _look_around(self) -> float | None:
        """Do regular work besides calls; return in how many seconds to do so again (None: never)."""
        return None

    def _answer(self, calls: Sequence[Call[Any]]) -> None:
        try:
            connection = self._connect(calls[0])
            self._serve(connection, calls)
            connection.note_beside()
        except Exception as error:  # noqa: BLE001 - callers must get it, and the thread goes on
            for call in calls:
                call.fail(error)
        if self._is_tainted:
            self._disconnect()
        wake(calls)

    @abstractmethod
    def _serve(self, connection: Connection, calls: Sequence[Call[Any]]) -> None:
        """Run the units of calls, and give each call its result or error."""

    def _connect(self, call: Call[Any]) -> Connection:
        """Return the thread's connection, opened if necessary, waiting for other processes that set up the file."""
        while self._connection is None:
            try:
                with _opening:
                    self._set_leftovers_aside()
                    # A file that went away is waited for: an empty one in its place would hide its contents.
                    self._connection = Connection(self._address, self._queries, create=not self._has_opened)
                self._has_opened = True
                self._note_file(self._connection)
            except sqlite3.Error as error:
                if call.is_overdue or not is_busy(error):
                    raise cannot_open(error, self._address.path) from error
                pause()
        return self._connection

    def _set_leftovers_aside(self) -> None:
        """Ensure that a file is not combined with leftovers of the file that was open here before."""
        if self._left is not None:
            moved = set_aside(self._address.path, self._left.file, self._left.beside)
            for path in moved:
                log.warning("%s belonged to the file that was replaced, and was set aside", path)

    def _note_file(self, connection: Connection) -> None:  # noqa: B027 - a reader loses nothing
        """Check which file has been opened."""

    def _translated(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        self._is_tainted |= is_tainted(error)
        translated = translate(error, self._address.path)
        translated.__cause__ = error
        return translated


# Forks

_LET_GO_FOR: Final = 5.0
"""Seconds that a fork waits for the connections of its process to be closed."""
_threads: WeakSet[UnitThread] = WeakSet()
_opening = Lock()
"""Held while a connection is opened, and while the process forks."""


def _before_fork() -> None:
    """Close all connections: SQLite loses changes if a process with an open one forks, and the child uses the file too.

    The child's library believes that it holds its parent's locks, so it does not take any itself.
    """
    deadline = time.monotonic() + _LET_GO_FOR
    while True:
        _opening.acquire()
        busy = [thread for thread in list(_threads) if thread.is_open]
        left = deadline - time.monotonic()
        if not busy or left <= 0:
            return
        _opening.release()
        for thread in busy:
            thread.let_go(left)


def _after_fork() -> None:
    _opening.release()


def _after_fork_in_child() -> None:
    global _opening  # noqa: PLW0603 - there is one
    _opening = Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def pause() -> None:
    """Wait a moment for a lock held by another connection."""
    time.sleep(random.uniform(*_PAUSES))  # noqa: S311 - so that waiting connections do not retry in step


def _in_time(calls: Sequence[Call[Any]]) -> list[Call[Any]]:
    """Fail the calls that cannot wait any longer; return the others."""
    for call in calls:
        if call.is_overdue:
            call.fail(StoreUnreachableError("another process or unit of work held the database too long"))
    return [call for call in calls if not call.has_failed]


class Reader(UnitThread):
    """Runs units that only read, each in its own snapshot, concurrently with the writer."""

    name = "reader"
    group = 1

    def _connect(self, call: Call[Any]) -> Connection:
        """Return a connection to the file at the path now: the latest commit must be visible."""
        if self._connection is not None and not self._connection.is_of_its_path:
            self._disconnect()
        return super()._connect(call)

    def _serve(self, connection: Connection, calls: Sequence[Call[Any]]) -> None:
        for call in calls:
            connection.limit(call.deadline)
            while not self._attempt(connection, call):
                pause()

    def _attempt(self, connection: Connection, call: Call[Any]) -> bool:
        """Run a unit; return False if it has to be retried."""
        try:
            connection.control("BEGIN")
            result = perform(call.unit(), connection.execute)
            connection.control("COMMIT")
        except Exception as error:  # noqa: BLE001 - the unit's errors are its caller's
            if connection.in_transaction:
                connection.control("ROLLBACK")
            if isinstance(error, sqlite3.Error) and is_busy(error) and not call.is_overdue:
                return False
            call.fail(self._translated(error))
        else:
            call.succeed(result)
        return True


class Writer(UnitThread):
    """Runs units that write. All waiting units share one transaction, and one wait for the disk.

    It also notices what other processes commit: `data_version` of the connection that makes all of this process's changes
    moves only with commits of others.
    """

    name = "writer"
    group = 256

    def __init__(self, address: Address, queries: Queries, on_change: Callable[[], None]) -> None:
        """`on_change` is called in this thread when another process has committed, while there is a watcher."""
        super().__init__(address, queries)
        self._on_change = on_change
        self._watchers = 0
        self._version = 0
        self._next_look = self._busy_until = 0.0
        self._file: Identity = None
        self._told: str | None = None
        self.replaced = 0
        """How often another file was found at the path."""

    def watch(self, change: int) -> None:
        """Add (1) or remove (-1) a watcher of other processes' commits."""
        with self._lock:
            self._watchers += change
        self.submit(_NUDGE)

    # Group commit

    def _serve(self, connection: Connection, calls: Sequence[Call[Any]]) -> None:
        self._busy_until = time.monotonic() + _BUSY_FOR
        left = self._begin(connection, calls)
        while left and not self._commit_together(connection, left):
            # One unit's error rolled back the other units through no fault of theirs: they are run again without it.
            left = self._begin(connection, [call for call in left if not call.has_failed])

    def _begin(self, connection: Connection, calls: Sequence[Call[Any]]) -> list[Call[Any]]:
        """Take the write lock; return the calls that still have time."""
        left = _in_time(calls)
        while left:
            try:
                connection.control("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise self._translated(error) from error
                pause()
                left = _in_time(left)
            else:
                break
        return left

    def _commit_together(self, connection: Connection, calls: Sequence[Call[Any]]) -> bool:
        """Run the units in the open transaction and commit it; return False if it was rolled back."""
        if len(calls) == 1:
            return self._commit_alone(connection, calls[0])
        try:
            for call in calls:
                self._attempt(connection, call)
        except _UndoneError:
            return False
        self._commit(connection, calls)
        return True

    def _commit_alone(self, connection: Connection, call: Call[Any]) -> bool:
        """Run the only unit and commit it: a failure rolls back the transaction, and no other unit with it."""
        connection.limit(call.deadline)
        try:
            call.succeed(perform(call.unit(), connection.execute))
        except Exception as error:  # noqa: BLE001 - the unit's errors are its caller's
            connection.limit(None)
            call.fail(self._translated(error))
            if connection.in_transaction:
                connection.control("ROLLBACK")
        else:
            self._commit(connection, [call])
        return True

    def _attempt(self, connection: Connection, call: Call[Any]) -> None:
        """Run a unit inside the group's transaction so that a failure affects only this unit."""
        connection.limit(call.deadline)
        connection.control("SAVEPOINT unit")
        try:
            call.succeed(perform(call.unit(), connection.execute))
        except Exception as error:
            connection.limit(None)
            call.fail(self._translated(error))
            if not connection.in_transaction:
                raise _UndoneError from error
            connection.control("ROLLBACK TO unit")
        connection.control("RELEASE unit")

    def _commit(self, connection: Connection, calls: Sequence[Call[Any]]) -> None:
        connection.limit(None)
        try:
            connection.control("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.control("ROLLBACK")
            for call in calls:
                call.fail(self._translated(error))
        if (fault := self._fault_of(connection)) is not None:
            for call in calls:
                call.fail(StoreUnavailableError(fault))

    def _fault_of(self, connection: Connection) -> str | None:
        """Return what happened to the open file if it is no longer the one at its path, and disconnect from it."""
        if connection.is_of_its_path:
            return None
        self._is_tainted = True
        return self._tell_of_file()

    def _note_file(self, connection: Connection) -> None:
        if self._file not in (None, connection.file):
            self.replaced += 1
            self._tell_of_file()
        self._file, self._told = connection.file, None

    def _tell_of_file(self) -> str:
        """Log, and return, what happened to the file: only once, whichever caller notices it."""
        fault = moved_away(self._address.path)
        if fault != self._told:
            log.error("%s", fault)
        self._told = fault
        return fault

    # Notifications of other processes

    def _look_around(self) -> float | None:
        if not self._watchers:
            return None
        now = time.monotonic()
        if now >= self._next_look:
            if self._has_changed():
                self._busy_until = now + _BUSY_FOR
                self._on_change()
            self._next_look = now + (_QUICK_LOOK if now < self._busy_until else _SLOW_LOOK)
        return self._next_look - now

    def _has_changed(self) -> bool:
        """Whether another process has committed since the last look, or has replaced the file."""
        if self._connection is not None and self._fault_of(self._connection) is not None:
            self._disconnect()
            return True
        before, self._version = self._version, self._read_version()
        return self._version != before

    def _read_version(self) -> int:
        if self._connection is not None:
            with suppress(sqlite3.Error):  # no notifications then; callers that use the file learn its state
                return self._connection.data_version
        return self._version
