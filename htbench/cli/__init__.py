"""The command line: one module per command or group of commands, registered here."""

import errno
import signal
import sys
from typing import Annotated

import typer

from htbench.cli import (
    check,
    diff,
    doctor,
    export,
    fetch,
    judge,
    listing,
    power,
    report,
    run,
    show,
    steer,
    study,
    time,
    train,
)
from htbench.core.errors import HtbenchError, Missing

_FILE_ERRORS = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.ENOTDIR,
)
"""Errors of the operating system that another folder or file mends."""


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from importlib import metadata

        typer.echo(f"htbench {metadata.version('htbench')}")
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Benchmark activation steering of text-to-image models: how good, and how much cheaper, "
    "is amortised steering?",
)


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None: ...


app.command()(run.run)
app.command()(report.report)
app.command("list")(listing.list_)
app.command()(show.show)
app.command()(fetch.fetch)
app.command()(diff.diff)
app.command()(export.export)
app.command()(doctor.doctor)
app.command()(steer.steer)
app.command()(train.train)
app.command()(time.time)
app.command()(judge.judge)
app.command()(power.power)
app.add_typer(check.app, name="check")
app.add_typer(study.app, name="study")


def main() -> None:
    """Entry point: a user's mistake ends in two lines on stderr and an exit code, a bug in a
    traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app(prog_name="htbench")
    except HtbenchError as error:
        _fail(error)
    except _Interrupted:
        sys.stderr.write(
            "htbench: interrupted; what was finished is kept\nThe same command continues.\n"
        )
        sys.exit(130)
    except OSError as error:
        _fail(_from_os_error(error))


class _Interrupted(BaseException):
    """Ctrl-C, as a class that the command-line library does not turn into exit code 1."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def _from_os_error(error: OSError) -> HtbenchError:
    """The machine's refusal in one line; raises `error` again if it is a bug instead."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Missing(
            "no space left on the disk; what was finished is kept",
            remedy="Make room; the same command continues.",
        )
    if error.errno in _FILE_ERRORS:
        return Missing(
            f"{error.strerror}: {str(error.filename)[:300]!r}",
            remedy="Choose another folder or file.",
        )
    raise error


def _fail(error: HtbenchError) -> None:
    from htbench.core.display import printable

    lines = [f"htbench: {error}", *([error.remedy] if error.remedy else [])]
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
    sys.exit(error.exit_code)
