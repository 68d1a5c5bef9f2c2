"""`htbench.run`: what the command `htbench run` does, from Python."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from htbench import report
from htbench.bundles import against as newcomers
from htbench.core import secrets
from htbench.core.display import Display
from htbench.core.errors import Incomplete, UsageError
from htbench.results.run_result import RunResult
from htbench.run import plan as plans
from htbench.run import settings as plan_settings
from htbench.run.finished import is_finished
from htbench.run.plan import Plan, ResolvedPlan, RunOptions
from htbench.run.run_folder import find_folder

_OPTIONS = {
    "methods": "method",
    "strengths": "strength",
    "scorers": "scorer",
    "model_options": "model-option",
}
"""Options of the command line whose names are not those of their settings."""


def run(
    plan: str | os.PathLike[str] | None = None,
    *,
    against: str | os.PathLike[str] | None = None,
    verbose: bool = False,
    **settings: object,
) -> RunResult:
    """Run methods on concepts, score the images and write the report.

    What a run has already is not made again: the same call continues where the last one stopped.

    Args:
        plan: a shipped plan such as `quickstart`, or the path of a TOML file; None: the defaults.
        against: a bundle of a finished run; the methods are run as it was, and the result has the
            bundle's rows and theirs. Without `plan`.
        verbose: say on stderr what is being done.
        settings: the settings of plans and of runs, which override those of the plan, such as
            `methods=["prompt", "lineas"]`, `strengths=[0, 0.5, 1]`, `limit=4`, `task="remove"`,
            `device="cpu"` or `name="mine"`.

    Raises:
        UnknownName: for a setting, a method or anything else that does not exist.
        HtbenchError: for whatever else a user can mend; what was done until then is kept.
    """
    given = None if plan is None else os.fspath(plan)
    values = {name: _plain(value) for name, value in settings.items()}
    layers = (
        plans.read(given) if given else {},
        plan_settings.environment(os.environ, Plan, RunOptions),
        values,
    )
    options, display = plans.run_options(*layers), Display(verbose=verbose)
    command = _command(given, values if against is None else {"against": str(against), **values})
    if against is not None:
        if given:
            raise UsageError(
                "a plan and a bundle are given, and a newcomer is run as the bundle was",
                remedy="Leave the plan out.",
            )
        newcomer = newcomers.prepare(Path(against), layers, options)
        with newcomers.seeding(newcomer):
            return _run(
                newcomer.plan,
                newcomer.folder,
                options,
                display=display,
                command=command,
                against=newcomer.sha256,
            )
    place = find_folder(plans.build(*layers), options, given=given)
    if place.note:
        display.note(place.note)
    resolved = plans.resolve(place.plan)
    return _run(resolved, place.folder, options, display=display, command=command)


def _run(
    plan: ResolvedPlan,
    folder: Path,
    options: RunOptions,
    *,
    display: Display,
    command: str,
    against: str = "",
) -> RunResult:
    result = RunResult(folder=folder)
    if not is_finished(plan, folder, options, against=against):
        from htbench.run import runner  # imports torch

        try:
            runner.run_resolved(
                plan, folder, options, display=display, command=command, against=against
            )
        except Incomplete:
            report.write(folder)
            raise
    result.report()
    return result


def _plain(value: object) -> object:
    """The value as a plan file has it: lists for sequences, and floats for strengths."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _command(plan: str | None, settings: Mapping[str, object]) -> str:
    """The command line that does the same."""
    words = ["htbench", "run", *([plan] if plan else [])]
    for name, value in settings.items():
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        if name == "strengths" and isinstance(value, list):
            words += [option, ",".join(f"{each:g}" for each in value)]
        elif isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif value is not None:
            values = value if isinstance(value, list) else [value]
            words += [word for each in values for word in (option, str(each))]
    return secrets.scrub(shlex.join(words))
