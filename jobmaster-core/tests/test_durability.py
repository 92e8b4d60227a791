"""What a cluster makes of what its stores say of their durability."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import anyio
import pytest

from jobmaster import Cluster, ConfigurationError, hookimpl
from jobmaster._runtime.durability import LOOK_EVERY
from jobmaster._setup.fileconfig import build_cluster
from jobmaster.contracts import AgentRepository, Capabilities, DurabilityRisk, MasterRepository
from jobmaster.errors import StoreUnavailableError
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

LAZY = DurabilityRisk(
    setting="flush_log_at_commit", value="2", means="a power cut loses a second", remedy="set it to 1"
)


class Kept:
    """Serves `kept://name`: stores that say to be durable, with the risks that a test gives them."""

    def __init__(self) -> None:
        self.risks: dict[str, Sequence[DurabilityRisk]] = {}
        self.asked: list[str] = []
        self.away = False

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"kept": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        return KeptMaster(self, url, options) if url.startswith("kept://") else None

    @hookimpl
    def jobmaster_agent(self, name: str, url: str) -> AgentRepository | None:
        return KeptAgent(self, name, url) if url.startswith("kept://") else None

    def ask(self, name: str) -> Sequence[DurabilityRisk]:
        self.asked.append(name)
        if self.away:
            raise StoreUnavailableError("away")
        return self.risks.get(name, ())


class KeptMaster(MemoryMaster):
    def __init__(self, kept: Kept, url: str, options: Any) -> None:
        super().__init__(url, options.options.get("clock"))
        self._kept, self._url = kept, url

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(notifications=True)

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        return self._kept.ask(self._url.partition("://")[2])


class KeptAgent(MemoryAgent):
    def __init__(self, kept: Kept, name: str, url: str) -> None:
        super().__init__(name, url)
        self._kept = kept

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(notifications=True)

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        return self._kept.ask(self.name)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, "jobmaster.durability")
    return lambda: [
        f"{r.levelname} {r.getMessage()}" for r in caplog.records if r.name == "jobmaster.durability"
    ]


def cluster(kept: Kept, name: str = "m", **settings: Any) -> Cluster:
    return Cluster(f"Kept-{uuid4().hex[:6]}", f"kept://{name}").use(kept).configure(**settings)


async def test_a_warning_says_store_setting_value_meaning_and_remedy(
    kept: Kept, told: Callable[[], list[str]]
) -> None:
    kept.risks = {"m": [LAZY], "A": [LAZY]}
    made = cluster(kept).add_agent("A", "kept://a")
    for _ in range(2):  # it is said once
        async with made.running(workers=False) as runtime:
            assert await runtime.durability_risks() == {"master": [LAZY], "A": [LAZY]}

    text = "flush_log_at_commit is 2: a power cut loses a second; set it to 1"
    assert told() == [
        f"WARNING cluster {made.id}: the master: {text}",
        f"WARNING cluster {made.id}: agent 'A': {text}",
    ]


@pytest.mark.parametrize(("name", "what"), [("m", "the master"), ("A", "agent 'A'")])
async def test_who_has_to_be_durable_refuses_to_start(kept: Kept, name: str, what: str) -> None:
    kept.risks = {name: [LAZY]}
    made = cluster(kept, require_durable=True).add_agent("A", "kept://a")

    with pytest.raises(ConfigurationError) as caught:
        async with made.running():
            pass
    assert str(caught.value) == (
        f"require_durable: {what} may lose what it has accepted: flush_log_at_commit is 2: a power cut loses a second; "
        "set it to 1 (or set it to False)"
    )


async def test_a_target_has_to_be_durable_too(kept: Kept) -> None:
    kept.risks = {"there": [LAZY]}
    made = cluster(kept, require_durable=True).move_to("kept://there")
    async with made.running(workers=False) as runtime:
        with pytest.raises(ConfigurationError, match="require_durable: the target of move_to may lose"):
            await runtime.move()


@pytest.mark.parametrize("whose", ["master", "agent"])
async def test_nothing_that_is_in_memory_is_durable(kept: Kept, whose: str) -> None:
    made = Cluster("Mem-1", "memory://") if whose == "master" else cluster(kept).add_agent("A", "memory://")
    made.configure(require_durable=True)

    with pytest.raises(ConfigurationError, match=r"require_durable: .* in memory: all its jobs are gone"):
        async with made.running(workers=False):
            pass


async def test_a_provider_that_says_nothing_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, told: Callable[[], list[str]]
) -> None:
    """One that was written before there was anything to say has the contract's own answer."""
    monkeypatch.delattr(KeptMaster, "durability_risks")
    async with cluster(kept, require_durable=True).running(workers=False) as runtime:
        assert await runtime.durability_risks() == {"master": ()}
    assert told() == []


async def test_a_store_that_cannot_be_asked_now_is_left_out(kept: Kept) -> None:
    async with cluster(kept).running(workers=False) as runtime:
        kept.away = True
        assert await runtime.durability_risks() == {}


def test_it_can_be_required_wherever_settings_are_given() -> None:
    given = {"cluster": "C", "master": "memory://"}

    assert build_cluster(Cluster, {**given, "settings": {"require_durable": True}}).settings.require_durable
    assert build_cluster(Cluster, given, {"JOBMASTER_REQUIRE_DURABLE": "yes"}).settings.require_durable
    assert not build_cluster(Cluster, given, {}).settings.require_durable
    with pytest.raises(ConfigurationError, match="require_durable: 'yes' does not fit; give True or False"):
        Cluster("C", "memory://").configure(require_durable="yes")  # type: ignore[arg-type]


class TestTime:
    @pytest.fixture
    def anyio_backend(self, virtual_backend: Any) -> Any:
        return virtual_backend

    async def test_a_server_that_was_restarted_with_other_settings_is_noticed(
        self, kept: Kept, virtual_clock: VirtualClock, told: Callable[[], list[str]]
    ) -> None:
        made = Cluster(f"Kept-{uuid4().hex[:6]}", "kept://m", clock=virtual_clock).use(kept)
        made.configure(store_options={"clock": virtual_clock}, require_durable=True)
        async with made.running(workers=False) as runtime:
            assert kept.asked == ["m"]
            kept.risks = {"m": [LAZY]}
            await anyio.sleep(LOOK_EVERY + 1)
            assert [line.partition(": flush")[0] for line in told()] == [
                f"WARNING cluster {made.id}: the master"
            ]
            kept.away = True
            await anyio.sleep(LOOK_EVERY)
            kept.risks, kept.away = {}, False
            await anyio.sleep(LOOK_EVERY)
            assert told()[-1] == f"INFO cluster {made.id}: the master: flush_log_at_commit is no longer 2"
            runtime.scope.check()  # what is required is required of a start

    async def test_it_costs_one_question_a_minute(self, kept: Kept, virtual_clock: VirtualClock) -> None:
        made = Cluster("Kept-Cost", "kept://m", clock=virtual_clock).use(kept)
        async with made.configure(store_options={"clock": virtual_clock}).running(workers=False):
            before = len(kept.asked)
            await anyio.sleep(3600)
            assert 50 <= len(kept.asked) - before <= 60
