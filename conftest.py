"""Fixtures for every test in the workspace."""

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop that a test marked ``anyio`` runs under: each one runs under both."""
    backend: str = request.param
    return backend
