"""Expecting an error, and starting a cluster to get it, for tests of what users see when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobmaster import Cluster


@contextmanager
def refused(kind: type[BaseException], *parts: str) -> Iterator[None]:
    """Expect an error of exactly this kind whose message contains all parts."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    for part in parts:
        assert part in str(caught.value)


async def run(made: Cluster) -> None:
    """Start a cluster, and stop it at once."""
    async with made.running():
        pass
