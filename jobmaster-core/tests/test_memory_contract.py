"""The in-memory provider passes the same suite as every other."""

from uuid import uuid4

import pytest

from jobmaster_testing.contracts import MasterContract


class TestMemoryMaster(MasterContract):
    @pytest.fixture
    def store_url(self) -> str:
        return f"memory://{uuid4().hex}"
