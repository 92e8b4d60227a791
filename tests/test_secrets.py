"""No part of what may be a secret is shown: whatever the slip in a URL, and wherever the URL was handed over."""

from __future__ import annotations

import inspect
import json
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import anyio
import pytest
import typer
from attrs import has
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from typer.testing import CliRunner

import jobmaster._time.relative
import jobmaster.cluster
import jobmaster.config.targets
import jobmaster.plugins
import jobmaster.urls
import jobmaster_postgres
import jobmaster_sqlite
from jobmaster import Cluster, ConfigurationError, hookimpl
from jobmaster._setup.fileconfig import build_cluster
from jobmaster._time.relative import urls_beside
from jobmaster.cli import build_app
from jobmaster.cli.demo.view import show_where
from jobmaster.config import AgentSettings, Settings
from jobmaster.config.targets import ArchiveTarget, MoveTarget
from jobmaster.errors import StoreUnreachableError
from jobmaster.hookspecs import StoreOptions
from jobmaster.plugins import Plugins
from jobmaster.urls import shown, split
from jobmaster_testing.options import Options
from jobmaster_testing.servers import postgres_url

# What is typed wrong

NOWHERE = "127.0.0.1:1/x"
SLIPS: Mapping[str, str] = {
    "none": f"postgresql://u:{{0}}@{NOWHERE}",
    "the user is the password": f"postgresql://{{0}}@{NOWHERE}",
    "user and password swapped": f"postgresql://{{0}}:u@{NOWHERE}",
    "no user": f"postgresql://:{{0}}@{NOWHERE}",
    "a slash": f"postgresql://u:{{0}}/y@{NOWHERE}",
    "a slash first": f"postgresql://u:/{{0}}@{NOWHERE}",
    "a slash for the colon": f"postgresql://u/{{0}}@{NOWHERE}",
    "an at sign": f"postgresql://u:x@{{0}}@{NOWHERE}",
    "an at sign last": f"postgresql://u:{{0}}@@{NOWHERE}",
    "a question mark": f"postgresql://u:x?{{0}}@{NOWHERE}",
    "an option of ours": f"postgresql://u:x?connections={{0}}@{NOWHERE}",
    "a schema of ours": f"postgresql://u:x?schema={{0}}@{NOWHERE}",
    "a hash": f"postgresql://u:x#{{0}}@{NOWHERE}",
    "a broken % code": f"postgresql://u:{{0}}%zz@{NOWHERE}",  # pragma: allowlist secret
    "an ampersand": "postgresql://127.0.0.1:1/x?user=u&password=x&{0}",
    "one slash": f"postgresql:/u:{{0}}@{NOWHERE}",
    "no slash": f"postgresql:u:{{0}}@{NOWHERE}",
    "no scheme": f"u:{{0}}@{NOWHERE}",
    "two slashes": f"//u:{{0}}@{NOWHERE}",
    "a DSN": "host=127.0.0.1 port=1 user=u password={0}",
    "a DSN as a URL": "postgresql://host=127.0.0.1 port=1 user=u password={0}",
    "a JDBC URL": "jdbc:postgresql://127.0.0.1:1/x?user=u&password={0}",
    "a space first": f" postgresql://u:{{0}}@{NOWHERE}",
    "a line break last": f"postgresql://u:{{0}}@{NOWHERE}\n",
    "quotes": f'"postgresql://u:{{0}}@{NOWHERE}"',
    "a port that is none": "postgresql://u:{0}@127.0.0.1:port/x",
    "two ports": "postgresql://u:{0}@127.0.0.1:1:2/x",
    "half a bracket": "postgresql://u:{0}@[::1/x",
    "no host": "postgresql:///u:{0}@x",
    "no host at all": "postgresql://u:{0}",
    "in the path": f"postgresql://{NOWHERE}/{{0}}",
    "in the database": "postgresql://127.0.0.1:1/u:{0}@x",
    "in the fragment": f"postgresql://{NOWHERE}#{{0}}",
    "password=": f"postgresql://{NOWHERE}?user=u&password={{0}}",
    "sslpassword=": f"postgresql://u@{NOWHERE}?sslpassword={{0}}&sslkey=/{{0}}",
    "an option behind an ampersand": f"postgresql://{NOWHERE}&password={{0}}",
    "passfile=": f"postgresql://u@{NOWHERE}?passfile=/tmp/{{0}}",
    "pasword=": f"postgresql://u@{NOWHERE}?pasword={{0}}",
    "sslmode=": f"postgresql://u@{NOWHERE}?sslmode={{0}}",
    "connect_timeout=": f"postgresql://u@{NOWHERE}?connect_timeout={{0}}",
    "options=": f"postgresql://u@{NOWHERE}?options=-c%20search_path%3D{{0}}",
    "connections=": f"postgresql://u@{NOWHERE}?connections={{0}}",
    "pgbouncer=": f"postgresql://u@{NOWHERE}?pgbouncer={{0}}",
    "sqlite with a host": f"sqlite://u:{{0}}@{NOWHERE}",
    "sqlite with a user": f"sqlite:///u:{{0}}@{NOWHERE}",
    "sqlite with a user alone": f"sqlite:///{{0}}@{NOWHERE}",
    "sqlite with an option": "sqlite:///a.db?key={0}",
    "sqlite with a word": "sqlite:///a.db?{0}",
    "sqlite's synchronous": "sqlite:///a.db?synchronous={0}",
    "a driver in the scheme": f"postgresql+psycopg://u:{{0}}@{NOWHERE}",
    "another database": f"mysql://u:{{0}}@{NOWHERE}",
    "a slip in the scheme": f"postgressql://u:{{0}}@{NOWHERE}",
    "an unknown scheme": f"nosuch://u:{{0}}@{NOWHERE}",
    "the scheme is the secret": "{0}://u@127.0.0.1:1/x",
    "a third-party provider": f"naive://u:{{0}}@{NOWHERE}?key={{0}}",
}

