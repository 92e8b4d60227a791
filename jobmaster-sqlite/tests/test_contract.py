"""SQLite passes the suite that defines a provider."""

from pathlib import Path

import pytest

from jobmaster_testing.contracts import MasterContract


class TestSqliteMaster(MasterContract):
    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/jobs.db"
