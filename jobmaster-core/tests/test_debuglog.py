"""`debug_jsonl`: what a process did, line by line."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobmaster import Cluster, ConfigurationError, Handler, JobContext, handler
from jobmaster._logs import debuglog
from jobmaster._logs.debuglog import ROOT

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


def lines_of(folder: Path, cluster_id: str = "Test-1") -> list[dict[str, Any]]:
    text = (folder / f"{cluster_id}-{os.getpid()}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def talking() -> Handler[[], None]:
    async def talks(job: JobContext) -> None:
        job.logger.info("half way", extra={"percent": 50})

    return handler("Talks")(talks)


def failing() -> Handler[[], None]:
    async def fails(_: JobContext) -> None:
        raise ValueError("no such customer: Ñandú")

    return handler("Fails", max_retries=0)(fails)


async def test_a_job_can_be_followed_from_call_to_report(cluster: Build, tmp_path: Path) -> None:
    made, before = talking(), datetime.now(UTC).isoformat()
    async with cluster(made).debug_jsonl(tmp_path / "new").running() as runtime:
        receipt = await runtime.scheduler.once_now(made)
        await runtime.jobs.wait(receipt.job_id)

    lines = [line for line in lines_of(tmp_path / "new") if line.get("job_id") == str(receipt.job_id)]
    assert [line["message"] for line in lines] == ["scheduled", "started", "half way", "reported"]
    assert {line["subject"] for line in lines} == {"job"}
    assert lines[2]["percent"] == 50
    assert lines[3]["outcome"] == "succeeded"
    moments = [before, *(line["at"] for line in lines)]
    assert moments == sorted(moments)


async def test_a_failure_brings_its_traceback(cluster: Build, tmp_path: Path) -> None:
    made = failing()
    async with cluster(made).debug_jsonl(tmp_path).running() as runtime:
        await runtime.jobs.wait((await runtime.scheduler.once_now(made)).job_id)

    [reported] = [line for line in lines_of(tmp_path) if line["message"] == "reported"]
    assert "Traceback" in reported["error"]
    assert "no such customer: Ñandú" in reported["error"]


async def test_what_workers_do_is_written(cluster: Build, tmp_path: Path) -> None:
    async with cluster(talking()).debug_jsonl(tmp_path).running():
        pass

    assert any(line["subject"] == "worker" and "is up" in line["message"] for line in lines_of(tmp_path))


async def test_clusters_of_one_process_write_files_of_their_own(producer: Build, tmp_path: Path) -> None:
    made = talking()
    first = producer(made, cluster_id="One").debug_jsonl(tmp_path)
    second = producer(made, cluster_id="Two").debug_jsonl(tmp_path)
    async with first.running() as one, second.running() as two:
        a = await one.scheduler.once_now(made)
        b = await two.scheduler.once_now(made)

    for cluster_id, receipt in (("One", a), ("Two", b)):
        scheduled = [line for line in lines_of(tmp_path, cluster_id) if line["message"] == "scheduled"]
        assert [line["job_id"] for line in scheduled] == [str(receipt.job_id)]


async def test_clusters_with_long_names_have_files_of_their_own(store_url: str, tmp_path: Path) -> None:
    ids = ["c" * 252 + end for end in "ab"]
    for cluster_id in ids:
        async with Cluster(cluster_id, store_url).debug_jsonl(tmp_path).running():
            pass

    assert len({name.removesuffix(f"-{os.getpid()}.jsonl") for name in names_in(tmp_path)}) == 2
    assert all(name.startswith("c" * 100 + "-") for name in names_in(tmp_path))


async def test_the_logger_is_left_as_it_was(producer: Build, tmp_path: Path) -> None:
    logger = logging.getLogger(ROOT)
    before = logger.level, list(logger.handlers)

    async with producer().debug_jsonl(tmp_path / "a").running():
        async with producer(cluster_id="Other").debug_jsonl(tmp_path / "b").running():
            assert logger.level == logging.DEBUG
        assert logger.level == logging.DEBUG

    assert (logger.level, list(logger.handlers)) == before


async def test_a_folder_that_cannot_be_written_stops_the_start(producer: Build, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(ConfigurationError, match=r"debug_jsonl: .* cannot be written .*name another folder"):
        async with producer().debug_jsonl(tmp_path / "file").running():
            pass


@pytest.mark.parametrize(("options", "mode"), [({}, 0o600), ({"file_mode": 0o640}, 0o640)])
async def test_the_file_is_its_owners_also_after_it_was_moved_aside(
    producer: Build, tmp_path: Path, options: dict[str, Any], mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debuglog, "MAX_BYTES", 200)
    folder = tmp_path / "new"
    async with producer().debug_jsonl(folder, **options).running():
        for _ in range(3):
            logging.getLogger("jobmaster.start").info("a line of some length " * 5)

    modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert (len(names_in(folder)) > 2, modes) == (True, {mode})
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_link_in_its_place_stops_the_start(producer: Build, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f"Test-1-{os.getpid()}.jsonl").symlink_to(tmp_path / "victim")

    with pytest.raises(ConfigurationError, match=r"debug_jsonl: .* is a symbolic link; choose a folder"):
        async with producer().debug_jsonl(tmp_path).running():
            pass
    assert (tmp_path / "victim").read_text() == "precious"


async def test_a_folder_that_another_users_link_leads_to_stops_it_too(
    producer: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "debug").symlink_to(tmp_path / "victim")
    async with producer().debug_jsonl(tmp_path / "debug").running():
        pass

    if os.geteuid() == 0:
        os.chown(tmp_path / "debug", 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ConfigurationError, match=r"debug_jsonl: .*debug is a symbolic link of another user"):
        async with producer().debug_jsonl(tmp_path / "debug").running():
            pass


async def test_a_mode_that_is_none_is_refused_at_once(producer: Build, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="debug_jsonl: file_mode: 640 is not a file mode"):
        producer().debug_jsonl(tmp_path, file_mode=640)


async def test_a_process_forked_after_the_cluster_was_described_has_a_file_of_its_own(
    producer: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = producer().debug_jsonl(tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: 4711)

    async with described.running():
        pass

    assert names_in(tmp_path) == ["Test-1-4711.jsonl"]


@pytest.mark.alone  # nor can what test processes tell one another
async def test_text_that_no_file_can_hold_loses_no_line(cluster: Build, tmp_path: Path) -> None:
    async def says(job: JobContext) -> None:
        job.logger.info("broken: %s", "\ud800")

    made = handler("Says")(says)
    async with cluster(made).debug_jsonl(tmp_path).running() as runtime:
        await runtime.jobs.wait((await runtime.scheduler.once_now(made)).job_id)

    assert any(line["message"].startswith("broken: ") for line in lines_of(tmp_path))
