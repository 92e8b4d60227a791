"""Starting a system's script and speaking its protocol: lines of JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Timer
from typing import IO, Any

from attrs import define, frozen

from bench.environments import Environment
from bench.systems import System

Reply = Mapping[str, Any]

PATIENCE = 10.0
"""Seconds for a script to end after it reported its result."""


class ScriptError(Exception):
    """A system's script failed; the message is its last output."""


class NotOfferedError(Exception):
    """A system has no such call."""


@frozen
class Script:
    """A system's script, ready to be run on one database."""

    system: System
    environment: Environment
    url: str
    time_limit: float
    options: tuple[str, ...] = ()
    """Further options about the database."""

    def run(self, command: str, *arguments: str) -> Reply:
        """Run a command to its end and return its result."""
        with self.started(command, *arguments) as running:
            return running.result()

    @contextmanager
    def started(self, command: str, *arguments: str) -> Iterator[Running]:
        """Start a command. It is killed if it does not end soon after the block, or exceeds its time limit."""
        full = [str(self.environment.interpreter), str(self.system.path), command, "--url", self.url]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(  # noqa: S603 - a script of ours, in an environment of ours
                [*full, *self.options, *self.system.arguments, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **self.environment.variables},
                start_new_session=True,
            )
            timer = Timer(self.time_limit, _kill, [process])
            timer.start()
            try:
                yield Running(process, errors)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
            finally:
                timer.cancel()
                _kill(process)
                process.wait()


@define
class Running:
    """A command under way."""

    process: subprocess.Popen[str]
    errors: IO[str]

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def wait_ready(self) -> None:
        """Wait until the script says that it is ready."""
        self.result()

    def go(self) -> None:
        """Let it begin."""
        self._say("go\n")

    def kill(self) -> None:
        """Kill it as a crash does, without a chance to react."""
        _kill(self.process)
        self.process.wait()

    def leave(self) -> None:
        """Close its standard input, which makes it end; do not wait for that."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def end(self) -> Reply:
        """Close its standard input, which makes it end, and return its result."""
        self.leave()
        return self.result()

    def result(self) -> Reply:
        """Return its next message; raises `NotOfferedError` if that is a refusal."""
        reply = self._next()
        if "unsupported" in reply:
            raise NotOfferedError(reply["unsupported"])
        return reply

    def _say(self, text: str) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(text)
            self.process.stdin.flush()

    def _next(self) -> Reply:
        """Return the next line; a library's own output is skipped."""
        for line in self.process.stdout or ():
            if line.startswith("{"):
                reply: Reply = json.loads(line)
                return reply
        raise ScriptError(self._last_words())

    def _last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        said = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        if code == -signal.SIGKILL:
            return "it took too long"
        return said[-1] if said else f"it ended with code {code}"


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
