"""Whatever a caller names is stored, found and shown again, or refused in our words before anything is stored."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobmaster import (
    Cluster,
    InvalidQueryError,
    JobContext,
    JobDefinition,
    JobMasterError,
    JobReceipt,
    JobRecord,
    MetadataFilter,
    Operator,
    Priority,
    Runtime,
    SchedulingError,
    WorkerNotFoundError,
    handler,
)
from jobmaster_sql import load_migrations
from jobmaster_testing.servers import postgres_url

# Values are drawn in a thread, beside an event loop whose jitter comes from `random`: no strategy does that.
DRAWN_BESIDE_A_LOOP = "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(DRAWN_BESIDE_A_LOOP)]

KINDS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

ODD = [
    "",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "e\u0301",
    "\u202e",
    "a.b-c_d:e",
    "A" * 253,
    "A" * 254,
    "$",
    "%_",
]
LONG = ["x" * 200, "x" * 201, "é" * 200, "x" * 70_000]
texts = (
    st.sampled_from([*ODD, *LONG])
    | st.text(st.characters(), max_size=20)
    | st.from_regex(r"[A-Za-z0-9]{1,9}", fullmatch=True)
)
decimals = st.decimals() | st.sampled_from(
    [Decimal(text) for text in ("1E+99999", "1E-20000", "1E+999999", "sNaN", "NaN12")]
)


@handler("Names.Plain")
async def plain(_: JobContext) -> None: ...


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}.get(
        request.param
    ) or postgres_url()
    return Cluster.standalone(f"Names-{uuid4().hex}", url).add_handlers(plain)


Store = Callable[[Runtime, Any], Awaitable[JobReceipt]]
Find = Callable[[Any], Mapping[str, Any]]
Show = Callable[[JobRecord], Any]

NAMED: Mapping[str, tuple[Store, Find | None, Show]] = {
    "metadata name": (
        lambda runtime, it: runtime.scheduler.once_now(plain, metadata={it: 1}),
        lambda it: {"metadata": {it: 1}},
        lambda job: next(iter(job.metadata)),
    ),
    "metadata value": (
        lambda runtime, it: runtime.scheduler.once_now(plain, metadata={"v": it}),
        lambda it: {"metadata": {"v": it}},
        lambda job: job.metadata["v"],
    ),
    "part of a metadata value": (
        lambda runtime, it: runtime.scheduler.once_now(plain, metadata={"v": it}),
        lambda it: {
            "metadata": [MetadataFilter("v", operator, it) for operator in (Operator.CONTAINS, Operator.GTE)]
        },
        lambda job: job.metadata["v"],
    ),
    "lane": (
        lambda runtime, it: runtime.scheduler.once_now(plain, lane=it),
        lambda it: {"lane": it},
        lambda job: job.lane,
    ),
    "definition id": (
        lambda runtime, it: runtime.scheduler.once_now(JobDefinition(it)),
        lambda it: {"handler": it},
        lambda job: job.definition_id,
    ),
    "key": (lambda runtime, it: runtime.scheduler.once_now(plain, key=it), None, lambda job: job.key),
    "data name": (
        lambda runtime, it: runtime.scheduler.once_now(plain, {it: 1}),
        None,
        lambda job: next(iter(job.data)),
    ),
}


async def _stored_and_found_or_refused(runtime: Runtime, what: str, it: Any) -> None:
    store, find, show = NAMED[what]
    before = await runtime.jobs.count()
    receipt: JobReceipt | None = None
    try:
        receipt = await store(runtime, it)
        assert show(await runtime.jobs.get(receipt.job_id)) == it
    except JobMasterError:
        assert await runtime.jobs.count() == before
    if find is not None:
        try:
            found = [job.id for job in await runtime.jobs.query(**find(it), limit=1)]
        except InvalidQueryError:
            assert receipt is None
        else:
            assert found == ([receipt.job_id] if receipt else [])


@pytest.mark.parametrize("what", NAMED)
async def test_a_name_is_stored_and_found_or_refused(cluster: Cluster, what: str) -> None:
    async with cluster.running() as runtime:

        @settings(max_examples=40)
        @given(texts)
        def each(it: str) -> None:
            anyio.from_thread.run(_stored_and_found_or_refused, runtime, what, it)

        await anyio.to_thread.run_sync(each)
        assert await runtime.jobs.count() > 0


async def test_what_is_stored_can_be_compared_with_anything(cluster: Cluster) -> None:
    values = (
        texts | decimals | st.floats() | st.integers() | st.booleans() | st.none() | st.binary(max_size=9)
    )

    async def store_and_ask(runtime: Runtime, stored: Any, wanted: Any, operator: Operator) -> None:
        with suppress(SchedulingError):
            await runtime.scheduler.once_now(plain, metadata={"v": stored})
        option = [wanted, stored] if operator is Operator.IN else wanted
        with suppress(InvalidQueryError):
            await runtime.jobs.count(metadata=[MetadataFilter("v", operator, option)])

    async with cluster.running() as runtime:

        @settings(max_examples=150)
        @given(values, values, st.sampled_from(Operator))
        def each(stored: Any, wanted: Any, operator: Operator) -> None:
            anyio.from_thread.run(store_and_ask, runtime, stored, wanted, operator)

        await anyio.to_thread.run_sync(each)


async def test_what_is_looked_for_by_name_is_there_or_not(cluster: Cluster) -> None:
    async def look(runtime: Runtime, name: str) -> None:
        with pytest.raises(WorkerNotFoundError):
            await runtime.stop_worker(name)
        for subject in ("job", name):
            try:
                assert await runtime.jobs.logs(subject, name) == []
            except InvalidQueryError:
                assert any(character in name for character in "\0") or not name.isascii()

    async with cluster.running() as runtime:

        @settings(max_examples=40)
        @given(texts)
        def each(name: str) -> None:
            anyio.from_thread.run(look, runtime, name)

        await anyio.to_thread.run_sync(each)


class Lanes(StrEnum):
    MAIL = "mail"


async def test_members_of_string_enums_are_the_texts_they_are(cluster: Cluster) -> None:
    async with cluster.add_worker(lane=Lanes.MAIL).running(workers=False) as runtime:
        receipt = await runtime.scheduler.once_now(
            plain, lane=Lanes.MAIL, key=Lanes.MAIL, priority="very_low"
        )
        job = await runtime.jobs.get(receipt.job_id)
        assert (job.lane, job.key, job.priority) == ("mail", "mail", Priority.VERY_LOW)
        spelt: Any = "Very-Low"
        found = await runtime.jobs.query(lane=Lanes.MAIL, priority=spelt)
        assert [one.id for one in found] == [job.id]


# Long names

POD = ("shop--background-worker." * 11)[:251].rstrip("-.").ljust(253, "x")
LABEL = "long-name." * 26


def long(name: str) -> str:
    """Return a name as long as may be that begins with this one."""
    return f"{name}.{LABEL}"[:251].rstrip("-.").ljust(253, "x")


@pytest.fixture
def long_cluster(cluster: Cluster, tmp_path: Path) -> Cluster:
    """Return a distributed cluster whose every name is as long as may be."""
    url, agent = cluster.master_url, long("Agent")
    made = Cluster(long(cluster.id), url).add_agent(agent, "memory://" if url == "memory://" else url)
    made.add_worker(name=POD, agent=agent, lane=long("Lane"))
    return made.add_handlers(plain).debug_jsonl(tmp_path / "logs").configure(heartbeat=0.2, lease=5)


async def test_names_of_253_characters_work_everywhere(
    long_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: f"{POD}xy")  # Linux allows 64, Windows and others more
    lane = long_cluster.workers[0].lane
    names = (long_cluster.id, POD, lane, long_cluster.agents[0].name)
    assert [len(name) for name in names] == [253] * 4
    async with long_cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(plain, lane=lane, key="k" * 200)
        job = await runtime.jobs.wait(receipt.job_id, 10)
        assert (job.status, job.attempts[0].worker, job.lane) == ("succeeded", POD, lane)
        assert [found.id for found in await runtime.jobs.query(lane=lane)] == [job.id]
        await runtime.pause_lane(lane)
        await runtime.resume_lane(lane)
        workers = await runtime.list_workers()
        assert {(worker.name, worker.agent, worker.lane) for worker in workers} == {(POD, names[3], lane)}
        assert {host.name for host in await runtime.master.members.list_hosts(runtime.id)} == {f"{POD}xy"}
        assert await runtime.stop_worker(POD) == 1
        with anyio.fail_after(10):
            await runtime.workers_stopped()


async def test_a_worker_is_named_after_a_host_of_any_name(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = "h" * 62 + "--x_y"
    monkeypatch.setattr("socket.gethostname", lambda: host)
    async with cluster.add_worker().add_worker().running() as runtime:
        await runtime.workers_ready()
        names = sorted(worker.name for worker in await runtime.list_workers())
        assert names == [f"{host}-{os.getpid()}", f"{host}-{os.getpid()}-2"]
        assert {found.name for found in await runtime.master.members.list_hosts(runtime.id)} == {host}
        assert await runtime.stop_worker(names[1]) == 1


@pytest.mark.parametrize("name", ["a--b", "xn--bcher-kva.example", "a.-_b", "0"])
def test_what_hosts_and_pods_are_called_is_a_workers_name(name: str) -> None:
    assert Cluster("Names-1", "memory://").add_worker(name=name).workers[0].name == name


@pytest.mark.parametrize("folder", ["migrations", "agent_migrations"])
def test_no_table_or_index_is_named_longer_than_postgresql_takes(folder: str) -> None:
    """Longer ones are cut off there, and two of them may be one."""
    prefix = "p" * 21 + ("agent_" if folder == "agent_migrations" else "")
    texts = [migration.text for migration in load_migrations("jobmaster_postgres", folder)]
    names = {f"{prefix}{name}" for text in texts for name in re.findall(r"\{prefix\}(\w+)", text)}

    assert max(map(len, names)) <= 63
