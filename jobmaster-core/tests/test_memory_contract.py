"""The in-memory provider passes the same suite as every other."""

from uuid import uuid4

import pytest

from jobmaster_testing.contracts import AgentContract, EndToEndContract, InlineContract, MasterContract


class TestMemoryMaster(MasterContract):
    @pytest.fixture
    def store_url(self) -> str:
        return f"memory://{uuid4().hex}"


class TestInlineAgent(InlineContract):
    """Over the in-memory master, which is the suite's default."""


class TestMemoryAgent(AgentContract):
    @pytest.fixture
    def agent_url(self) -> str:
        return f"memory://{uuid4().hex}"

    @pytest.fixture
    def other_agent_url(self) -> str:
        return f"memory://{uuid4().hex}"


class TestMemoryEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self) -> str:
        return f"memory://{uuid4().hex}"
