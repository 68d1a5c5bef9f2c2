"""Commands of htbench in this process, with the error that ends them."""

from dataclasses import dataclass

from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import HtbenchError


@dataclass(frozen=True)
class Ended:
    """The end of a command, as a user sees it."""

    code: int
    shown: str
    """All that it printed, and the two lines of its error."""


def issue(*words: str) -> Ended:
    """Carry out a command; a bug in it is raised."""
    answer = CliRunner().invoke(app, words, prog_name="htbench")
    error = answer.exception
    if isinstance(error, HtbenchError):
        lines = [f"htbench: {error}", *([error.remedy] if error.remedy else [])]
        return Ended(error.exit_code, answer.output + "\n".join(lines))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Ended(answer.exit_code, answer.output)
