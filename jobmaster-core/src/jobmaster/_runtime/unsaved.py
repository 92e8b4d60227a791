"""Jobs on the agents that the master does not know yet."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobmaster.errors import StoreError

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment

log = logging.getLogger("jobmaster.jobs")


async def unsaved_by_lane(env: Environment) -> Mapping[str, int]:
    """Return the number of save-pending jobs by lane; agents that cannot be asked now are left out."""
    lanes = {bucket.id: bucket.lane for bucket in await env.master.buckets.list_all(env.cluster_id)}
    found: Counter[str] = Counter()
    for link in env.agents.links.values():
        if link.joined:
            try:
                backlogs = await link.repository.buckets.backlog(env.cluster_id)
            except StoreError as error:
                log.debug("agent %s could not be asked for its waiting messages: %s", link.name, error)
                continue
            for bucket_id, backlog in backlogs.items():
                if bucket_id in lanes and backlog.save_pending:
                    found[lanes[bucket_id]] += backlog.save_pending
    return found
