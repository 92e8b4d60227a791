"""Fixtures for the tests of a master: the provider names its store, the rest follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from jobmaster.contracts import MasterRepository
from jobmaster_testing.contracts.base import Contract
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_cluster
from jobmaster_testing.options import Options, open_master


class MasterTests(Contract, suite=True):
    """Base of the parts about a master.

    A provider overrides `store_url`, and `store_options` if it needs any. Every test uses its own cluster, so that many
    tests may share one store.
    """

    @pytest.fixture
    def store_url(self) -> str:
        """Return the URL of the store under test."""
        raise NotImplementedError(
            "override the fixture store_url: it returns the URL of the provider's store"
        )

    @pytest.fixture
    def store_options(self) -> Options:
        """Return the options to open the store with."""
        return Options()

    @pytest.fixture
    async def master(self, store_url: str, store_options: Options) -> AsyncIterator[MasterRepository]:
        """Open the store through the provider's entry point."""
        async with open_master(store_url, store_options) as master:
            yield master

    @pytest.fixture
    async def peer(self, store_url: str, store_options: Options) -> AsyncIterator[MasterRepository]:
        """Open the store a second time, as another part of the same process does."""
        async with open_master(store_url, store_options) as peer:
            yield peer

    @pytest.fixture
    async def world(self, master: MasterRepository) -> World:
        """Return the test's own cluster."""
        return await make_world(master)


async def make_world(master: MasterRepository) -> World:
    """Register a new cluster on a master."""
    world = World(master, f"Cluster-{uuid4().hex}")
    await master.clusters.register(make_cluster(world.cluster_id))
    return world
