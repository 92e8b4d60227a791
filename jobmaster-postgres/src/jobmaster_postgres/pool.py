"""A few connections, opened on demand and kept.

A caller that needs one while the server is down gets an error at once, and a caller after its return gets a connection at
once: there is no schedule of reconnections in the background, because callers retry with backoff themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from jobmaster_postgres.session import Session


class Pool:
    """Lends sessions, each to one unit of work at a time. Belongs to one asyncio loop."""

    def __init__(self, connect: Callable[[float], Awaitable[Session]], size: int) -> None:
        """`connect` opens a session before a moment of the loop's clock; at most `size` sessions exist."""
        self._connect = connect
        self._closed = False
        self._free = asyncio.Semaphore(size)
        self._idle: list[Session] = []
        self.pids: set[int] = set()
        """The server's process ids of all open sessions."""

    async def take(self, deadline: float) -> Session:
        """Return a session, which must be given back; raises `TimeoutError` at a moment of the loop's clock."""
        if self._free.locked():
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        else:
            await self._free.acquire()  # at once
        try:
            return self._usable() or await self._opened(deadline)
        except BaseException:
            self._free.release()
            raise

    def _usable(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if session.is_usable:
                return session
            self._drop(session)
        return None

    async def _opened(self, deadline: float) -> Session:
        session = await self._connect(deadline)
        self.pids.add(session.pid)
        return session

    def give_back(self, session: Session) -> None:
        """Take a session back, in whatever state."""
        self._free.release()
        if session.is_usable and not self._closed:
            self._idle.append(session)
            return
        # A fault of one connection has most likely affected the others: make the next callers connect anew.
        for each in (session, *self._idle):
            self._drop(each)
        self._idle.clear()

    def _drop(self, session: Session) -> None:
        self.pids.discard(session.pid)
        session.close()

    def close(self) -> None:
        """Close all idle sessions; sessions in use are closed when they are given back."""
        self._closed = True
        while self._idle:
            self._drop(self._idle.pop())