SECRET = "s3cr3tPW"
FIXED = (SECRET, "Zq/Xk@jW?z#K", "jq:\\'\"k%x&z Q", "Ωψ℀é=ж;[x]W")
"""A plain one, and some with what tears URLs apart."""


# Where it is handed over


class Naive:
    """A provider as anyone may write it, which parses its URL with the standard library and says what it thinks of it."""

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"naive": "nothing"}

    @hookimpl
    def jobmaster_master(self, url: str, options: StoreOptions) -> None:
        if url.startswith("naive://"):
            raise ValueError(url, options.options)

    @hookimpl
    def jobmaster_agent(self, url: str) -> None:
        if url.startswith("naive://"):
            raise ConfigurationError("unusable: " + repr(url.split("?")))


def memory() -> Cluster:
    return Cluster("Secrets-1", "memory://").use(Naive())


def of(url: Any) -> Cluster:
    return Cluster("Secrets-1", url).use(Naive())


def file_of(values: Mapping[str, Any], kind: str = "json", text: str | None = None) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        path = folder / f"cluster.{kind}"
        path.write_text(json.dumps(values) if text is None else text, encoding="utf-8")
        return Cluster.from_config(path).agents

    return read


def configured(environ: Mapping[str, str], **values: Any) -> Any:
    given_ = {"cluster": "Secrets-1", "master": "memory://", **values}
    made = build_cluster(Cluster, given_, environ)
    return made.master_url, made.settings, made.agents, made.move_target, made.archive_target


def command(*arguments: str, **environment: str) -> Callable[[], str]:
    def run() -> str:
        done = CliRunner().invoke(build_app(), arguments, env={"JOBMASTER_CLUSTER": None, **environment})
        return done.stdout + done.stderr

    return run


