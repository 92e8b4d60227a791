"""The hooks that plug-ins may implement, in the order they are called.

A plug-in is a module or object with functions marked `@hookimpl`, found through the entry-point group
`jobmaster` or passed to `Cluster.use`. Hooks are synchronous and return objects; asynchronous work happens in those
objects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.models import JobReceipt, NewJob, Report
from jobmaster.recurrence import RecurrenceKind

if TYPE_CHECKING:
    import typer

hookspec = pluggy.HookspecMarker("jobmaster")
hookimpl = pluggy.HookimplMarker("jobmaster")
"""Marks a plug-in's function as an implementation of the hook of the same name."""


class StoreOptions(Protocol):
    """What a provider gets besides the URL: settings of the cluster that concern stores."""

    @property
    def table_prefix(self) -> str:
        """The prefix of every table and index name."""

    @property
    def store_timeout(self) -> float:
        """The deadline in seconds of one unit of work."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The provider's own settings, given as `store_options`."""


class JobObserver(Protocol):
    """Observes jobs of this process. Runs in the event loop and must be quick; its errors are logged."""

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        """A job was accepted."""

    def on_started(self, job: Any) -> None:
        """A handler is about to run; `job` is its `JobContext`."""

    def on_reported(self, report: Report, stale: bool) -> None:
        """An outcome was written, or refused as stale."""


Call = Callable[[Any], Awaitable[None]]
"""Runs the rest of the chain around a handler: takes the `JobContext`."""

Middleware = Callable[[Any, Call], Awaitable[None]]
"""Wraps a handler: `async def middleware(job, call): ...; await call(job); ...`."""


# Loading plug-ins


@hookspec
def jobmaster_schemes() -> Mapping[str, str]:
    """Return the URL schemes this plug-in serves, each with one line of help.

    Called when the plug-ins are loaded. Two plug-ins that claim one scheme stop the start-up.
    """
    raise NotImplementedError


@hookspec
def jobmaster_recurrence_kinds() -> Sequence[RecurrenceKind]:
    """Return the kinds of recurrence this plug-in adds: languages for schedules.

    Called when the plug-ins are loaded. Two plug-ins that claim one name stop the start-up. An expression without a
    kind belongs to the first kind that accepts it: core's own come first.
    """
    raise NotImplementedError


# Opening stores


@hookspec(firstresult=True)
def jobmaster_master(url: str, options: StoreOptions) -> MasterRepository | None:
    """Return the master repository for `url`, not yet opened, or None if the scheme is another's.

    The first result wins. Raise `ConfigurationError` for a URL of this scheme that is wrong.
    """


@hookspec(firstresult=True)
def jobmaster_agent(name: str, url: str, options: StoreOptions) -> AgentRepository | None:
    """Return the agent repository for `url`, not yet opened, or None if the scheme is another's.

    The first result wins. Raise `ConfigurationError` for a URL of this scheme that is wrong.
    """


# Building and wrapping handlers


@hookspec(firstresult=True)
def jobmaster_build_handler(handler_class: type[Any]) -> Any:
    """Return an instance of a class-form handler, with what its constructor needs, or None to pass.

    Called once per attempt, so that an instance may hold state. The first result wins; the built-in
    fallback calls the class without arguments.
    """


@hookspec
def jobmaster_middleware() -> Middleware:
    """Return a middleware to wrap around every handler. The first registered plug-in's is outermost."""
    raise NotImplementedError


# Watching jobs


@hookspec
def jobmaster_observer() -> JobObserver:
    """Return an observer of the jobs of this process. Called once, when a cluster starts."""
    raise NotImplementedError


# Command line


@hookspec
def jobmaster_commands(app: typer.Typer) -> None:
    """Add commands to the `jobmaster` command line. Called when a command is looked up, or all are listed."""
