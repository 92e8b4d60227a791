"""The optional abilities of a provider. They are declared, never guessed."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Capabilities:
    """The optional abilities of a repository. The contract suite skips only what is declared absent.

    Args:
        notifications: `listen` reports announcements of other processes within milliseconds. Without it only
            announcements of the same process arrive, and the runtime polls for the rest.
        durable: accepted jobs survive the end of the process (not so with the memory provider).
        shared: other processes that open the same URL see the same data.
        migrations: the store has a schema with numbered migrations.
        transactional_enqueue: jobs can be inserted in the user's own transaction.
        ordered: a bucket hands out its jobs by due time, then by id.
        addressable: an agent can find, note and withdraw single messages by their job's id.
        inline: the rows of the master are the agent's buckets, so that nothing is copied. Only the agent of a standalone
            cluster, which the runtime itself makes over any master.

    """

    notifications: bool = False
    durable: bool = True
    shared: bool = True
    migrations: bool = False
    transactional_enqueue: bool = False
    ordered: bool = True
    addressable: bool = True
    inline: bool = False
