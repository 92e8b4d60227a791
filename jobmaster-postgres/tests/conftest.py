"""Databases for the tests of this package."""

import pytest

from jobmaster_testing.servers import POSTGRES_SERVERS, postgres_url


@pytest.fixture(scope="session", params=POSTGRES_SERVERS)
def every_database(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database on each server there is, one after the other."""
    return postgres_url(request.param)


@pytest.fixture(scope="session")
def database() -> str:
    """Return the URL of a database on the first server found."""
    return postgres_url()
