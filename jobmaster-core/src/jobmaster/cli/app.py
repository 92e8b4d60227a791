"""The commands put together, and the entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jobmaster.cli.commands import STYLE, Commands, commands_of
from jobmaster.cli.exits import ExitCode, note_typed, reported_errors
from jobmaster.cli.output import say
from jobmaster.cli.streams import flush, write_anything

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 store unavailable, "
    "5 not found, 6 schema not up to date, 130 and 143 ended at once by a signal, 141 the reader closed the output."
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

    Raises `ConfigurationError` for one of `plugins` that is broken or whose command exists already. Installed ones are
    asked, and this is raised, when a command is looked for.
    """
    of_plugins = cache(partial(commands_of, plugins))
    if plugins:
        of_plugins()

    class Root(_Group):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options | {"commands": Commands(of_plugins)})

    app = typer.Typer(
        name="jobmaster",
        cls=Root,
        epilog=_EPILOG,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        **STYLE,
    )
    app.callback()(_options)
    return app


def _show_version(asked: bool) -> None:
    if asked:
        from jobmaster.version import __version__

        say(f"jobmaster {__version__}")
        raise typer.Exit


def _options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="JOBMASTER_DEBUG", help="Show the tracebacks of errors.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Background jobs across a cluster."""
    _ = debug, version


def main() -> None:
    """Run the command line; the console script `jobmaster`."""
    with reported_errors(debug="--debug" in sys.argv):
        try:
            build_app()()
        finally:
            flush()


__all__ = ["ExitCode", "build_app", "main"]
