"""Clusters on the memory provider, quick enough for tests."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest

from jobmaster import Cluster, FixedBackoff, RetryPolicy
from jobmaster._runtime import coordinator, job_router, worker_session
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.faults import Faults

QUICK = {
    "heartbeat": 0.1,
    "beat": 0.05,
    "poll_interval": 0.2,
    "stop_grace": 1.0,
    "retry": RetryPolicy(default=FixedBackoff(0.01)),
}
PATIENT = {"stop_grace": 1.0, "retry": RetryPolicy(default=FixedBackoff(0.01))}
"""For virtual time, which costs nothing: the intervals are those that users have."""


@pytest.fixture
def store_url() -> str:
    return f"memory://{uuid4().hex}"


@pytest.fixture
def producer(store_url: str) -> Callable[..., Cluster]:
    """Build a cluster without workers: `producer(*handlers, **settings)`."""

    def build(*handlers: Any, cluster_id: str = "Test-1", url: str = store_url, **settings: Any) -> Cluster:
        return Cluster.standalone(cluster_id, url).configure(**{**QUICK, **settings}).add_handlers(*handlers)

    return build


@pytest.fixture
def cluster(producer: Callable[..., Cluster]) -> Callable[..., Cluster]:
    """Build a cluster with one worker of 2, 3, 5, 8 and 13 slots: `cluster(*handlers, **settings)`."""

    def build(*handlers: Any, worker: dict[str, Any] | None = None, **settings: Any) -> Cluster:
        return producer(*handlers, **settings).add_worker(**({"parallelism": 1.0} | (worker or {})))

    return build


@pytest.fixture
def bound_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put jobs that are due within two minutes into buckets as soon as they are scheduled.

    Earlier releases did, and what they left in buckets and on agents is there after an update. So there are tests of
    jobs that wait in a bucket for their time; what is scheduled now is held on the master until then.
    """
    for module in (job_router, coordinator, worker_session):
        monkeypatch.setattr(module, "BINDS_AHEAD", 120.0)


# Distributed clusters


@pytest.fixture
def distributed(store_url: str, virtual_clock: VirtualClock) -> Callable[..., Cluster]:
    """Build a cluster with agents: `distributed(*handlers, agents="AB", workers=[{"agent": "A"}], faults=None)`.

    There is a worker for each agent unless told otherwise; `workers=()` builds a producer. Its clock is that of
    the event loop: a test whose `anyio_backend` is the virtual one waits for nothing.
    """

    def build(
        *handlers: Any,
        agents: str = "A",
        workers: Sequence[Mapping[str, Any]] | None = None,
        faults: Faults | None = None,
        **settings: Any,
    ) -> Cluster:
        prefix = "faulty+" if faults else ""
        cluster = Cluster("Test-1", prefix + store_url, clock=virtual_clock)
        cluster.configure(**{**PATIENT, "store_options": {"clock": virtual_clock}, **settings})
        cluster.add_handlers(*handlers).use(*([faults] if faults else []))
        for name in agents:
            cluster.add_agent(name, f"{prefix}{store_url}-{name}")
        for worker in [{"agent": name} for name in agents] if workers is None else workers:
            told: dict[str, Any] = {"parallelism": 1.0, **worker}
            cluster.add_worker(**told)
        return cluster

    return build


@pytest.fixture
def master(store_url: str, virtual_clock: VirtualClock) -> MemoryMaster:
    """Return the master of the clusters that `distributed` builds, for tests to look at and to put things in."""
    return MemoryMaster(store_url.partition("://")[2], virtual_clock)


@pytest.fixture
def agent(store_url: str, virtual_clock: VirtualClock) -> Callable[[str], MemoryAgent]:
    """Return an agent of the clusters that `distributed` builds, by its name."""
    store = store_url.partition("://")[2]
    return lambda name: MemoryAgent(name, f"{store}-{name}", virtual_clock)
