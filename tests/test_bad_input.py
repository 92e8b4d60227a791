"""What a user sees when something is wrong: an error at the earliest point, with its remedy.

Each case names what is wrong (setting, job, handler) and says what to do; the messages are part of the product.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobmaster import (
    Cluster,
    ConfigurationError,
    JobContext,
    Priority,
    SchemaError,
    StaticSchedule,
    StoreUnavailableError,
    UnknownSchemeError,
    handler,
    hookimpl,
)
from jobmaster.errors import StoreUnreachableError
from jobmaster_sql import load_migrations
from tests.refusals import refused, run


@handler("Unused")
async def unused(_: JobContext) -> None: ...


def cluster(url: str = "memory://", **options: Any) -> Cluster:
    return Cluster.standalone("Local-1", url, **options).add_handlers(unused)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"default_timeout": 3}, "there is no setting 'default_timeout'; did you mean"),
        ({"xyzzy": 3}, "there is no setting 'xyzzy' (available: auto_migrate, beat, default_job_timeout, "),
        (
            {"default_job_timeout": 0},
            "default_job_timeout: 0 s is out of range; it must be from 0.001 s to 100 years",
        ),
        (
            {"default_job_timeout": "1m"},
            "default_job_timeout: '1m' is not a duration; give seconds as a number",
        ),
        ({"default_max_retries": -1}, "default_max_retries: -1 is out of range; it must be a whole number"),
        ({"default_max_retries": 1.5}, "default_max_retries: 1.5 is out of range; it must be a whole number"),
        ({"retry": 5}, "retry: 5 does not fit; give a RetryPolicy, e.g. RetryPolicy(default="),
        (
            {"transient_threshold": 5},
            "transient_threshold: 5 s is out of range; it must be from 10 s to 1 day",
        ),
        (
            {"time_zone": "Mars/Base"},
            "time_zone: 'Mars/Base' is not a known time zone; use an IANA name such",
        ),
        ({"time_zone": 2}, "time_zone: 2 is not a known time zone; use an IANA name such as 'Europe/Paris'"),
        ({"max_message_bytes": 1}, "max_message_bytes: 1 is out of range; it must be a whole number from"),
        (
            {"retention": timedelta(days=-1)},
            "retention: -1 day is out of range; it must be from 0 s to 100 years",
        ),
        ({"heartbeat": 0}, "heartbeat: 0 s is out of range; it must be from 0.01 s to 1 h"),
        (
            {"heartbeat": math.nan},
            "heartbeat: nan is not a duration; give seconds as a number, or a timedelta",
        ),
        ({"lease": math.inf}, "lease: inf s is out of range; it must be from 0.05 s to 1 day"),
        ({"lease": True}, "lease: True is not a duration; give seconds as a number, or a timedelta"),
        ({"lease": 9, "heartbeat": 5}, "lease: 9 s leaves no room for a late heartbeat; make it at least"),
        ({"stop_grace": -1}, "stop_grace: -1 s is out of range; it must be from 0 s to 1 day"),
        ({"beat": 0}, "beat: 0 s is out of range; it must be from 0.01 s to 1 h"),
        ({"poll_interval": 0}, "poll_interval: 0 s is out of range; it must be from 0.01 s to 1 h"),
        ({"store_timeout": 0}, "store_timeout: 0 s is out of range; it must be from 0.1 s to 10 min"),
        ({"table_prefix": "Bad-"}, "table_prefix: 'Bad-' cannot start table names; use lower-case letters"),
        ({"auto_migrate": "no"}, "auto_migrate: 'no' does not fit; give True or False"),
        ({"store_options": 5}, "store_options: 5 does not fit; give a mapping"),
    ],
)
def test_settings_of_a_cluster(settings: dict[str, Any], message: str) -> None:
    made = cluster()
    before = made.settings
    with refused(ConfigurationError, message):
        made.configure(**settings)
    assert made.settings is before


CONFIGURING: Mapping[str, Callable[[Cluster], object]] = {
    "configure": lambda made: made.configure(lease=60),
    "add_agent": lambda made: made.add_agent("A", "memory://"),
    "add_worker": lambda made: made.add_worker(),
    "move_to": lambda made: made.move_to("memory://elsewhere"),
    "archive_to": lambda made: made.archive_to("memory://elsewhere"),
    "add_handlers": lambda made: made.add_handlers(unused),
    "add_schedules": lambda made: made.add_schedules(StaticSchedule("S", unused, "daily")),
    "use": lambda made: made.use(object()),
    "build_handlers_with": lambda made: made.build_handlers_with(lambda _: None),
    "debug_jsonl": lambda made: made.debug_jsonl("nowhere"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("method", CONFIGURING)
async def test_a_cluster_that_runs_is_not_configured(method: str) -> None:
    made = cluster()
    said = "use" if method == "build_handlers_with" else method
    async with made.running():
        with refused(ConfigurationError, f"cluster 'Local-1' is running, and {said}() would change nothing"):
            CONFIGURING[method](made)
    CONFIGURING[method](made)


@pytest.mark.anyio
async def test_a_cluster_that_runs_twice_is_configured_after_both() -> None:
    made = cluster()
    async with made.running():
        async with made.running():
            pass
        with refused(ConfigurationError, "is running, and configure() would change nothing of it"):
            made.configure(lease=60)
    made.configure(lease=60)


def test_an_unknown_setting_names_its_cluster() -> None:
    with refused(ConfigurationError, "cluster 'Local-1': there is no setting 'leese'; did you mean 'lease'?"):
        cluster().configure(leese=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lanes": "x"}, "worker 1: there is no setting 'lanes'; did you mean 'lane'?"),
        (
            {"name": "a b"},
            "worker name: 'a b' is not a valid name; use letters, digits and - _ . : between them, at most 253",
        ),
        ({"lane": "a/b"}, "lane: 'a/b' is not a valid name; use letters, digits and single - _ . :"),
        (
            {"mode": "lazy"},
            "mode: 'lazy' is not a worker mode; use one of full, coordinator, execution, drain",
        ),
        ({"batch_size": 0}, "batch_size: 0 is out of range; it must be a whole number from 1 to 100000"),
        ({"parallelism": 0}, "parallelism: 0 is out of range; it must be a positive number up to 1000"),
        ({"parallelism": "2"}, "parallelism: '2' is out of range; it must be a positive number"),
        ({"buckets": dict.fromkeys(Priority, 0)}, "buckets: every priority is set to 0, so this worker"),
        ({"buckets": {Priority.LOW: -1}}, "buckets: -1 buckets of LOW; give a whole number from 0 to 100"),
        ({"buckets": {"lwo": 1}}, "buckets: 'lwo' is not a Priority; use Priority.MEDIUM, for example"),
        ({"buckets": [1]}, "buckets: [1] is not a mapping; write e.g. buckets={Priority.HIGH: 2}"),
    ],
)
def test_settings_of_a_worker(settings: dict[str, Any], message: str) -> None:
    made = cluster()
    with refused(ConfigurationError, message):
        made.add_worker(**settings)
    assert made.workers == []


def test_a_setting_that_is_given_to_the_constructor() -> None:
    with refused(
        ConfigurationError, "cluster 'Local-1': there is no setting 'lease' (available: clock, mode)"
    ):
        cluster(lease=60)


def test_priorities_of_buckets_are_given_once() -> None:
    with refused(ConfigurationError, "names a priority twice; give each one count"):
        cluster().add_worker(buckets={"high": 1, Priority.HIGH: 2})


def test_two_workers_of_one_name() -> None:
    with refused(ConfigurationError, "worker 'Payroll-01' is added twice; names are unique in a cluster"):
        cluster().add_worker(name="Payroll-01").add_worker(name="Payroll-01")


@pytest.mark.parametrize(("count", "said"), [(1, "1 migration (0001)"), (2, "2 migrations (0001, 0002)")])
def test_what_a_schema_lacks_is_counted(count: int, said: str) -> None:
    error = SchemaError.behind("the schema", ["0001", "0002"][:count], "run `jobmaster migrate`")
    assert str(error) == f"the schema lacks {said}; run `jobmaster migrate`"


@pytest.mark.parametrize("config", [5, None, ["cluster"]])
def test_a_configuration_that_is_none(config: Any) -> None:
    message = f"{config!r} is not a configuration; give a mapping, or the path of a .toml or .json file"
    with refused(ConfigurationError, message):
        Cluster.from_config(config)


@pytest.mark.parametrize("name", ["my cluster", "", "a--b", "-a", "ä", "a" * 254, 5, None])
def test_names_of_clusters(name: Any) -> None:
    with refused(
        ConfigurationError, f"cluster id: {name!r} is not a valid name; use letters, digits and single"
    ):
        Cluster(name, "memory://")


def test_mode_of_a_cluster() -> None:
    with refused(
        ConfigurationError, "mode: 'sleepy' is not a cluster mode; use one of active, passive, archived"
    ):
        Cluster("Local-1", "memory://", mode="sleepy")  # type: ignore[arg-type]


# Databases


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/db", "no installed provider serves mysql:// URLs; JobMaster has no provider for it"),
        ("mysql+pymysql://host/db", "JobMaster has no provider for it; use PostgreSQL (jobmaster-postgres)"),
        ("postgresql+psycopg://host/db", "write it as postgresql:// (with jobmaster-postgres"),
        ("redis://host", "JobMaster has no provider for it; use PostgreSQL (jobmaster-postgres) or SQLite"),
        ("wurst://host", "no installed provider serves wurst:// URLs; check the URL's spelling"),
        ("sqllite:///jobs.db", "no installed provider serves sqllite:// URLs; did you mean sqlite://?"),
    ],
)
async def test_a_scheme_that_nobody_serves(url: str, message: str) -> None:
    with refused(UnknownSchemeError, "master: ", message, "memory://"):
        await run(cluster(url))


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["jobs.db", "", None, Path("jobs.db")])
async def test_what_is_no_url(url: Any) -> None:
    with refused(
        ConfigurationError, "master: ", "is not a URL", "; write it as scheme://…, for example sqlite:///"
    ):
        await run(cluster(url))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://jobs.db", "sqlite has no host, so three slashes come first: write sqlite:///jobs.db"),
        ("sqlite:///:memory:", "a database in memory is not shared between connections; use memory://"),
        ("sqlite:///jobs.db?sync=off", "unknown option; there are synchronous=full|normal and file_mode"),
        ("postgresql://host/db?connections=0", "connections: use a number from 1 to 100"),
    ],
)
async def test_a_url_of_a_known_scheme_that_is_wrong(url: str, message: str) -> None:
    with refused(ConfigurationError, message):
        await run(cluster(url))


@pytest.mark.anyio
async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    with refused(ConfigurationError, f"the folder {folder} does not exist; create it"):
        await run(cluster(f"sqlite:///{folder}/jobs.db"))


@pytest.mark.anyio
async def test_a_database_that_cannot_be_reached() -> None:
    with closed_port() as port:
        url = f"postgresql://ann:secret@127.0.0.1:{port}/jobs"
        with refused(StoreUnreachableError, f"PostgreSQL at 127.0.0.1:{port}/jobs"):
            await run(cluster(url).configure(store_timeout=5))


@pytest.mark.anyio
async def test_messages_do_not_show_passwords() -> None:
    with closed_port() as port, pytest.raises(StoreUnavailableError) as caught:
        await run(cluster(f"postgresql://ann:secret@127.0.0.1:{port}/jobs"))
    assert "secret" not in "".join(_all_texts(caught.value))


def _all_texts(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__


@contextmanager
def closed_port() -> Iterator[int]:
    """Within the block, a port of this machine is taken, and nobody listens on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.anyio
