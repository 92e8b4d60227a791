"""NATS JetStream passes the suite that defines an agent."""

import pytest

from jobmaster_testing.contracts import AgentContract

pytestmark = pytest.mark.nats


class TestNatsAgent(AgentContract):
    @pytest.fixture
    def agent_url(self, every_stream: str) -> str:
        return every_stream
