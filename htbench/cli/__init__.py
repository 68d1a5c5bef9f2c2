"""The command line: one module a group of commands, registered here."""

import errno
import signal
import sqlite3
import sys

import typer

from htbench.cli import check, listing, report, run, steer, train
from htbench.errors import HtbenchError, Missing

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Benchmark activation steering of text-to-image models: how good, and how much cheaper, is amortised steering?",
)  # fmt: skip
app.command()(run.run)
app.command()(report.report)
app.command("list")(listing.list_)
app.add_typer(check.app, name="check")
app.command()(steer.steer)
app.command()(train.train)


def main() -> None:
    """Entry point: a user's mistake is two lines on stderr and an exit code, a bug is a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app(prog_name="htbench")
    except HtbenchError as error:
        _fail(error)
    except _Interrupted:
        sys.stderr.write("htbench: interrupted; what was finished is kept\nThe same command continues.\n")
        sys.exit(130)
    except (OSError, sqlite3.OperationalError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "full" not in str(error):
            raise
        _fail(Missing("no space left on the disk; what was finished is kept", remedy="Make room; the same command continues."))


class _Interrupted(BaseException):
    """Ctrl-C, under a name that the command-line library does not answer with exit code 1."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def _fail(error: HtbenchError) -> None:
    sys.stderr.write(f"htbench: {error}\n" + (f"{error.remedy}\n" if error.remedy else ""))
    sys.exit(error.exit_code)