Entry = Callable[[str], Any]
ENTRIES: Mapping[str, Entry] = {
    "Cluster(master)": lambda url: vars(of(url)),
    "Cluster.open_master": lambda url: of(url).open_master(),
    "Cluster.standalone": lambda url: Cluster.standalone("Secrets-1", url).open_master(),
    "Cluster.environment": lambda url: of(url).environment(serving=False),
    "Cluster.add_agent": lambda url: memory().add_agent("a", url).agents,
    "Cluster.open_agents": lambda url: memory().add_agent("a", url).open_agents(),
    "Cluster.move_to": lambda url: memory().move_to(url).move_target,
    "Cluster.archive_to": lambda url: memory().archive_to(url).archive_target,
    "Cluster.target": lambda url: memory().target(url),
    "Cluster, a list": lambda url: of([url]).open_master(),
    "Cluster, bytes": lambda url: of(url.encode()).open_master(),
    "AgentSettings": lambda url: AgentSettings(name="a", url=url, store_options={"password": url}),
    "AgentSettings, a list": lambda url: AgentSettings(name="a", url=[url]),
    "MoveTarget": lambda url: MoveTarget(url=url),
    "ArchiveTarget": lambda url: ArchiveTarget(url=url),
    "MoveTarget, a mapping": lambda url: MoveTarget(url={"url": url}),
    "Settings.store_options": lambda url: Settings(store_options={"password": url}),
    "Settings.store_options, a text": lambda url: Settings(store_options=url),  # type: ignore[arg-type]
    "Plugins.master": lambda url: Plugins([Naive()]).master(url, Options()),
    "Plugins.agent": lambda url: Plugins([Naive()]).agent("a", url, Options()),
    "Plugins.master, options": lambda url: Plugins([Naive()]).master(
        "naive://x", Options(options={"a": [{"password": url.partition("://")[2] or url}]})
    ),
    "PostgresMaster": lambda url: jobmaster_postgres.PostgresMaster(url, Options()),
    "PostgresAgent": lambda url: jobmaster_postgres.PostgresAgent("a", url, Options()),
    "SqliteMaster": lambda url: jobmaster_sqlite.SqliteMaster(url, Options()),
    "SqliteAgent": lambda url: jobmaster_sqlite.SqliteAgent("a", url, Options()),
    "jobmaster.urls.shown": shown,
    "jobmaster.urls.split": split,
    "jobmaster._time.relative.urls_beside": lambda url: (
        urls_beside({"master": url, "agents": [{"url": url}]}, Path("/srv")) and None
    ),
    # The wrong argument, the wrong setting
    "swapped: Cluster": lambda url: Cluster(url, "Secrets-1"),
    "swapped: standalone": lambda url: Cluster.standalone(url, "Secrets-1", option=1),  # type: ignore[call-arg]
    "swapped: add_agent": lambda url: memory().add_agent(url, "a"),
    "swapped: move_to": lambda url: memory().move_to("memory://x", url),
    "swapped: archive_to": lambda url: memory().archive_to("memory://x", url),
    "swapped: mode": lambda url: Cluster("Secrets-1", "memory://", mode=url),  # type: ignore[arg-type]
    "swapped: add_worker": lambda url: memory().add_worker(agent=url),
    "swapped: a worker's name": lambda url: memory().add_worker(name=url),
    "swapped: a worker's mode": lambda url: memory().add_worker(mode=url),  # type: ignore[arg-type]
    "swapped: a worker's buckets": lambda url: memory().add_worker(buckets=[url]),  # type: ignore[arg-type]
    "swapped: use": lambda url: memory().use(url).open_master(),
    "swapped: add_handlers": lambda url: memory().add_handlers(url).environment(serving=True),  # type: ignore[arg-type]
    "swapped: add_schedules": lambda url: memory().add_schedules(url),  # type: ignore[arg-type]
    "swapped: from_config": Cluster.from_config,
    "swapped: a setting's name": lambda url: memory().configure(**{url: 1}),  # type: ignore[arg-type]
    **{
        f"swapped: {name}": lambda url, name=name: memory().configure(**{name: url})  # type: ignore[misc]
        for name in Settings.__annotations__
    },
    # Configurations
    "configuration: master": lambda url: configured({}, master=url),
    "configuration: master, a list": lambda url: configured({}, master=[url]),
    "configuration: cluster": lambda url: configured({}, cluster=url),
    "configuration: agents": lambda url: configured({}, agents=[{"name": "a", "url": url}]),
    "configuration: agents, a mapping": lambda url: configured({}, agents={"a": url}),
    "configuration: agents, a URL": lambda url: configured({}, agents=url),
    "configuration: agents, URLs": lambda url: configured({}, agents=[url]),
    "configuration: agents, nested": lambda url: configured(
        {}, agents=[{"name": "a", "url": {"url": [url]}}]
    ),
    "configuration: workers": lambda url: configured({}, workers=[{"agent": url}]),
    "configuration: workers, URLs": lambda url: configured({}, workers=[url]),
    "configuration: settings": lambda url: configured({}, settings=url),
    "configuration: settings, nested": lambda url: configured({}, settings={"lease": {"a": [url]}}),
    "configuration: store_options": lambda url: configured({}, settings={"store_options": {"a": url}}),
    "configuration: store_options, a list": lambda url: configured({}, settings={"store_options": [url]}),
    "configuration: move_to": lambda url: configured({}, move_to={"url": url}),
    "configuration: move_to, a URL": lambda url: configured({}, move_to=url),
    "configuration: archive_to": lambda url: configured({}, archive_to={"url": url}),
    "configuration: archive_to, a URL": lambda url: configured({}, archive_to=url),
    "configuration: imports": lambda url: configured({}, imports=[url]),
    "configuration: a key": lambda url: configured({}, **{url: "master"}),
    "environment: JOBMASTER_MASTER": lambda url: configured({"JOBMASTER_MASTER": url}),
    "environment: JOBMASTER_CLUSTER": lambda url: configured({"JOBMASTER_CLUSTER": url}),
    **{
        f"environment: {variable}": lambda url, variable=variable: configured({variable: url})  # type: ignore[misc]
        for variable in (
            "JOBMASTER_LEASE",
            "JOBMASTER_STORE_OPTIONS",
            "JOBMASTER_MAX_MESSAGE_BYTES",
            "JOBMASTER_MASTR",
        )
    },
}
FILES: Mapping[str, Callable[[str], Callable[[Path], Any]]] = {
    "JSON": lambda url: file_of(
        {"cluster": "Secrets-1", "master": url, "agents": [{"name": "a", "url": url}]}
    ),
    "JSON, broken": lambda url: file_of(
        {}, text=f'{{"cluster": "Secrets-1", "master": "{url}" "agents": []}}'
    ),
    "TOML": lambda url: file_of({}, "toml", f'cluster = "Secrets-1"\nmaster = {json.dumps(url)}\n'),
    "TOML, no quotes": lambda url: file_of({}, "toml", f"cluster = 'Secrets-1'\nmaster = {url}\n"),
    "TOML, a key": lambda url: file_of(
        {}, "toml", f'cluster = "Secrets-1"\n"{url}" = "master"\n"{url}" = 1\n'
    ),
}
COMMANDS: Mapping[str, Callable[[str], Callable[[], str]]] = {
    "--master": lambda url: command("status", "--cluster", "Secrets-1", "--master", url),
    "--debug": lambda url: command("--debug", "status", "--cluster", "Secrets-1", "--master", url),
    "--master=": lambda url: command(
        "workers", "list", "--json", "--cluster", "Secrets-1", f"--master={url}"
    ),
    "JOBMASTER_MASTER": lambda url: command(
        "jobs", "list", JOBMASTER_CLUSTER="Secrets-1", JOBMASTER_MASTER=url
    ),
    "JOBMASTER_APP": lambda url: command("status", JOBMASTER_APP=url),
    "JOBMASTER_CONFIG": lambda url: command("status", JOBMASTER_CONFIG=url),
    "move --to": lambda url: command("move", "--cluster", "Secrets-1", "--master", "memory://", "--to", url),
    "demo --url": lambda url: command("demo", "--keep", "--jobs", "1", "--url", url),
    "an argument": lambda url: command("status", url),
    "a command": command,
    "an app": lambda url: command("worker", url),
    "--app": lambda url: command("status", "--app", url),
    "--config": lambda url: command("status", "--config", url),
    "--cluster": lambda url: command("status", "--cluster", url, "--master", "memory://"),
    "an option that there is not": lambda url: command("status", f"--mastr={url}"),
    "an option of the wrong kind": lambda url: command("move", "--mode", url),
    "a setting": lambda url: command("cluster", "set", url),
    "a setting's value": lambda url: command("cluster", "set", f"retention={url}"),
    "a job": lambda url: command("jobs", "show", url, "--cluster", "Secrets-1", "--master", "memory://"),
}


