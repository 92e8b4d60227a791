"""Looking into the agents of a cluster, past everything that runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from jobmaster_testing.options import open_agent


async def holdings(agents: Mapping[str, str]) -> Counter[tuple[str, UUID]]:
    """Return the number of messages by agent's name and bucket id, for every bucket that holds any."""
    found: Counter[tuple[str, UUID]] = Counter()
    for name, url in agents.items():
        async with open_agent(name, url) as agent:
            held = await agent.buckets.holdings()
        found.update({(name, bucket_id): count for bucket_id, count in held.items()})
    return found
