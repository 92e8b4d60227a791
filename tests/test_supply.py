"""What is published, how it is said to be installed, and what the workflow runs."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobmaster.errors import INSTALLING, PACKAGES, ConfigurationError, UnknownSchemeError
from jobmaster_postgres import jobmaster_agent, jobmaster_master, jobmaster_schemes, libpq
from jobmaster_testing.options import Options

ROOT = Path(__file__).parents[1]
MEMBERS = sorted(path.parent.name for path in ROOT.glob("*/pyproject.toml"))
LICENSE = (ROOT / "LICENSE").read_text()


def project(member: str) -> dict[str, Any]:
    """Return what a member's `pyproject.toml` says of its package."""
    found: dict[str, Any] = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
    return found


# Packages


@pytest.mark.parametrize("member", MEMBERS)
def test_a_package_says_what_it_is(member: str) -> None:
    said = project(member)

    assert (said["license"], said["license-files"]) == ("MIT", ["LICENSE"])
    assert (ROOT / member / "LICENSE").read_text() == LICENSE
    assert said["urls"]
    assert "Typing :: Typed" in said["classifiers"]


@pytest.mark.parametrize("member", MEMBERS)
def test_its_wheel_and_archive_hold_that_and_nothing_else(member: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT / member, check=True, capture_output=True)

    [wheel], [archive] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        [info] = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(opened.read(info))
        [text] = [opened.read(name).decode() for name in names if name.endswith("licenses/LICENSE")]
    assert text == LICENSE
    assert metadata.get_all("Project-URL")
    [package] = {name.partition("/")[0] for name in names} - {info.partition("/")[0]}
    assert f"{package}/py.typed" in names
    assert {Path(name).suffix for name in names if name.startswith(f"{package}/")} <= {
        ".py",
        ".sql",
        ".typed",
    }
    with tarfile.open(archive) as opened_archive:
        assert any(re.fullmatch(r"[^/]+/LICENSE", name) for name in opened_archive.getnames())


def test_no_library_forces_a_bundled_libpq() -> None:
    said = project("jobmaster-postgres")

    assert [one for one in said["dependencies"] if one.startswith("psycopg")] == ["psycopg>=3.2,<4"]
    assert said["optional-dependencies"]["binary"] == ["psycopg[binary]>=3.2,<4"]


def test_without_a_libpq_a_url_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpq, "MISSING", ImportError("no pq wrapper available.\nAttempts made:\n- …"))

    assert "postgresql" in jobmaster_schemes()
    assert jobmaster_master("sqlite:///x", Options()) is None
    for opened in (
        lambda: jobmaster_master("postgresql://h/d", Options()),
        lambda: jobmaster_agent("A", "postgres://h/d", Options()),
    ):
        with pytest.raises(
            ConfigurationError, match=r"no libpq \(no pq .*available\); install psycopg\[binary\]"
        ) as caught:
            opened()
        assert "libpq5" in str(caught.value)


def test_without_psycopg_other_databases_work(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["psycopg"] = None
from jobmaster import Cluster
Cluster("C", "sqlite:///{tmp_path}/jobs.db").open_master()
try:
    Cluster("C", "postgresql://h/d").open_master()
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert "psycopg finds no libpq" in done.stdout


# Advice


def advice() -> Iterator[tuple[Path, str]]:
    """Yield all that tells people what to install: pages, and what the code says."""
    for pattern in ("*.md", "*/*.md", "docs/**/*.md", "*/src/**/*.py", "Makefile", ".github/**/*.yml"):
        for path in ROOT.glob(pattern):
            if ".venv" not in path.parts:
                yield path, path.read_text(encoding="utf-8")


INSTALLERS = r"(?:pip3?|pipx|uv|poetry|pdm|rye|conda)"
COMMAND = re.compile(rf"\b{INSTALLERS}(?: pip)? (?:install|add|run --with|download)((?: [^\s`#|]+)+)")
UNPUBLISHED = re.compile(r"(?:jobmaster(?:-[a-z]+)?|naturalcron)(?:\[[a-z,]+\])?(?:[=<>~!].*)?")


def named(text: str) -> list[str]:
    """Return the packages of ours that a text says to install by name."""
    words = [word.strip("\"'.,;:()*") for found in COMMAND.findall(text) for word in found.split()]
    return [word for word in words if UNPUBLISHED.fullmatch(word)]


def test_nobody_is_told_to_install_a_name_that_nobody_has_published() -> None:
    read = list(advice())

    assert len(read) > 200
    assert {str(path.relative_to(ROOT)): named(text) for path, text in read if named(text)} == {}


@pytest.mark.parametrize(
    "text",
    [
        "pip install jobmaster-core jobmaster-sqlite",
        "install it: `pip install jobmaster-postgres[binary]`",
        "pip install -U jobmaster",
        "uv add naturalcron",
        "uv pip install 'jobmaster-core>=0.1'",
    ],
)
def test_such_advice_is_noticed(text: str) -> None:
    assert named(text)


def test_there_is_one_place_that_says_how_to_install() -> None:
    page = ROOT / re.search(r"\S+\.md", INSTALLING)[0]  # type: ignore[index]

    assert all(name in page.read_text() for name in {*MEMBERS})
    assert "is another project" in page.read_text()
    assert re.search(r"`jobmaster` on PyPI is another project", (ROOT / "README.md").read_text())
    for scheme, package in PACKAGES.items():
        assert f"install its provider, {package}, {INSTALLING}" in str(
            UnknownSchemeError("master", scheme, [])
        )


# The workflow


def test_actions_are_named_by_a_hash_with_the_version_beside_it() -> None:
    used = [
        line.strip().removeprefix("- ")
        for path in (ROOT / ".github" / "workflows").iterdir()
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]

    assert used
    assert [
        one for one in used if not re.fullmatch(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+(\.\d+)+", one)
    ] == []


def test_it_audits_dependencies_and_looks_for_secrets() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    targets = (ROOT / "Makefile").read_text()

    for target in ("audit", "secrets"):
        assert f"run: make {target} " in workflow
        assert f"\n{target}: " in targets
    pinned = (ROOT / "constraints.txt").read_text()
    assert {"pip-audit==", "detect-secrets=="} <= set(re.findall(r"^[a-z-]+==", pinned, re.MULTILINE))