# What is seen of it


LETTERS = "qxzjkwQXZJKWΩψжé"
"""Such that no two of them in a row are anywhere in our own words."""


class Seen(logging.Handler):
    """Whatever somebody could see: reprs, errors with all they came from, logs of every level, warnings."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._file = StringIO()

    def emit(self, record: logging.LogRecord) -> None:
        self.see(logging.Formatter("%(message)s %(threadName)s %(name)s").format(record))

    def see(self, text: str) -> None:
        self._file.write(f"{text}\n")

    def see_error(self, error: BaseException | None, known: tuple[int, ...] = ()) -> None:
        if error is None or id(error) in known:
            return
        self.see("".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(vars(error)))
        for other in (error.__cause__, error.__context__):
            self.see_error(other, (*known, id(error)))

    @property
    def text(self) -> str:
        return self._file.getvalue()


@contextmanager
def seeing() -> Iterator[Seen]:
    """Within the block, hear every logger."""
    seen, root, driver = Seen(), logging.getLogger(), logging.getLogger("psycopg")
    levels = root.level, driver.level
    root.addHandler(seen)
    root.setLevel("DEBUG")
    driver.setLevel("DEBUG")
    try:
        with warnings.catch_warnings(record=True) as warned:
            yield seen
        for one in warned:
            seen.see(str(one.message))
    finally:
        root.removeHandler(seen)
        root.setLevel(levels[0])
        driver.setLevel(levels[1])


def seen_of(call: Callable[[], Any]) -> str:
    """Return all that is seen of a call and of what it returns."""
    with seeing() as seen:
        try:
            made = call()
            seen.see(made if isinstance(made, str) else f"{made!r}")
        except Exception as error:  # noqa: BLE001 - what kind it is others test
            seen.see_error(error)
    return seen.text


def parts_of(secret: str) -> Iterator[str]:
    """Yield four characters in a row, as they are, in % codes, and escaped, if they are none of our own words."""
    for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.replace("\\", "\\\\")}:
        for at in range(len(form) - 3):
            part = form[at : at + 4]
            if secret == SECRET or sum(one in LETTERS for one in part) > 1:
                yield part.lower()


def check(text: str, secret: str) -> None:
    """Fail if a text shows a part of a secret."""
    lower = text.lower()
    if found := sorted({part for part in parts_of(secret) if part in lower}):
        at = lower.index(found[0])
        pytest.fail(f"{found} is seen: {text[max(0, at - 300) : at + 100]}", pytrace=False)


@pytest.mark.parametrize("entry", ENTRIES)
def test_nothing_of_a_secret_is_seen_where_a_url_is_given(entry: str) -> None:
    for slip in SLIPS.values():
        url = slip.replace("{0}", SECRET)
        check(seen_of(lambda url=url: ENTRIES[entry](url)), SECRET)  # type: ignore[misc]


TEARING = "/@?#:%& \\'\"=;,[]{}+~$!.-漢℀\uff20\t\n"
secrets = st.text(
    st.one_of(st.sampled_from(LETTERS), st.sampled_from(LETTERS), st.sampled_from(TEARING)),
    min_size=4,
    max_size=14,
)  # fmt: skip


@settings(max_examples=150)
@given(st.sampled_from(sorted(SLIPS)), st.sampled_from(sorted(ENTRIES)), secrets | st.sampled_from(FIXED))
def test_nothing_of_any_secret_is_seen_where_a_url_is_given(slip: str, entry: str, secret: str) -> None:
    assume(slip != "no host at all" or "@" not in secret)  # else what is behind it is the host
    url = SLIPS[slip].replace("{0}", secret)
    check(seen_of(lambda: ENTRIES[entry](url)), secret)


@pytest.mark.parametrize("file", FILES)
def test_nothing_of_a_secret_is_seen_of_a_file(file: str, tmp_path: Path) -> None:
    for slip in SLIPS.values():
        url = slip.replace("{0}", SECRET)
        check(seen_of(lambda url=url: FILES[file](url)(tmp_path)), SECRET)  # type: ignore[misc]


def test_nothing_of_a_file_in_another_encoding_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(f"master = 'postgresql://u:{SECRET}é@h/x'".encode("latin-1"))
    check(text := seen_of(lambda: Cluster.from_config(path)), SECRET)
    assert "is not UTF-8" in text


STRIDE = 6
"""Each command is tried with another sixth of the slips; a command takes a while."""


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_a_secret_is_seen_of_a_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    turn = list(COMMANDS).index(name) % STRIDE
    for slip in list(SLIPS.values())[turn::STRIDE]:
        check(seen_of(COMMANDS[name](slip.replace("{0}", SECRET))), SECRET)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SLIPS)), st.sampled_from(sorted(COMMANDS)), secrets)
def test_nothing_of_any_secret_is_seen_of_a_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slip: str, name: str, secret: str
) -> None:
    assume(slip != "no host at all" or "@" not in secret)
    monkeypatch.chdir(tmp_path)
    check(seen_of(COMMANDS[name](SLIPS[slip].replace("{0}", secret))), secret)


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_nothing_of_a_secret_is_seen_of_an_error_that_nobody_expects(
    debug: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://u:{SECRET}@{NOWHERE}"

    class Breaks:
        @hookimpl
        def jobmaster_commands(self, app: typer.Typer) -> None:
            @app.command()
            def breaks() -> None:
                raise KeyError(os.environ["JOBMASTER_MASTER"])

    monkeypatch.setenv("JOBMASTER_MASTER", url)
    done = CliRunner().invoke(build_app([Breaks()]), [*debug, "breaks"])
    check(done.stdout + done.stderr, SECRET)
    assert "unexpected KeyError: " in done.stderr


# Where it leads


async def connected(url: str) -> None:
    """Have a URL's stores opened, as far as they let it."""
    async with Cluster("Secrets-1", url).configure(store_timeout=0.5).running(workers=False):
        pass


