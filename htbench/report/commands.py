"""Commands to run next: the command of a run with more methods or strengths, or on its folder."""

import shlex
from collections.abc import Sequence

from htbench.run.summary import Summary
from htbench.steering.wording import WORDINGS, Wording


def with_methods(summary: Summary, *more: str) -> str:
    """The command of the run with more methods."""
    methods = dict.fromkeys((*summary.facts.plan.methods, *more))
    return _with(summary, "--method", list(methods))


def with_strengths(summary: Summary, *more: float) -> str:
    """The command of the run with more strengths."""
    strengths = sorted({*(summary.facts.plan.strengths or []), *more})
    return _with(summary, "--strength", [",".join(f"{value:g}" for value in strengths)])


def with_wordings(summary: Summary, *more: Wording) -> str:
    """The command of the run with more wordings."""
    named = {*summary.facts.plan.wording, *more}
    wordings = [wording for wording in WORDINGS if wording in named]
    return _with(summary, "--wording", [",".join(wordings)])


def with_flag(summary: Summary, flag: str) -> str:
    """The command of the run with a flag."""
    return f"{summary.facts.command or 'htbench run'} {flag}"


def for_run(summary: Summary, command: str, *options: str) -> str:
    """A command that takes the run's folder."""
    return shlex.join(["htbench", *command.split(), summary.store.folder.name or "RUN", *options])


def time(summary: Summary) -> str:
    """The command that times the methods of the run by the protocol, into the run."""
    model, name = summary.facts.model.name or "MODEL", summary.store.folder.name or "RUN"
    return shlex.join(["htbench", "time", "--model", model, "--name", name])


def _with(summary: Summary, option: str, values: Sequence[str]) -> str:
    try:
        parts = shlex.split(summary.facts.command or "htbench run")
    except ValueError:
        parts = ["htbench", "run"]
    kept = [
        part
        for k, part in enumerate(parts)
        if part != option
        and not part.startswith(f"{option}=")
        and not (k and parts[k - 1] == option)
    ]
    return shlex.join([*kept, *(part for value in values for part in (option, value))])
