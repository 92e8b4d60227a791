"""PostgreSQL passes the suite that defines a provider."""

import pytest

from jobmaster_testing.contracts import MasterContract


@pytest.mark.postgres
class TestPostgresMaster(MasterContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database
