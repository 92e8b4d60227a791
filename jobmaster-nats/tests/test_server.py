"""Servers that are killed and started again, listeners, large messages, the stream and its durability."""

from collections.abc import Sequence
from uuid import UUID

import anyio
import anyio.to_thread
import orjson
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from jobmaster.contracts import Topics
from jobmaster.errors import ConfigurationError, StoreUnavailableError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Cursor
from jobmaster_nats import NatsAgent, parts
from jobmaster_nats.link import Link, Request
from jobmaster_nats.stream import Entry, Stream
from jobmaster_testing.factories import make_bucket, make_job, make_message
from jobmaster_testing.options import Options, open_agent, unopened_agent
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.servers import NatsServer, Wire

pytestmark = [pytest.mark.nats, pytest.mark.anyio]


async def restart(server: NatsServer) -> None:
    await anyio.to_thread.run_sync(server.kill)
    await anyio.to_thread.run_sync(server.start)


async def all_pulled(agent: NatsAgent, bucket: Bucket) -> set[UUID]:
    return {claim.job.id for claim in (await agent.claims.pull(bucket, Cursor(), 1000)).claims}


class TestKilledServer:
    async def test_what_was_acknowledged_is_there_again(self, own_server: NatsServer) -> None:
        bucket = make_bucket()
        async with open_agent("A", own_server.url) as agent:
            assert isinstance(agent, NatsAgent)
            fingerprint = await agent.fingerprint()
            await agent.buckets.create([bucket])
            first, second = (
                [make_message(bucket) for _ in range(50)],
                [make_message(bucket) for _ in range(50)],
            )
            await agent.messages.push(first)
            assert await all_pulled(agent, bucket) == {m.new.job.id for m in first}
            await agent.messages.acknowledge(bucket, [(m.new.job.id, 1) for m in first[:20]])

            await restart(own_server)

            await until(lambda: _answers(agent), what="the agent to answer")
            assert await agent.fingerprint() == fingerprint
            await agent.messages.push(first[20:] + second)  # whoever got no answer repeats its push
            left = {m.new.job.id for m in first[20:] + second}
            assert await all_pulled(agent, bucket) == left
            assert await agent.buckets.holdings() == {bucket.id: len(left)}

    async def test_a_push_into_a_dying_server_is_not_known_and_may_be_repeated(
        self, own_server: NatsServer
    ) -> None:
        bucket = make_bucket()
        async with open_agent("A", own_server.url) as agent:
            assert isinstance(agent, NatsAgent)
            await agent.buckets.create([bucket])
            batches = [[make_message(bucket) for _ in range(200)] for _ in range(100)]
            accepted, unknown = list[int](), list[int]()

            async def push() -> None:
                for number, batch in enumerate(batches):
                    try:
                        await agent.messages.push(batch)
                    except StoreUnavailableError:
                        unknown.append(number)
                        return
                    accepted.append(number)

            async with anyio.create_task_group() as group:
                group.start_soon(push)
                await until(lambda: len(accepted) > 3, what="some pushes")
                await restart(own_server)

            assert unknown
            await until(lambda: _answers(agent), what="the agent to answer")
            await agent.messages.push(batches[unknown[0]])
            expected = {m.new.job.id for number in accepted + unknown for m in batches[number]}
            assert await agent.buckets.holdings() == {bucket.id: len(expected)}

    async def test_a_listener_learns_that_the_server_is_gone(self, own_server: NatsServer) -> None:
        heard, ready = Seen[str](), anyio.Event()
        async with open_agent("A", own_server.url) as agent:
            with pytest.raises(StoreUnavailableError):  # noqa: PT012 - the group raises what its task does
                try:
                    async with anyio.create_task_group() as group:
                        group.start_soon(agent.notifications.listen, [Topics.ANY], heard.add, ready.set)
                        await ready.wait()
                        await anyio.to_thread.run_sync(own_server.kill)
                        await anyio.sleep(5)
                except BaseExceptionGroup as errors:
                    raise errors.exceptions[0] from None

    @pytest.mark.parametrize("own_server", ["max_payload: 64KB"], indirect=True)
    async def test_a_server_of_small_messages_takes_large_jobs(self, own_server: NatsServer) -> None:
        bucket = make_bucket()
        job = make_job(data={"text": "x" * 500_000})
        async with open_agent("A", own_server.url) as agent:
            await agent.buckets.create([bucket])
            await agent.messages.push([make_message(bucket, job)])

            [claim] = (await agent.claims.pull(bucket, Cursor(), 10)).claims
            assert claim.job == job


async def _answers(agent: NatsAgent) -> bool:
    try:
        await agent.now()
    except StoreUnavailableError:
        return False
    return True


