"""Requirements for `MemberStore`: the agents and hosts of a cluster."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from typing import TypeVar

import anyio
from attrs import evolve

from jobmaster.contracts import MasterRepository
from jobmaster.models import AgentRecord, HostRecord
from jobmaster_testing.contracts.provider import MasterTests, make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_agent, make_host

R = TypeVar("R", AgentRecord, HostRecord)


class MemberContract(MasterTests, suite=True):
    """Agents with their fingerprints, and hosts."""

    async def test_an_agent_comes_back_as_it_was_registered(self, world: World) -> None:
        agent = make_agent("Ägent · 1", world.cluster_id, kind="nats", fingerprint="f" * 64)
        before = await world.master.now()

        [answer] = await world.master.members.register_agents([agent])

        [stored] = await world.master.members.list_agents(world.cluster_id)
        assert _bare(answer) == _bare(stored) == agent
        assert stored.registered_at is not None
        assert before <= stored.registered_at <= await world.master.now()
        assert stored.heartbeat_at is None

    async def test_no_agents(self, world: World) -> None:
        assert list(await world.master.members.register_agents([])) == []
        assert list(await world.master.members.list_agents(world.cluster_id)) == []

    async def test_agents_are_answered_in_order_and_listed_by_name(self, world: World) -> None:
        agents = [make_agent(name, world.cluster_id) for name in ("c", "a", "b")]

        answers = await world.master.members.register_agents(agents)

        assert [_bare(answer) for answer in answers] == agents
        assert [a.name for a in await world.master.members.list_agents(world.cluster_id)] == ["a", "b", "c"]

    async def test_registering_an_agent_again_changes_nothing(self, world: World) -> None:
        agent = make_agent(cluster_id=world.cluster_id)
        await world.master.members.register_agents([agent])
        before = await world.master.members.list_agents(world.cluster_id)
        await world.tick()

        await world.master.members.register_agents([agent])

        assert await world.master.members.list_agents(world.cluster_id) == before

    async def test_an_agent_keeps_its_fingerprint_and_shows_it(self, world: World) -> None:
        known = make_agent("Known", world.cluster_id)
        await world.master.members.register_agents([known])
        pointed_elsewhere = evolve(known, fingerprint="another", kind="other")
        new = make_agent("New", world.cluster_id)

        answers = await world.master.members.register_agents([pointed_elsewhere, new])

        expected = [evolve(known, kind="other"), new]
        assert [_bare(answer) for answer in answers] == expected
        assert [_bare(a) for a in await world.master.members.list_agents(world.cluster_id)] == expected

    async def test_only_a_named_agent_is_repointed(self, world: World) -> None:
        first, second = [make_agent(name, world.cluster_id) for name in ("First", "Second")]
        await world.master.members.register_agents([first, second])
        [since, _] = [a.registered_at for a in await world.master.members.list_agents(world.cluster_id)]
        moved = [evolve(first, fingerprint="x"), evolve(second, fingerprint="y")]

        answers = await world.master.members.register_agents(moved, repoint=["First", "Unknown"])

        assert [_bare(answer) for answer in answers] == [moved[0], second]
        stored = await world.master.members.list_agents(world.cluster_id)
        assert [_bare(a) for a in stored] == [moved[0], second]
        assert stored[0].registered_at == since

    async def test_of_concurrent_registrations_one_fingerprint_holds(
        self, world: World, peer: MasterRepository
    ) -> None:
        agents = [make_agent(cluster_id=world.cluster_id, fingerprint=f"f{n}") for n in range(6)]
        seen: list[str] = []

        async def register(master: MasterRepository, agent: AgentRecord) -> None:
            [answer] = await master.members.register_agents([agent])
            seen.append(answer.fingerprint)

        async with anyio.create_task_group() as group:
            for master, agent in zip([world.master, peer] * 3, agents, strict=True):
                group.start_soon(register, master, agent)

        [stored] = await world.master.members.list_agents(world.cluster_id)
        assert set(seen) == {stored.fingerprint}

    async def test_an_agents_heartbeat_is_the_last_of_its_workers(self, world: World) -> None:
        await world.master.members.register_agents([make_agent("Agent-1", world.cluster_id)])
        first = await world.worker(agent="Agent-1")
        await world.tick()
        second = await world.worker(agent="Agent-1")
        await world.worker(agent="Agent-2")
        await world.tick()
        await world.master.workers.heartbeat([first.id], {}, 60)

        [agent] = await world.master.members.list_agents(world.cluster_id)

        beats = [(await world.stored_worker(w.id)).heartbeat_at for w in (first, second)]
        assert agent.heartbeat_at == beats[0] == max(beat for beat in beats if beat)

    # Hosts

    async def test_a_host_comes_back_as_it_was_registered(self, world: World) -> None:
        host = make_host("höst", world.cluster_id, os="Linux", cpus=8, nested={"a": [1, None, "ä"]})
        worker = await world.worker(host="höst")
        before = await world.master.now()

        await world.master.members.register_host(host)

        [stored] = await world.master.members.list_hosts(world.cluster_id)
        assert _bare(stored) == host
        assert stored.registered_at is not None
        assert before <= stored.registered_at <= await world.master.now()
        assert stored.heartbeat_at == (await world.stored_worker(worker.id)).heartbeat_at

    async def test_what_is_new_about_a_host_is_stored(self, world: World) -> None:
        await world.worker(host="h")
        await world.master.members.register_host(make_host("h", world.cluster_id, version="1"))
        [first] = await world.master.members.list_hosts(world.cluster_id)
        await world.tick()

        await world.master.members.register_host(make_host("h", world.cluster_id, version="2", cpus=2))

        [stored] = await world.master.members.list_hosts(world.cluster_id)
        assert stored == evolve(first, info={"version": "2", "cpus": 2})

    async def test_hosts_with_workers_are_listed_by_name(self, world: World) -> None:
        for name in ("c", "a", "gone", "b"):
            await world.master.members.register_host(make_host(name, world.cluster_id))
        for name in ("a", "b", "c", "b", "unregistered"):
            await world.worker(host=name)

        assert [host.name for host in await world.master.members.list_hosts(world.cluster_id)] == [
            "a",
            "b",
            "c",
        ]

    async def test_a_host_is_left_out_once_its_workers_are_pruned(self, world: World) -> None:
        await world.master.members.register_host(make_host("h", world.cluster_id))
        worker = await world.worker(host="h")
        await world.master.workers.retire(worker.id)
        assert len(await world.master.members.list_hosts(world.cluster_id)) == 1
        await world.tick()

        await world.master.workers.prune(world.cluster_id, 0)

        assert list(await world.master.members.list_hosts(world.cluster_id)) == []

    async def test_clusters_share_no_agents_and_hosts(self, world: World) -> None:
        other = await make_world(world.master)
        mine = make_agent("Same", world.cluster_id, fingerprint="mine")
        theirs = make_agent("Same", other.cluster_id, fingerprint="theirs")
        await world.master.members.register_agents([mine, theirs])
        await world.master.members.register_host(make_host("same", world.cluster_id, whose="mine"))
        await world.worker(host="same")
        await other.worker(host="same", agent="Same")

        assert [_bare(a) for a in await world.master.members.list_agents(world.cluster_id)] == [mine]
        assert [a.heartbeat_at for a in await world.master.members.list_agents(world.cluster_id)] == [None]
        assert [_bare(a) for a in await world.master.members.list_agents(other.cluster_id)] == [theirs]
        assert list(await world.master.members.list_hosts(other.cluster_id)) == []
        [host] = await world.master.members.list_hosts(world.cluster_id)
        assert host.info == {"whose": "mine"}


def _bare(stored: R) -> R:
    """Return the registered values, without those that the store adds."""
    return evolve(stored, registered_at=None, heartbeat_at=None)
