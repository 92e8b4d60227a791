"""Files that JobMaster makes: who may read them, and what is not written to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobmaster._process.files import (
    OWNER_ONLY,
    check_link,
    check_regular,
    checked_mode,
    make_file,
    make_folder,
    open_to_append,
)
from jobmaster.errors import ConfigurationError


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file, or link, another user's."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.mark.parametrize("mode", [OWNER_ONLY, 0o640, 0o666])
def test_a_file_has_its_mode_whatever_the_umask_and_keeps_what_is_there(tmp_path: Path, mode: int) -> None:
    make_file(tmp_path / "a", mode)
    os.close(open_to_append(tmp_path / "b", mode))
    assert {mode_of(tmp_path / "a"), mode_of(tmp_path / "b")} == {mode}

    (tmp_path / "a").write_text("precious")
    (tmp_path / "a").chmod(0o604)
    make_file(tmp_path / "a", mode)
    assert ((tmp_path / "a").read_text(), mode_of(tmp_path / "a")) == ("precious", 0o604)

    os.close(open_to_append(tmp_path / "a", mode))
    assert ((tmp_path / "a").read_text(), mode_of(tmp_path / "a")) == ("precious", mode)


def test_folders_that_are_made_are_closed_and_others_left_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert [mode_of(tmp_path / one) for one in ("", "a", "a/b")] == [0o755, 0o700, 0o700]


def test_what_others_may_have_put_there_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "nowhere").symlink_to(tmp_path / "not there")
    os.link(victim, tmp_path / "hard")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "foreign").touch()
    faults = {
        "link": "is a symbolic link",
        "nowhere": "is a symbolic link",
        "hard": "has another name as well",
        "pipe": "is not a regular file",
    }
    for name, fault in faults.items():
        with pytest.raises(ConfigurationError, match=f"{name} {fault}.*; choose a folder"):
            open_to_append(tmp_path / name, OWNER_ONLY)

    given_away(tmp_path / "foreign", monkeypatch)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        open_to_append(tmp_path / "foreign", OWNER_ONLY)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "not there").exists()


def test_a_pipe_that_somebody_reads_is_none_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ConfigurationError, match="is not a regular file"):
            open_to_append(tmp_path / "pipe", OWNER_ONLY)
    finally:
        os.close(reader)


def test_a_link_of_ones_own_may_be_followed_and_another_users_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for path in (tmp_path / "link", tmp_path / "not there", tmp_path):
        check_link(path)
        check_regular(path)

    given_away(tmp_path / "link", monkeypatch)
    with pytest.raises(ConfigurationError, match="is a symbolic link of another user; name its target"):
        check_link(tmp_path / "link")
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        check_regular(Path(os.devnull))


@pytest.mark.parametrize(("value", "mode"), [(0o640, 0o640), ("640", 0o640), ("0660", 0o660), (0o600, 0o600)])
def test_a_mode_is_a_number_or_written_as_chmod_takes_it(value: object, mode: int) -> None:
    assert checked_mode("file_mode", value) == mode


@pytest.mark.parametrize(
    "value",
    [
        640,
        0o400,
        0o040,
        0o777,
        0o4600,
        -1,
        True,
        None,
        "",
        "rw-r-----",
        "0888",
        "0o640",
        "1640",
        "640 ",
        384.0,
    ],
)
def test_any_other_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"file_mode: .* is not a file mode .* use for example 0640"):
        checked_mode("file_mode", value)
