"""The topics of notifications. A topic is a short string that every provider can carry in one message."""

from __future__ import annotations

from uuid import UUID


class Topics:
    """Names of the topics of one cluster, and how to read them."""

    ANY = "*"
    """Something changed, and the provider cannot say what: every listener checks."""

    @staticmethod
    def bucket(bucket_id: UUID) -> str:
        """New jobs in a bucket: its owner pulls."""
        return f"b:{bucket_id.hex}"

    @staticmethod
    def control(bucket_id: UUID) -> str:
        """A request (cancel) about a job in a bucket: its owner looks at its requests."""
        return f"r:{bucket_id.hex}"

    @staticmethod
    def held(cluster_id: str) -> str:
        """Jobs were held on the master: coordinators look at what is due next."""
        return f"h:{cluster_id}"

    @staticmethod
    def parked(cluster_id: str) -> str:
        """Jobs were parked: workers that know their handlers adopt them."""
        return f"p:{cluster_id}"

    @staticmethod
    def buckets(cluster_id: str) -> str:
        """Buckets came or went, or their owners are silent: producers and coordinators refresh their list."""
        return f"l:{cluster_id}"

    @staticmethod
    def free(cluster_id: str) -> str:
        """A worker has free slots: owners give back waiting jobs, and coordinators take care of the rest."""
        return f"f:{cluster_id}"

    @staticmethod
    def is_bucket(topic: str) -> bool:
        """Return whether a topic is about new jobs in some bucket."""
        return topic.startswith("b:")

    @staticmethod
    def schedules(cluster_id: str) -> str:
        """Recurring schedules were added or changed: coordinators check what has to be planned."""
        return f"s:{cluster_id}"

    @staticmethod
    def cluster(cluster_id: str) -> str:
        """The cluster's mode, settings or paused lanes changed: every process reads them again."""
        return f"c:{cluster_id}"

    @staticmethod
    def worker(worker_id: UUID) -> str:
        """A request to a worker (stop, drain): its process looks at it."""
        return f"w:{worker_id.hex}"