async def joined(url: str) -> None:
    """The same for an agent's."""
    async with Cluster("Secrets-1", "memory://").add_agent("a", url).running(workers=False):
        pass


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("way", [connected, joined])
def test_nothing_of_a_secret_is_seen_of_a_store_that_is_away(way: Callable[[str], Any], backend: str) -> None:
    for slip in SLIPS.values():
        url = slip.replace("{0}", SECRET)
        check(seen_of(lambda url=url: anyio.run(way, url, backend=backend)), SECRET)  # type: ignore[misc]


@settings(max_examples=25)
@given(st.sampled_from([name for name, slip in SLIPS.items() if slip.startswith("postgresql")]), secrets)
def test_nothing_of_any_secret_is_seen_of_a_connection(slip: str, secret: str) -> None:
    assume(slip != "no host at all" or "@" not in secret)
    url = SLIPS[slip].replace("{0}", quote(secret, safe="") if len(secret) % 2 else secret)

    async def connect() -> None:
        await connected(url)

    check(seen_of(lambda: anyio.run(connect)), secret)


@pytest.mark.anyio
@pytest.mark.postgres
@pytest.mark.parametrize(
    "options",
    ["", "?options=-c%20{0}%3D1", "?options=-c%20datestyle%3D{0}", "?application_name={0}&sslcert=/{0}"],
)
async def test_nothing_of_a_secret_is_seen_of_a_server_that_refuses(options: str) -> None:
    """A server quotes the user, and the options that it does not like."""
    host = conninfo_to_dict(postgres_url())
    user = quote(SECRET * 9) if not options else str(host["user"])
    where = f"{quote(str(host['host']), safe='')}:{host.get('port', 5432)}"
    url = f"postgresql://{user}@{where}/postgres{options.replace('{0}', SECRET)}"
    with seeing() as seen:
        try:
            async with Cluster("Secrets-1", url).running(workers=False):
                seen.see("it runs")
        except (ConfigurationError, StoreUnreachableError) as error:
            seen.see_error(error)
    check(seen.text, SECRET)
    assert "PostgreSQL at " in seen.text or "it runs" in seen.text


