"""PostgreSQL passes the suite that defines a provider."""

import psycopg
import pytest

from jobmaster_testing.contracts import AgentContract, EndToEndContract, InlineContract, MasterContract

pytestmark = pytest.mark.postgres


class TestPostgresMaster(MasterContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database


class TestPostgresInlineAgent(InlineContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database


class TestPostgresAgent(AgentContract):
    @pytest.fixture
    def agent_url(self, every_database: str) -> str:
        empty_agents(every_database)
        return every_database


class TestPostgresAgentBesideItsMaster(AgentContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database

    @pytest.fixture
    def agent_url(self, every_database: str) -> str:
        empty_agents(every_database)
        return every_database


class TestPostgresEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database


def empty_agents(database: str) -> None:
    """Delete what earlier tests have left in the agent's tables: its holdings are everybody's."""
    with psycopg.connect(database) as connection:
        if connection.execute("SELECT to_regclass('jm_agent_message')").fetchone() != (None,):
            connection.execute("TRUNCATE jm_agent_message, jm_agent_bucket")
