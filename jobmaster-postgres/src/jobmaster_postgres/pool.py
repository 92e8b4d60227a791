"""A few connections, opened when they are needed and kept.

Whoever needs one while the server is down learns so at once, and whoever comes when it is back gets one at
once: there is no schedule of reconnections in the background, because callers retry with backoff themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from jobmaster_postgres.session import Session


class Pool:
    """Hands out sessions, each to one unit of work at a time. Belongs to one asyncio loop."""

    def __init__(self, connect: Callable[[], Awaitable[Session]], size: int) -> None:
        """`connect` opens a session; there are never more than `size`."""
        self._connect = connect
        self._closed = False
        self._free = asyncio.Semaphore(size)
        self._idle: list[Session] = []
        self.pids: set[int] = set()
        """The server's process numbers of all open sessions."""

    @asynccontextmanager
    async def session(self, deadline: float) -> AsyncIterator[Session]:
        """Lend a session; raises `TimeoutError` if there is none until a moment of the loop's clock."""
        async with asyncio.timeout_at(deadline):
            await self._free.acquire()
        try:
            session = await self._take(deadline)
            try:
                yield session
            finally:
                await self._give_back(session)
        finally:
            self._free.release()

    async def _take(self, deadline: float) -> Session:
        while self._idle:
            session = self._idle.pop()
            if session.is_usable:
                return session
            await self._drop(session)
        async with asyncio.timeout_at(deadline):
            session = await self._connect()
        self.pids.add(session.pid)
        return session

    async def _give_back(self, session: Session) -> None:
        if session.is_usable and not self._closed:
            self._idle.append(session)
            return
        # What broke one connection has most likely broken the others: make the next callers connect anew.
        for each in (session, *self._idle):
            await self._drop(each)
        self._idle.clear()

    async def _drop(self, session: Session) -> None:
        self.pids.discard(session.pid)
        await session.close()

    async def close(self) -> None:
        """Close all idle sessions; those that are lent close when they come back."""
        self._closed = True
        while self._idle:
            await self._drop(self._idle.pop())