class TestLargeMessages:
    async def test_their_parts_leave_with_them(self, stream: str) -> None:
        bucket = make_bucket()
        large = [make_message(bucket, make_job(data={"text": "x" * 2_000_000})) for _ in range(2)]
        async with open_agent("A", stream) as agent:
            assert isinstance(agent, NatsAgent)
            await agent.buckets.create([bucket])
            await agent.messages.push(large)
            await agent.messages.push(large)
            assert len(await _subjects_of_parts(agent)) == 8

            await agent.claims.pull(bucket, Cursor(), 10)
            await agent.messages.acknowledge(bucket, [(large[0].new.job.id, 1)])
            await agent.messages.acknowledge(bucket, [(large[1].new.job.id, 1)])

            assert await _subjects_of_parts(agent) == []

    async def test_parts_that_an_interrupted_push_left_are_removed_in_time(
        self, stream: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket, message = make_bucket(), make_message(make_bucket())
        kept = make_message(bucket, make_job(data={"text": "x" * 1_000_000}))
        async with open_agent("A", stream) as agent:
            assert isinstance(agent, NatsAgent)
            await agent.messages.push([kept])
            names = agent._driver.names
            prefix = names.parts_of(names.message(bucket.id, (message.new.job.id, 1)), "cut-off")

            async def push_half(stream: Stream) -> None:
                await stream.store([Entry(f"{prefix}.{number}", b"x") for number in range(2)])

            await agent._driver.run(push_half)
            await agent._driver.run(parts.remove_stray)
            assert len(await _subjects_of_parts(agent)) == 4

            monkeypatch.setattr(parts, "_STRAY_AFTER", -1_000_000)
            await agent._driver.run(parts.remove_stray)

            assert len(await _subjects_of_parts(agent)) == 2
            [found] = await agent.messages.read_all(bucket.id, 10)
            assert found.new.job == kept.new.job


async def _subjects_of_parts(agent: NatsAgent) -> list[str]:
    async def work(stream: Stream) -> list[str]:
        return await stream.subjects(stream.names.parts)

    return await agent._driver.run(work)


class TestStream:
    async def test_the_command_that_makes_it_needs_no_connection(self) -> None:
        agent = unopened_agent(
            "A", "nats://nowhere?replicas=3&max_bytes=1GB&stream=jobs", Options(table_prefix="x_")
        )

        assert agent.schema.script() == (
            "nats stream add x_jobs --subjects='x_jobs.>' --storage=file --replicas=3 --retention=limits "
            "--discard=new --max-msgs=-1 --max-msgs-per-subject=1 --max-age=0 --max-bytes=1073741824 --defaults\n"
        )

    async def test_several_processes_make_it_once(self, stream: str) -> None:
        agents = [unopened_agent("A", stream) for _ in range(4)]
        applied: list[str] = []

        async def migrate(number: int) -> None:
            await agents[number].open()
            applied.extend(await agents[number].schema.migrate())

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(migrate, number)

        assert set(applied) == {"0001_stream"}
        assert len({await agent.fingerprint() for agent in agents}) == 1
        for agent in agents:
            await agent.close()

    @pytest.mark.parametrize(
        ("options", "settings"),
        [
            ("", ["sync_interval", "replicas"]),
            ("&sync=always", ["replicas"]),
            ("&storage=memory", ["storage"]),
        ],
    )
    async def test_what_can_lose_jobs_is_told(self, stream: str, options: str, settings: list[str]) -> None:
        agent = unopened_agent("A", stream + options)
        await agent.open()
        for _ in range(2):
            risks = await agent.durability_risks()
            assert [risk.setting for risk in risks] == settings
            await agent.schema.migrate()
        await agent.close()

    async def test_a_process_asks_again_after_a_cut(self, stream: str, wire: Wire) -> None:
        bucket, aside = make_bucket(), new_id()
        url = f"nats://127.0.0.1:{wire.port}?{stream.partition('?')[2]}"
        async with open_agent("A", url) as agent:
            assert isinstance(agent, NatsAgent)
            await agent.buckets.create([bucket])
            messages = [make_message(bucket) for _ in range(30)]
            await agent.messages.push(messages)
            before = await all_pulled(agent, bucket)
            wire.cut()
            wire.connect()
            await until(lambda: _answers(agent), what="the agent to answer")
            await agent.messages.push([make_message(bucket)])

            assert before < await all_pulled(agent, bucket)
            assert await agent.asides.set_aside(bucket, aside, 0, 0, 10) == 0

    async def test_replicas_on_old_servers_are_refused(
        self, own_server: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With 2.9.10 and three replicas, 1,182 of 3,000 pairs of conflicting writes were both acknowledged."""
        agent = unopened_agent("A", f"{own_server.url}?replicas=3")
        await agent.open()
        monkeypatch.setattr("jobmaster_nats.schema._REPLICAS_FROM", (99, 0))

        with pytest.raises(ConfigurationError, match=r"with 3 replicas; upgrade it to 99\.0"):
            await agent.schema.migrate()
        await agent.close()

    async def test_a_write_that_another_one_is_in_the_way_of_is_repeated(
        self, stream: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That one may still fail: it does not show that the message is there."""
        bucket = make_bucket()
        async with open_agent("A", stream) as agent:
            await agent.buckets.create([bucket])
            exchange, left = Link.exchange, [2]

            async def busy(link: Link, requests: Sequence[Request]) -> list[Msg]:
                if left[0] and requests[0].expected == 0:
                    left[0] -= 1
                    error = {
                        "err_code": 10164,
                        "code": 400,
                        "description": "last sequence by subject mismatch",
                    }
                    return [Msg(Client(), data=orjson.dumps({"error": error}))] * len(requests)
                return await exchange(link, requests)

            monkeypatch.setattr(Link, "exchange", busy)
            await agent.messages.push([make_message(bucket) for _ in range(3)])

            assert left == [0]
            assert await agent.buckets.holdings() == {bucket.id: 3}
