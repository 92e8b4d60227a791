"""Clusters on the memory provider, quick enough for tests."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from jobmaster import Cluster, FixedBackoff, RetryPolicy

QUICK = {
    "heartbeat": 0.1,
    "beat": 0.05,
    "poll_interval": 0.2,
    "stop_grace": 1.0,
    "retry": RetryPolicy(default=FixedBackoff(0.01)),
}


@pytest.fixture
def store_url() -> str:
    return f"memory://{uuid4().hex}"


@pytest.fixture
def producer(store_url: str) -> Callable[..., Cluster]:
    """Build a cluster without workers: `producer(*handlers, **settings)`."""

    def build(*handlers: Any, cluster_id: str = "Test-1", url: str = store_url, **settings: Any) -> Cluster:
        return Cluster.standalone(cluster_id, url).configure(**(QUICK | settings)).add_handlers(*handlers)

    return build


@pytest.fixture
def cluster(producer: Callable[..., Cluster]) -> Callable[..., Cluster]:
    """Build a cluster with one worker of 2, 3, 5, 8 and 13 slots: `cluster(*handlers, **settings)`."""

    def build(*handlers: Any, worker: dict[str, Any] | None = None, **settings: Any) -> Cluster:
        return producer(*handlers, **settings).add_worker(**({"parallelism": 1.0} | (worker or {})))

    return build
