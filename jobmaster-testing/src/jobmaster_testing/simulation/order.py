"""Which ready task runs next, drawn from a seed; and whole processes that stand still.

Under asyncio, the loop below takes the ready tasks in rounds, as asyncio does, but each round in its own order, and makes
some of them wait for the next round. Handles of a process that stands still are put aside, including its timers, until it
goes on: so a process can be killed or frozen between any two steps, without one line of its code running.

Under trio, the order comes from trio's own switch for deterministic scheduling. Nothing can be put aside there: processes
stand still where they call a store or start a job, which is all that others can see of them.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from random import Random
from typing import Any, TypeVar

import anyio
import trio
import trio.testing

from jobmaster.clock import to_micros
from jobmaster.ids import reproducible_ids
from jobmaster_testing.clock import VirtualClock, VirtualTimeLoop

T = TypeVar("T")

PATIENCE = 0.2
"""The share of the ready tasks that wait for the next round."""


class Standing:
    """Something that can stand still, with all tasks and timers that were started in its context."""

    def __init__(self) -> None:
        self.still = False
        self.kept: list[asyncio.Handle] = []

    def go_on(self) -> None:
        """Run the kept handles, in the running loop."""
        self.still = False
        loop, kept, self.kept = _seeded_loop(), self.kept, []
        if loop is not None:
            loop.return_handles(kept)


OWNER: ContextVar[Standing | None] = ContextVar("simulated_process", default=None)
"""The owner of this context; None for the simulation itself."""


class _NumberedTask(asyncio.Task[Any]):
    """A task that knows its place among the tasks of its loop: sets of tasks are then ordered by it too."""

    number = 0

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SeededLoop(VirtualTimeLoop):
    """An asyncio event loop in virtual time that draws the order of its tasks from `chance`."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._made = 0
        self._ready = _Ready(self, chance)
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # the protocol differs by Python version

    def _make_selector(self, patience: float) -> selectors.BaseSelector:  # noqa: ARG002 - there is nothing to wait for
        return _Deaf(self)

    def return_handles(self, handles: list[asyncio.Handle]) -> None:
        """Run handles that were kept."""
        self._ready.extend(handles)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        self._made += 1
        task = _NumberedTask(coroutine, loop=loop, context=context, **options)
        task.number = self._made
        return task


class _Deaf(selectors.DefaultSelector):
    """Does not wait for the system: a simulation has no threads and no sockets."""

    def __init__(self, loop: SeededLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits, and nothing will wake one")
        self._loop.jump(max(timeout, 0.0))
        return []


class _Ready(deque[Any]):
    """The loop's ready handles: the loop takes as many as there are at the start of a round."""

    def __init__(self, loop: SeededLoop, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._round: list[asyncio.Handle] = []
        self._left = 0
        self._nothing = asyncio.Handle(lambda: None, (), loop)
        self._nothing.cancel()

    def popleft(self) -> asyncio.Handle:
        """Return the next handle of this round, or one that does nothing."""
        if not self._left:
            self._begin_round()
        self._left -= 1
        return self._round.pop() if self._round else self._nothing

    def _begin_round(self) -> None:
        """Put callbacks first, in the order that asyncio promises; then tasks, in no particular order."""
        self._left = len(self)
        callbacks, steps = self._sort_out()
        self._chance.shuffle(steps)
        if len(steps) > 1:
            late = {id(step) for step in steps[1:] if self._chance.random() < PATIENCE}
            self.extend(step for step in steps if id(step) in late)
            steps = [step for step in steps if id(step) not in late]
        self._round = [*callbacks, *steps]
        self._round.reverse()

    def _sort_out(self) -> tuple[list[asyncio.Handle], list[asyncio.Handle]]:
        """Empty the queue, except for handles of a process that stands still."""
        callbacks: list[asyncio.Handle] = []
        steps: list[tuple[int, asyncio.Handle]] = []
        for handle in [super(_Ready, self).popleft() for _ in range(self._left)]:
            owner = handle._context.get(OWNER)  # noqa: SLF001 - there is no public way
            task = getattr(handle._callback, "__self__", None)  # noqa: SLF001 - as above
            if owner is not None and owner.still:
                owner.kept.append(handle)
            elif isinstance(task, _NumberedTask):
                steps.append((task.number, handle))
            else:
                callbacks.append(handle)
        steps.sort(key=lambda step: step[0])
        return callbacks, [handle for _, handle in steps]


def _seeded_loop() -> SeededLoop | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio's loop
        return None
    return loop if isinstance(loop, SeededLoop) else None


def run_in_order(
    main: Callable[[VirtualClock], Coroutine[Any, Any, T]],
    seed: int,
    backend: str = "asyncio",
    *,
    shuffled: bool = True,
) -> T:
    """Run `main(clock)` in virtual time, with the same result for every run with the same `seed`.

    Ids, jitter and the order of tasks follow from the seed. Not for two threads at once: these are global to the process.
    `shuffled` False keeps asyncio's order, which is faster.
    """
    clock = VirtualClock()
    options: dict[str, Any] = {
        "loop_factory": (lambda: SeededLoop(Random(seed))) if shuffled else VirtualTimeLoop
    }
    if backend == "trio":
        options = {"clock": trio.testing.MockClock(autojump_threshold=0)}
    with (
        _seeded_jitter(seed),
        reproducible_ids(seed, lambda: to_micros(clock.now()) * 1000),
        _seeded_trio(seed),
    ):
        return anyio.run(main, clock, backend=backend, backend_options=options)


@contextmanager
def _seeded_jitter(seed: int) -> Iterator[None]:
    """Within the block, seed the `random` module, from which the product takes its jitter."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def _seeded_trio(seed: int) -> Iterator[None]:
    """Within the block, seed trio's order of tasks: its switch for such tests has no public name."""
    scheduling: Any = trio._core._run  # noqa: SLF001 - see above
    before, state = scheduling._ALLOW_DETERMINISTIC_SCHEDULING, scheduling._r.getstate()  # noqa: SLF001
    scheduling._ALLOW_DETERMINISTIC_SCHEDULING = True  # noqa: SLF001
    scheduling._r.seed(seed)  # noqa: SLF001
    try:
        yield
    finally:
        scheduling._ALLOW_DETERMINISTIC_SCHEDULING = before  # noqa: SLF001
        scheduling._r.setstate(state)  # noqa: SLF001
