"""Fixtures for every test in the workspace."""

import pytest
from hypothesis import HealthCheck, settings

# The folder of this member has the name of its package. Imported first, the package wins; otherwise pytest, when it
# collects `naturalcron/tests`, takes the folder for it.
import naturalcron  # noqa: F401

# No test is timed: a busy machine is no finding.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def each_test_has_handlers_of_its_own(own_handlers: None) -> None:
    """Clusters to which no handlers are added serve what the test itself has decorated."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop that a test marked ``anyio`` runs under: each one runs under both."""
    backend: str = request.param
    return backend
