"""Have mypy and pyright read `right.py` and `wrong.py`, as `make check` does.

Each must report the lines of `wrong.py` that end with `# wrong`, and nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
FILES: Final = ("right.py", "wrong.py")

Reported = dict[tuple[str, int], str]
"""What a type checker says, by file and line."""


def marked() -> set[tuple[str, int]]:
    """Return the lines that have to be reported."""
    lines = (HERE / "wrong.py").read_text(encoding="utf-8").splitlines()
    return {("wrong.py", number) for number, line in enumerate(lines, 1) if line.endswith("  # wrong")}


def by_mypy() -> Reported:
    """Return what `mypy --strict` reports."""
    done = _run("-m", "mypy", "--strict", "--no-error-summary", *(str(HERE / name) for name in FILES))
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    return {(Path(file).name, int(line)): message for file, line, message in found}


def by_pyright() -> Reported:
    """Return what pyright reports in its standard mode."""
    files = (str(HERE / name) for name in FILES)
    done = _run("-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, *files)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    said = json.loads(done.stdout)["generalDiagnostics"]
    errors = [one for one in said if one["severity"] == "error"]
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"].splitlines()[0]
        for one in errors
    }


CHECKERS: Final[Mapping[str, Callable[[], Reported]]] = {"mypy": by_mypy, "pyright": by_pyright}


def differences(checker: str) -> list[str]:
    """Return where a type checker and the marks do not agree, to be printed."""
    reported, wanted = CHECKERS[checker](), marked()
    missed = [
        f"{file}:{line}: {checker} does not report it" for file, line in sorted(wanted - reported.keys())
    ]
    amiss = [
        f"{file}:{line}: {checker}: {reported[file, line]}" for file, line in sorted(reported.keys() - wanted)
    ]
    return missed + amiss


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280, check=False)


if __name__ == "__main__":
    found = [line for checker in CHECKERS for line in differences(checker)]
    print("\n".join(found) or f"mypy and pyright report the {len(marked())} wrong calls, and no other")  # noqa: T201
    sys.exit(1 if found else 0)
