"""The pytest plug-in: fixtures for applications that use JobMaster.

`memory_url`       the URL of an in-memory store of the test's own
`memory_cluster`   makes a cluster with one worker on that store
`own_handlers`     forgets the handlers that others decorated, and those that the test decorates
`virtual_backend`  for `anyio_backend`: both event loops, in virtual time
`virtual_clock`    the time of day in virtual time
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from jobmaster import handlers
from jobmaster.cluster import Cluster
from jobmaster_testing import clock as clocks
from jobmaster_testing.clock import VirtualClock

# The suite's assert statements report details like those of test modules.
pytest.register_assert_rewrite("jobmaster_testing.contracts")


@pytest.fixture
def memory_url() -> str:
    """Return the URL of an in-memory store that no other test uses."""
    return f"memory://{uuid4().hex}"


@pytest.fixture
def memory_cluster(memory_url: str) -> Iterator[Callable[..., Cluster]]:
    """Return a function that makes a cluster with one worker, in memory.

    It takes the handlers to serve (none: every decorated one), `clock` for virtual time, and settings as
    `Cluster.configure`. Clusters of one test share the store. Being in memory is intended, so it is not warned about.
    """
    start = logging.getLogger("jobmaster.start")
    before = start.level
    start.setLevel(logging.ERROR)

    def make(*served: Any, clock: VirtualClock | None = None, **settings: Any) -> Cluster:
        if clock:
            settings["store_options"] = {"clock": clock}
        cluster = Cluster("Test-Cluster", memory_url, clock=clock).configure(**settings)
        chosen = cluster.add_handlers(*served) if served else cluster
        return chosen.add_worker(name="Worker-01", parallelism=1)

    yield make
    start.setLevel(before)


@pytest.fixture
def own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test start as if in a process without decorated handlers, and forget its own handlers at the end.

    For tests that decorate handlers within functions and run a cluster without `add_handlers`: it would also find the
    handlers of other tests, and it does not start if two of them use the same id.
    """
    monkeypatch.setattr(handlers, "_registered", {})


@pytest.fixture(params=["asyncio", "trio"])
def virtual_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return both event loops in virtual time, one after the other.

    Return it from `anyio_backend` in a test module or class whose tests run in virtual time:

        @pytest.fixture
        def anyio_backend(virtual_backend):
            return virtual_backend
    """
    return clocks.virtual_backend(request.param)


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Return a clock that shows the event loop's time as the time of day, from 2026-01-01 on."""
    return VirtualClock()
