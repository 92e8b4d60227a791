"""Fixtures for every test in the workspace."""

import pytest

# The folder of this member has the name of its package. Imported first, the package wins; otherwise pytest, when it
# collects `naturalcron/tests`, takes the folder for it.
import naturalcron  # noqa: F401


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop that a test marked ``anyio`` runs under: each one runs under both."""
    backend: str = request.param
    return backend
