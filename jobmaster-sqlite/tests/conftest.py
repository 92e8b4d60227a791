"""A database file and the driver on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobmaster.contracts import MasterRepository
from jobmaster_testing.options import open_master


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the test's database is."""
    return tmp_path / "jobs.db"


@pytest.fixture
def url(path: Path) -> str:
    """Return the URL of the test's database."""
    return f"sqlite:///{path}"


@pytest.fixture
async def master(url: str) -> AsyncIterator[MasterRepository]:
    """Open the test's database."""
    async with open_master(url) as master:
        yield master
