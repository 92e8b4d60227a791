"""PostgreSQL that cuts connections or restarts under load: what was accepted survives, and nothing runs twice."""

from __future__ import annotations

import pytest

from tests.e2e.load import under_load
from tests.e2e.scenario import Scenario
from tests.e2e.stores import OwnPostgres

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(150)]


@pytest.fixture
def url(own_server: OwnPostgres) -> str:
    return own_server.new_database()


async def test_terminated_connections_are_opened_again(scenario: Scenario, own_server: OwnPostgres) -> None:
    ended: list[int] = []
    await under_load(scenario, 30, lambda: ended.append(own_server.terminate_backends(scenario.url)), 10)
    assert min(ended) >= 3, f"connections terminated each time: {ended}"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restarted_server_has_all_it_accepted(
    scenario: Scenario, own_server: OwnPostgres, mode: str
) -> None:
    await under_load(scenario, 31, lambda: own_server.restart(mode), 2)