async def test_a_schema_that_is_missing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    names = [migration.name for migration in load_migrations("jobmaster_sqlite")]
    assert len(names) > 1
    message = f"lacks {len(names)} migrations ({', '.join(names)}); run `jobmaster migrate`, or set auto_migrate=True"
    with refused(SchemaError, f"the schema of {url}", message):
        await run(cluster(url).configure(auto_migrate=False))
    await run(cluster(url))
    await run(cluster(url).configure(auto_migrate=False))


# Plug-ins


class Misspelt:
    @hookimpl
    def jobmaster_observe(self) -> None: ...


class WrongParameters:
    @hookimpl
    def jobmaster_master(self, uri: str) -> None: ...


class SecondMemory:
    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"memory": "a better one"}


class Raising:
    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        raise RuntimeError("no licence")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("plugin", "parts"),
    [
        (Misspelt(), ["unknown hook 'jobmaster_observe'", "Misspelt", "upgrade or uninstall it"]),
        (WrongParameters(), ["WrongParameters", "cannot be used", "{'uri'} are declared in the hookimpl"]),
        (SecondMemory(), ["two plug-ins serve memory:// URLs", "SecondMemory", "'jobmaster.memory';"]),
        (Raising(), ["Raising", "cannot say which URLs it serves: no licence; upgrade or uninstall it"]),
    ],
)
async def test_plug_ins_that_are_broken(plugin: object, parts: list[str]) -> None:
    with refused(ConfigurationError, *parts):
        await run(cluster().use(plugin))
