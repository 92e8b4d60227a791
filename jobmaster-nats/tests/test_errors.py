"""What goes wrong at the server, and how it is told."""

import socket
from uuid import uuid4

import pytest
from attrs import evolve

from jobmaster.contracts import AgentRepository, Message
from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    SchemaError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from jobmaster.models import Cursor
from jobmaster_nats.address import parse_address
from jobmaster_nats.errors import api_error
from jobmaster_testing.factories import make_bucket, make_job, make_message
from jobmaster_testing.options import Options, open_agent, unopened_agent
from jobmaster_testing.servers import NatsServer, Wire, meddle_nats

LOGIN = 'authorization { users: [ { user: app, password: "right-s3cret" } ] }'
TOKEN = 'authorization { token: "right-s3cret-token" }'


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (10059, 404, SchemaError),
        (10039, 503, ConfigurationError),
        (10058, 400, ConfigurationError),
        (10077, 503, StoreUnavailableError),
        (10047, 503, StoreUnavailableError),
        (10008, 503, StoreUnavailableError),
        (10167, 429, StoreUnavailableError),
        (10054, 400, StoreError),
        (10025, 400, StoreError),
    ],
)
def test_answers_of_jetstream(code: int, status: int, kind: type[JobMasterError]) -> None:
    error = api_error(
        parse_address("nats://a"), "jm_agent", {"err_code": code, "code": status, "description": "x"}
    )

    assert type(error) is kind


