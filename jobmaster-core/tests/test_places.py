"""What is wrong in code is told where it is written: the definition, the function, its file and line."""

from __future__ import annotations

import linecache
import runpy
from pathlib import Path

import pytest

from jobmaster import ConfigurationError, InvalidExpressionError, handlers

HEAD = "from datetime import timedelta\nfrom jobmaster import *\n"
WRONG = [
    "cron='61 * * * *'",
    "cron='not a cron line'",
    "cron=5",
    "every='blue moon'",
    "every=5",
    "every='0 3 * * *'",
    "every=timedelta(seconds=-1)",
    "every='hour', time_zone='Mars/Base'",
    "every='hour', overlap='maybe'",
    "every='hour', misfire='never'",
    "every='hour', starts_after='noon'",
    "every='hour', cron='* * * * *'",
    "overlap='skip'",
    "timeout=-1",
    "timeout='soon'",
    "max_retries=-1",
    "priority='hihg'",
    "lane='a b'",
    "metadata={'a': [1]}",
    "retry='x'",
    "timeuot=5",
]


@pytest.fixture(autouse=True)
def no_handlers_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "_registered", {})


def problem(folder: Path, body: str) -> ConfigurationError:
    file = folder / "shop.py"
    file.write_text(HEAD + body, encoding="utf-8")
    linecache.checkcache()
    with pytest.raises(ConfigurationError) as refused:
        runpy.run_path(str(file), run_name="shop")
    return refused.value


@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_handler_is_told_with_its_function_and_line(setting: str, tmp_path: Path) -> None:
    body = f"@handler(\n    'Shop.Send',\n    {setting},\n)\nasync def send(job): ...\n"

    first = str(problem(tmp_path, body)).splitlines()[0]

    assert "'Shop.Send': " in first
    assert first.endswith(f" (send, {tmp_path}/shop.py:3)")


@pytest.mark.parametrize("setting", WRONG)
def test_so_is_a_wrong_class(setting: str, tmp_path: Path) -> None:
    body = f"\n@handler('Shop.Send', {setting})\nclass Send(JobHandler):\n    def handle(self, job): ...\n"

    first = str(problem(tmp_path, body)).splitlines()[0]

    assert "'Shop.Send': " in first
    assert first.endswith(f" (Send, {tmp_path}/shop.py:4)")


@pytest.mark.parametrize(
    "body",
    [
        "@handler('Shop.Send')\ndef send(): ...",
        "@handler('Shop.Send')\ndef send(job):\n    yield",
        "@handler('Shop.Send')\nclass send: ...",
    ],
)
def test_so_is_a_function_that_can_be_no_handler(body: str, tmp_path: Path) -> None:
    first = str(problem(tmp_path, body)).splitlines()[0]

    assert first.startswith("handler 'Shop.Send': ")
    assert first.endswith(f" (send, {tmp_path}/shop.py:3)")


@pytest.mark.parametrize("setting", [one for one in WRONG if "every" not in one and "cron" not in one])
def test_so_is_a_wrong_definition(setting: str, tmp_path: Path) -> None:
    first = str(problem(tmp_path, f"\n\nSEND = JobDefinition('Shop.Send', {setting})\n")).splitlines()[0]

    assert first.startswith("definition 'Shop.Send': ")
    assert first.endswith(f" ({tmp_path}/shop.py:5)")


@pytest.mark.parametrize(
    "arguments",
    [
        "'61 * * * *', kind='cron'",
        "'blue moon'",
        "'every hour', time_zone='Mars/Base'",
        "'every hour', timeout=-1",
        "'every hour', key='k'",
        "'every hour', overlap='maybe'",
    ],
)
def test_so_is_a_wrong_static_schedule(arguments: str, tmp_path: Path) -> None:
    body = f"@handler('Shop.Send')\ndef send(job): ...\nONE = StaticSchedule('Nightly', send, {arguments})\n"

    first = str(problem(tmp_path, body)).splitlines()[0]

    assert first.startswith("schedule 'Nightly': ")
    assert first.endswith(f" ({tmp_path}/shop.py:5)")


def test_what_a_function_makes_is_told_where_it_is_made(tmp_path: Path) -> None:
    body = "def made(cron):\n    return handler('Shop.Send', cron=cron)\nmade('61 * * * *')\n"

    assert f" ({tmp_path}/shop.py:4)" in str(problem(tmp_path, body))


def test_an_expression_keeps_what_it_says_and_its_picture(tmp_path: Path) -> None:
    found = problem(tmp_path, "@handler('Shop.Send', cron='61 * * * *')\ndef send(job): ...\n")

    assert isinstance(found, InvalidExpressionError)
    assert (found.kind, found.text, found.what) == ("cron", "61 * * * *", "handler 'Shop.Send'")
    assert str(found).splitlines()[1] == "    61 * * * *"


def test_a_schedule_that_is_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        HEAD + "@handler('Shop.Send', every=None, cron=None)\ndef send(job): ...\n"
    )

    assert runpy.run_path(str(tmp_path / "shop.py"))["send"].rules is None


def test_a_kind_that_is_not_built_in_is_not_judged(tmp_path: Path) -> None:
    body = "@handler('Shop.Send')\ndef send(job): ...\nStaticSchedule('Moon', send, 'full', kind='lunar')\n1 / 0\n"

    (tmp_path / "shop.py").write_text(HEAD + body, encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        runpy.run_path(str(tmp_path / "shop.py"))