# What is said all the same


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://u:p@db.example:5432/jobs?sslmode=require", "postgresql://…@db.example:5432/jobs?…"),
        ("postgres://a.example,b.example:5433/jobs", "postgres://a.example,b.example:5433/jobs"),
        ("postgresql://u@[::1]:5432/jobs", "postgresql://…@[::1]:5432/jobs"),
        ("postgresql://%2Frun%2Fpostgresql/jobs", "postgresql://%2Frun%2Fpostgresql/jobs"),
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("sqlite:////srv/app@2/jobs.db", "sqlite:////srv/…/jobs.db"),
        ("memory://jobs", "memory://jobs"),
        ("postgresql://u:p@h@db/jobs", "a postgresql:// URL (hidden, since it may hold a password)"),
        ("unheard-of://db/jobs", "a URL (hidden, since it may hold a password)"),
        ("jobs.db", "a URL (hidden, since it may hold a password)"),
        (None, "a URL (hidden, since it may hold a password)"),
    ],
)
def test_what_is_shown_of_a_url(url: Any, text: str) -> None:
    assert shown(url) == text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:se?c#ret@db.example/jobs",
        "postgresql://db.example/jobs?user=ann@server&password=a#b&sslmode=require",
        "postgresql://bücher.example/jobs",
        "postgresql:///jobs?host=/run/postgresql",
        "sqlite:////srv/app@2/jobs.db",
        "sqlite:///C:/data/jobs.db",
    ],
)
def test_a_clear_url_is_taken_as_before(url: str) -> None:
    assert split(url) is not None
    Plugins().master(url, Options())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        (f"postgresql://u:x@y@{NOWHERE}", "master: the URL cannot be parsed"),
        (f"postgresql://u:x/y@{NOWHERE}", "%40 for @, %2F for /, %3F for ?, %23 for #"),
        ("host=127.0.0.1 password=x", "write it as scheme://…, for example"),
        (f"sqlite://u:x@{NOWHERE}", "three slashes come first: write sqlite:///jobs.db"),
        (f"postgresql://{NOWHERE}?pasword=x", "did you mean password?"),
    ],
)
async def test_an_unclear_url_is_refused_with_the_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await connected(url)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [("postgresql://u:p@h/x", "--master URL\n"), ("sqlite:////tmp/d.db", "--master sqlite:////tmp/d.db\n")],
)
def test_the_demo_names_what_it_kept_if_that_is_no_secret(url: str, said: str) -> None:
    console = Console(file=StringIO())
    show_where(console, Cluster("Secrets-1", url))

    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().endswith(said)


