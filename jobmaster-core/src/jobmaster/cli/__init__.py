"""The command line. `main` is the console script `jobmaster`; `docs/reference/cli.md` describes it."""

from jobmaster.cli.app import build_app as build_app
from jobmaster.cli.app import main as main
from jobmaster.cli.exits import ExitCode as ExitCode
