"""One simulated process: its own cluster over the shared stores, which can stand still at any moment, or forever."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from jobmaster.clock import Clock
from jobmaster.cluster import Cluster, Runtime
from jobmaster.errors import JobMasterError
from jobmaster_testing.simulation.order import OWNER, Standing
from jobmaster_testing.simulation.scenario import ProcessSpec

Work = Callable[["Process", Runtime], Coroutine[Any, Any, None]]


class Process(Standing):
    """Runs a cluster until it is asked to stop, or killed.

    A killed process stands still forever: a call it has begun at a store either happened or did not, and it does nothing
    more. At the end it is released, without a store to write to, so that its tasks end.
    """

    def __init__(self, name: str, spec: ProcessSpec, clock: Clock) -> None:
        super().__init__()
        self.name = name
        self.spec = spec
        self.killed = False
        self.runtime: Runtime | None = None
        self.thawed_at = float("-inf")
        self.harmed = False
        """Whether it was ever killed or frozen."""
        self.ended = anyio.Event()
        self._clock = clock
        self._scope = anyio.CancelScope()
        self._asked_to_stop = anyio.Event()
        self._goes_on = anyio.Event()

    def __repr__(self) -> str:
        return self.name

    @property
    def is_first(self) -> bool:
        """Whether it is the first process in its place."""
        return self.name.endswith(".1")

    @property
    def stands(self) -> bool:
        """Whether it runs: not frozen, not dead, not gone."""
        return not (self.still or self.killed or self.ended.is_set())

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._asked_to_stop.is_set()

    async def run(self, build: Callable[[Process], Cluster], work: Work) -> None:
        """Run until asked to stop. A process that cannot start ends; another one may be started."""
        OWNER.set(self)
        try:
            with self._scope:
                async with build(self).running() as runtime:
                    self.runtime = runtime
                    await self._work(runtime, work)
        except JobMasterError:
            if self.runtime is not None:
                raise
        finally:
            self.runtime = None
            self.ended.set()

    async def _work(self, runtime: Runtime, work: Work) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(work, self, runtime)
            await self._asked_to_stop.wait()
            group.cancel_scope.cancel()

    def stop(self) -> None:
        """Request a graceful end."""
        self._asked_to_stop.set()

    # Standing still

    def freeze(self) -> None:
        """Stand still, until `thaw`."""
        self.still = self.harmed = True

    def thaw(self) -> None:
        """Continue after a freeze, with everything that has become due meanwhile."""
        if self.still and not self.killed:
            self.thawed_at = self._clock.monotonic()
            self._move()

    def kill(self) -> None:
        """Stand still forever."""
        self.still = self.harmed = self.killed = True

    def let_go(self) -> None:
        """Let a dead process's tasks end: they no longer reach its stores."""
        if self.killed and self.still:
            self._scope.cancel()
            self._move()

    def _move(self) -> None:
        self.go_on()
        self._goes_on.set()
        self._goes_on = anyio.Event()

    async def gate(self) -> None:
        """Return when the process continues. Needed where the event loop cannot put its tasks aside."""
        while self.still:
            await self._goes_on.wait()
