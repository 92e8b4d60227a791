"""The commands put together, and the entry point."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jobmaster.cli import buckets, clusters, jobs, lanes, schedules, workers
from jobmaster.cli.demo.command import demo
from jobmaster.cli.exits import ExitCode, note_typed, reported_errors
from jobmaster.cli.migrate import migrate
from jobmaster.cli.moving import move
from jobmaster.cli.output import say
from jobmaster.cli.status import status
from jobmaster.cli.streams import flush, write_anything
from jobmaster.cli.worker import worker
from jobmaster.errors import ConfigurationError
from jobmaster.plugins import Plugins
from jobmaster.version import __version__

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 store unavailable, "
    "5 not found, 6 schema not up to date, 130 and 143 ended at once by a signal, 141 nobody read the output."
)


class _Group(TyperGroup):
    """Runs commands so that an error is one line and an exit code, also one of the command line itself."""

    def main(self, *args: Any, **extra: Any) -> Any:
        write_anything()
        return super().main(*args, **extra)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> Any:
        note_typed(args)
        with reported_errors(debug=False):
            return super().make_context(info_name, args, *more, **extra)

    def invoke(self, ctx: Any) -> Any:
        with reported_errors(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


def build_app(plugins: Sequence[Any] = ()) -> typer.Typer:
    """Return the command line, with the commands of installed plug-ins and of `plugins`.

    Raises `ConfigurationError` for a plug-in that is broken or whose command exists already.
    """
    app = typer.Typer(
        name="jobmaster",
        cls=_Group,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for command in (demo, worker, migrate, move, status):
        app.command()(command)
    groups = {
        "jobs": jobs,
        "schedules": schedules,
        "workers": workers,
        "buckets": buckets,
        "lane": lanes,
        "cluster": clusters,
    }
    for name, group in groups.items():
        app.add_typer(group.app, name=name)
    Plugins(plugins).hook.jobmaster_commands(app=app)
    _check_names(app)
    return app


def _show_version(asked: bool) -> None:
    if asked:
        say(f"jobmaster {__version__}")
        raise typer.Exit


def _options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="JOBMASTER_DEBUG", help="Show tracebacks of errors.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Background jobs across a cluster."""
    _ = debug, version


def _check_names(app: typer.Typer) -> None:
    names = [one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands]
    names += [
        str(one.name or one.typer_instance.info.name) for one in app.registered_groups if one.typer_instance
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        msg = f"a plug-in adds the command {twice[0]!r}, which exists already; uninstall it"
        raise ConfigurationError(msg)


def main() -> None:
    """Run the command line; the console script `jobmaster`."""
    with reported_errors(debug="--debug" in sys.argv):
        try:
            build_app()()
        finally:
            flush()


__all__ = ["ExitCode", "build_app", "main"]
