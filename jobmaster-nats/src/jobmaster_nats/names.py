"""The names of streams and subjects.

One stream holds everything of an agent. Each message has a subject of its own, of bucket, job and attempt, and a stream
keeps one message for each subject: so the server itself knows whether a message is already there.
"""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from attrs import frozen

Key: TypeAlias = tuple[UUID, int]
"""Job and attempt: with the bucket, they identify a message."""


@frozen
class Names:
    """The names in the stream of one agent."""

    stream: str

    @property
    def everything(self) -> str:
        """The subjects that the stream keeps."""
        return f"{self.stream}.>"

    @property
    def messages(self) -> str:
        """The subjects of all messages."""
        return f"{self.stream}.m.>"

    @property
    def parts(self) -> str:
        """The subjects of the parts of large messages."""
        return f"{self.stream}.p.>"

    @property
    def fingerprint(self) -> str:
        """Where the store's identity lies."""
        return f"{self.stream}.f"

    @property
    def clock(self) -> str:
        """Where a message is stored to learn the server's time."""
        return f"{self.stream}.c"

    @property
    def notifications(self) -> str:
        """Where processes notify one another: outside the stream, which would keep them."""
        return f"{self.stream}-news"

    def bucket(self, bucket_id: UUID) -> str:
        """Where the epoch and the bound of a bucket lie."""
        return f"{self.stream}.b.{bucket_id.hex}"

    def messages_in(self, bucket_id: UUID) -> str:
        """The subjects of the messages in a bucket."""
        return f"{self.stream}.m.{bucket_id.hex}.>"

    def messages_of(self, job_id: UUID) -> str:
        """The subjects of a job's messages, in any bucket."""
        return f"{self.stream}.m.*.{job_id.hex}.*"

    def message(self, bucket_id: UUID, key: Key) -> str:
        """The subject of a message."""
        return f"{self.stream}.m.{bucket_id.hex}.{key[0].hex}.{key[1]}"

    def parts_of(self, message: str, token: str) -> str:
        """The subject that the parts of a large message have in common; `message` is its own subject."""
        return f"{self.stream}.p.{message.removeprefix(f'{self.stream}.m.')}.{token}"


def place_of(subject: str) -> tuple[UUID, Key]:
    """Return bucket, job and attempt of a message's subject."""
    *_, bucket, job, attempt = subject.split(".")
    return UUID(bucket), (UUID(job), int(attempt))


def bucket_of(subject: str) -> UUID:
    """Return the bucket of a message's subject."""
    return UUID(subject.rsplit(".", 3)[1])
