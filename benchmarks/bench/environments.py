"""An environment for each peer, created on demand from `peers.txt` and kept in a cache."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

HERE = Path(__file__).resolve().parent.parent
CACHE = HERE / ".cache"
PEERS = HERE / "peers.txt"

NODE_MAJOR = 22
"""The oldest Node.js that the peers run on."""

_INSTALL_MINUTES = 20


@frozen
class Environment:
    """How a system's script is started."""

    interpreter: Path
    variables: Mapping[str, str]


class InstallError(Exception):
    """A peer could not be installed."""


def own_environment() -> Environment:
    """Return our own environment."""
    return Environment(Path(sys.executable), {})


def peer_environment(name: str) -> Environment:
    """Return a peer's environment, installed if it is not there yet; raises `InstallError`."""
    installer, packages = read_peers()[name]
    return _with_pip(name, packages) if installer == "pip" else _with_npm(name, packages)


def read_peers() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return installer and packages of every peer."""
    peers: dict[str, tuple[str, tuple[str, ...]]] = {}
    header = None
    for line in PEERS.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if found := re.fullmatch(r"\[(pip|npm) ([\w-]+)\]", text):
            header = found[2]
            peers[header] = (found[1], ())
        elif text and header is not None:
            installer, packages = peers[header]
            peers[header] = (installer, (*packages, text))
    return peers


def _with_pip(name: str, packages: Sequence[str]) -> Environment:
    folder = CACHE / name
    python = folder / "bin" / "python"
    if not _is_installed(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        _mark(folder, packages)
    return Environment(python, {})


def _with_npm(name: str, packages: Sequence[str]) -> Environment:
    if shutil.which("npm") is None:
        raise InstallError("npm is not here")
    return Environment(_node(), {"BENCH_NODE_MODULES": str(_npm_folder(name, packages))})


def _node() -> Path:
    """Return a Node.js that is new enough: the system's, or one from npm."""
    found = shutil.which("node")
    if found and int(_run([found, "--version"]).lstrip("v").split(".")[0]) >= NODE_MAJOR:
        return Path(found)
    package, _, version = read_peers()["node"][1][0].partition("@")
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = f"{package}-{sys.platform}-{machine}"
    return _npm_folder("node", [f"{binary}@{version}"]) / "node_modules" / binary / "bin" / "node"


def _npm_folder(name: str, packages: Sequence[str]) -> Path:
    folder = CACHE / name
    if not _is_installed(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", "--silent", *packages], folder)
        _mark(folder, packages)
    return folder


def _is_installed(folder: Path, packages: Sequence[str]) -> bool:
    stamp = folder / ".installed"
    return stamp.exists() and stamp.read_text(encoding="utf-8").splitlines() == list(packages)


def _mark(folder: Path, packages: Sequence[str]) -> None:
    (folder / ".installed").write_text("\n".join(packages), encoding="utf-8")


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    """Run an installer and return its output; raises `InstallError` with the end of the output."""
    try:
        done = subprocess.run(  # noqa: S603 - pip, npm and node, with packages from our list
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=_INSTALL_MINUTES * 60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise InstallError(said[-1] if said else "it failed") from error
    return done.stdout
