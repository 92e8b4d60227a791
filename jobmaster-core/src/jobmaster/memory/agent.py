"""An agent in memory: the reference implementation of the agent's contract."""

from __future__ import annotations

from datetime import datetime

import anyio.lowlevel

from jobmaster.clock import Clock, SystemClock
from jobmaster.contracts import AgentRepository, Capabilities
from jobmaster.memory.agent_buckets import MemoryAgentBuckets
from jobmaster.memory.agent_mail import AgentMail
from jobmaster.memory.asides import MemoryAsides
from jobmaster.memory.capabilities import IN_MEMORY
from jobmaster.memory.mailbox import Mailbox, mailboxes
from jobmaster.memory.message_claims import MemoryMessageClaims
from jobmaster.memory.messages import MemoryMessages
from jobmaster.memory.notifications import MemoryNotifications


class MemoryAgent(AgentRepository):
    """An agent whose messages are Python objects, in its `mail`."""

    def __init__(self, name: str, store: str = "", clock: Clock | None = None) -> None:
        """Share the messages of the named store; without a name, start with none."""
        box = mailboxes.setdefault(store, Mailbox()) if store else Mailbox()
        mail = self.mail = AgentMail(name, box, clock or SystemClock())
        super().__init__(
            name=name,
            messages=MemoryMessages(mail),
            claims=MemoryMessageClaims(mail),
            asides=MemoryAsides(mail),
            buckets=MemoryAgentBuckets(mail),
            notifications=MemoryNotifications(box.notifications),
        )

    @property
    def capabilities(self) -> Capabilities:
        """Those of every store in memory."""
        return IN_MEMORY

    async def open(self, *, create: bool = True) -> None:  # noqa: ARG002 - it lives as long as the process
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def now(self) -> datetime:
        return self.mail.now()

    async def fingerprint(self) -> str:
        await anyio.lowlevel.checkpoint()
        return self.mail.box.fingerprint
