"""PostgreSQL passes the suite that defines a provider."""

import pytest

from jobmaster_testing.contracts import EndToEndContract, InlineContract, MasterContract

pytestmark = pytest.mark.postgres


class TestPostgresMaster(MasterContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database


class TestPostgresInlineAgent(InlineContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database


class TestPostgresEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database
