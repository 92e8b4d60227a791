"""Paths in a configuration file start from its folder; those of a mapping and the environment do not."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import Cluster
from jobmaster._time.relative import beside, urls_beside

FOLDER = Path("/srv/app of ours")
QUOTED = "/srv/app%20of%20ours"


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        ("sqlite:///jobs.db", f"sqlite:///{QUOTED}/jobs.db"),
        ("sqlite:///data/jobs.db?synchronous=normal", f"sqlite:///{QUOTED}/data/jobs.db?synchronous=normal"),
        ("sqlite:///../jobs%20too.db", f"sqlite:///{QUOTED}/../jobs%20too.db"),
        ("faulty+sqlite:///jobs.db", f"faulty+sqlite:///{QUOTED}/jobs.db"),
        (
            "postgresql://u:p%40@host/db?sslrootcert=certs/ca.pem&application_name=a%20b",
            f"postgresql://u:p%40@host/db?sslrootcert={QUOTED}/certs/ca.pem&application_name=a%20b",
        ),
    ],
)
def test_a_relative_path_starts_from_the_folder(url: str, moved: str) -> None:
    assert beside(url, FOLDER) == moved


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/jobs.db",
        "sqlite:///:memory:",
        "sqlite:///",
        "sqlite://host/jobs.db",
        "memory://jobs",
        "postgresql://host/db",
        "postgresql://host/db?sslrootcert=system&sslkey=/etc/key.pem&passfile=~/.pgpass",
        "other:///jobs.db",
        "jobs.db",
        5,
        None,
    ],
)
def test_everything_else_stays(url: object) -> None:
    assert beside(url, FOLDER) == url


@given(st.text(max_size=40))
def test_any_text_is_taken(text: str) -> None:
    beside(text, FOLDER)
    for scheme in ("sqlite", "postgresql"):
        moved = beside(f"{scheme}:///{text}", FOLDER)
        assert beside(moved, Path("/elsewhere")) == moved  # once is enough


def test_every_url_of_a_file_is_moved() -> None:
    given = {
        "master": "sqlite:///m.db",
        "agents": [{"name": "A", "url": "sqlite:///a.db"}, 5],
        "move_to": {"url": "sqlite:///n.db"},
        "archive_to": {"url": "sqlite:///o.db", "cluster_id": "O"},
        "workers": [{"name": "w"}],
    }

    text = json.dumps(urls_beside(given, Path("/srv")))

    assert all(f'"sqlite:////srv/{name}.db"' in text for name in "mano")
    assert urls_beside({"agents": 5, "move_to": 5}, Path("/srv")) == {"agents": 5, "move_to": 5}


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_a_cluster_of_a_file_has_its_database_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    texts = {
        "toml": 'cluster = "A"\nmaster = "sqlite:///jobs.db"',
        "json": '{"cluster": "A", "master": "sqlite:///jobs.db"}',
    }
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / f"cluster.{kind}").write_text(texts[kind])
    monkeypatch.chdir(tmp_path)

    async def start() -> None:
        async with Cluster.from_config(f"etc/cluster.{kind}").running():
            pass

    anyio.run(start)

    assert [path.name for path in (tmp_path / "etc").glob("*.db")] == ["jobs.db"]
    assert list(tmp_path.glob("*.db")) == []


def test_mappings_and_the_environment_start_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('cluster = "A"\nmaster = "sqlite:///jobs.db"')
    monkeypatch.setenv("JOBMASTER_MASTER", "sqlite:///mine.db")

    assert Cluster.from_config(file).master_url == "sqlite:///mine.db"
    monkeypatch.delenv("JOBMASTER_MASTER")
    assert (
        Cluster.from_config({"cluster": "A", "master": "sqlite:///jobs.db"}).master_url == "sqlite:///jobs.db"
    )