def test_a_url_is_still_the_text_it_was() -> None:
    url = f"postgresql://u:p@{NOWHERE}"
    made = Cluster("Secrets-1", url).add_agent("a", url)

    assert made.master_url == url == made.agents[0].url
    assert f"{made.master_url}" == url
    assert "p@" not in repr([made.master_url, *made.agents])


# Nobody is forgotten

PLACES: tuple[ModuleType, ...] = (
    jobmaster.cluster, jobmaster.config.targets, jobmaster.config.agent, jobmaster.plugins,
    jobmaster_postgres, jobmaster_sqlite,
)  # fmt: skip


def takers() -> Iterator[str]:
    """Yield the public callables that take a URL, by its usual names."""
    for module in PLACES:
        for name, thing in vars(module).items():
            if name.startswith(("_", "jobmaster_")) or getattr(thing, "__module__", "").split(".")[0] not in {
                "jobmaster", "jobmaster_postgres", "jobmaster_sqlite"
            }:  # fmt: skip
                continue
            if isinstance(thing, type):
                members = {name: thing} | {
                    f"{name}.{one}": getattr(thing, one) for one in vars(thing) if not one.startswith("_")
                }
                for label, member in members.items():
                    if callable(member) and takes_url(member):
                        yield label


def takes_url(thing: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return False
    return bool({"url", "master"} & set(parameters)) and (has(thing) or callable(thing))  # type: ignore[arg-type]


def test_every_public_callable_that_takes_a_url_is_among_the_entries() -> None:
    named = " ".join(ENTRIES)
    internal = {"Agents", "Destination", "Environment", "MasterRepository", "Notify"}
    missing = {label for label in takers() if label not in named and label.split(".")[0] not in internal}
    assert missing == set()