@pytest.mark.anyio
class TestConnecting:
    async def test_nobody_is_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        agent = unopened_agent("A", f"nats://127.0.0.1:{port}")

        with pytest.raises(StoreUnreachableError, match=f"127.0.0.1:{port}"):
            await agent.open()
        await agent.close()

    async def test_what_answers_is_no_nats_server(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            agent = unopened_agent(
                "A", f"nats://127.0.0.1:{silent.getsockname()[1]}", Options(store_timeout=0.5)
            )
            with pytest.raises(StoreUnavailableError):
                await agent.open()
            await agent.close()

    @pytest.mark.nats
    @pytest.mark.parametrize("own_server", [LOGIN, TOKEN], indirect=True)
    async def test_a_wrong_login_is_a_mistake_and_not_shown(self, own_server: NatsServer) -> None:
        for login in ("app:wr0ng-s3cret@", "wr0ng-s3cret@", ""):
            agent = unopened_agent("A", own_server.url.replace("nats://", f"nats://{login}"))
            with pytest.raises(ConfigurationError, match="check user, password, token or key") as caught:
                await agent.open()
            assert "s3cret" not in str(caught.value)
            await agent.close()

    @pytest.mark.nats
    @pytest.mark.parametrize(
        ("own_server", "login"),
        [(LOGIN, "app:right-s3cret"), (TOKEN, "right-s3cret-token")],
        indirect=["own_server"],
    )
    async def test_a_right_login(self, own_server: NatsServer, login: str) -> None:
        async with open_agent("A", own_server.url.replace("nats://", f"nats://{login}@")) as agent:
            assert await agent.fingerprint()

    @pytest.mark.nats
    async def test_the_other_servers_of_a_url_are_tried(self, server: str, stream: str) -> None:
        several = stream.replace("nats://", "nats://127.0.0.1:1,")
        async with open_agent("A", several) as agent:
            assert await agent.fingerprint()
        assert server

    @pytest.mark.nats
    @pytest.mark.parametrize(
        "own_server", ["accounts { A { users: [ { user: a, password: b } ] } }"], indirect=True
    )
    async def test_an_account_without_jetstream(self, own_server: NatsServer) -> None:
        agent = unopened_agent("A", own_server.url.replace("nats://", "nats://a:b@"))

        with pytest.raises(ConfigurationError, match="JetStream is not enabled"):
            await agent.open()
        await agent.close()


@pytest.mark.anyio
@pytest.mark.nats
class TestOutages:
    async def test_a_stream_that_was_never_made(self, stream: str) -> None:
        agent = unopened_agent("A", stream)
        await agent.open()

        assert list(await agent.schema.pending()) == ["0001_stream"]
        with pytest.raises(SchemaError, match="jobmaster migrate"):
            await agent.fingerprint()
        await agent.close()

    async def test_a_stream_with_settings_that_lose_messages(self, server: str, stream: str) -> None:
        name = "jm_" + stream.partition("stream=")[2]
        await meddle_nats(server, lambda js: js.add_stream(name=name, subjects=[f"{name}.>"], max_age=60))
        agent = unopened_agent("A", stream)
        await agent.open()

        with pytest.raises(ConfigurationError, match="max_msgs_per_subject, max_age"):
            await agent.schema.migrate()
        await agent.close()

    async def test_a_stream_that_was_deleted_is_an_outage(self, server: str, stream: str) -> None:
        bucket = make_bucket()
        async with open_agent("A", stream) as agent:
            await agent.buckets.create([bucket])
            name = "jm_" + stream.partition("stream=")[2]
            await meddle_nats(server, lambda js: js.delete_stream(name))

            with pytest.raises(StoreUnreachableError):
                await agent.messages.push([make_message(bucket)])
            with pytest.raises(StoreRefusedError, match="jobmaster migrate"):
                await agent.buckets.holdings()

    async def test_a_full_stream_refuses_and_keeps(self, stream: str) -> None:
        bucket = make_bucket()
        async with open_agent("A", f"{stream}&max_bytes=64KB") as agent:
            await agent.buckets.create([bucket])
            messages = [make_message(bucket, make_job(data={"text": "x" * 4000})) for _ in range(100)]
            with pytest.raises(StoreUnavailableError, match="takes no more"):
                await agent.messages.push(messages)

            kept = await agent.messages.read_all(bucket.id, 100)
            assert 5 < len(kept) < 20
            with pytest.raises(StoreUnreachableError, match="takes no more"):  # so the job goes elsewhere
                await agent.messages.push([make_message(bucket, make_job(data={"text": "x" * 9000}))])

    async def test_the_owner_of_a_bucket_in_a_full_stream_works_on(self, every_stream: str) -> None:
        bucket, options = make_bucket(), Options(table_prefix=f"full{uuid4().hex[:8]}_")
        for url in [every_stream]:
            async with open_agent("A", f"{url}&max_bytes=64KB", options) as agent:
                await agent.buckets.create([bucket])
                for size in (4000, 400, 10):
                    while await _is_taken(agent, make_message(bucket, make_job(data={"text": "x" * size}))):
                        pass

                cursor, count = Cursor(), 0
                while (page := await agent.claims.pull(bucket, cursor, 3)).claims:
                    cursor, count = page.cursor, count + len(page.claims)
                assert count > 10
                taken = evolve(bucket, epoch=2)
                assert len((await agent.claims.exposed(taken, 1000)).claims) == count

                await agent.messages.acknowledge(taken, [(claim.job.id, 1) for claim in page.claims])
                for message in await agent.messages.read_all(bucket.id, 2):
                    await agent.messages.acknowledge(taken, [(message.new.job.id, 1)])
                await agent.messages.push([make_message(bucket)])

    async def test_a_connection_that_was_cut_is_opened_again(self, stream: str, wire: Wire) -> None:
        bucket = make_bucket()
        url = f"nats://127.0.0.1:{wire.port}?{stream.partition('?')[2]}"
        async with open_agent("A", url) as agent:
            await agent.buckets.create([bucket])
            wire.cut()
            with pytest.raises(StoreUnavailableError):
                await agent.messages.push([make_message(bucket)])
            wire.connect()

            await agent.messages.push([make_message(bucket)])
            assert await agent.buckets.holdings() == {bucket.id: 1}

    async def test_a_silent_server_is_given_up_in_time(self, stream: str, wire: Wire) -> None:
        bucket = make_bucket()
        url = f"nats://127.0.0.1:{wire.port}?{stream.partition('?')[2]}"
        async with open_agent("A", url, Options(store_timeout=0.5)) as agent:
            await agent.buckets.create([bucket])
            wire.fall_silent(to_server=False)
            message = make_message(bucket)
            with pytest.raises(StoreUnavailableError, match="no answer in time"):
                await agent.messages.push([message])
            wire.connect()

            await agent.messages.push([message])
            assert await agent.buckets.holdings() == {bucket.id: 1}


async def _is_taken(agent: AgentRepository, message: Message) -> bool:
    try:
        await agent.messages.push([message])
    except StoreUnreachableError:
        return False
    return True
