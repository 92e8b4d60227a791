"""URLs of SQLite files."""

from pathlib import Path

import pytest

from jobmaster.errors import ConfigurationError
from jobmaster_sqlite.address import parse_address


def test_three_slashes_are_relative_to_the_working_directory() -> None:
    assert parse_address("sqlite:///data/jobs.db").path == Path.cwd() / "data" / "jobs.db"


def test_four_slashes_are_absolute() -> None:
    assert parse_address("sqlite:////var/lib/jobs.db").path == Path("/var/lib/jobs.db")


def test_special_characters_are_written_as_percent_codes() -> None:
    assert parse_address("sqlite:////a%20b/%23c%3F.db").path == Path("/a b/#c?.db")


def test_commits_are_on_disk_unless_asked_otherwise() -> None:
    assert parse_address("sqlite:///jobs.db").synchronous == "full"
    assert parse_address("sqlite:///jobs.db?synchronous=NORMAL").synchronous == "normal"


def test_a_file_is_its_owners_unless_told_otherwise() -> None:
    assert parse_address("sqlite:///jobs.db").file_mode == 0o600
    assert parse_address("sqlite:///jobs.db?file_mode=0640").file_mode == 0o640


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("sqlite://jobs.db", "three slashes"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "use memory://"),
        ("sqlite:///jobs.db?synchronous=off", "use one of full, normal"),
        ("sqlite:///jobs.db?mode=ro", "unknown option; there are .*file_mode"),
        ("sqlite:///jobs.db?file_mode=rw", "file_mode: .*is not a file mode .* 0640"),
        ("sqlite:///jobs.db?file_mode=0400", "the owner can read and write"),
    ],
)
def test_a_wrong_url_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        parse_address(url)
