"""The sections that a run has nothing for, each with the command that adds it."""

from collections.abc import Iterator
from dataclasses import dataclass

from htbench.report import commands
from htbench.report.once import once
from htbench.report.roles import Roles
from htbench.report.sections import judges, novelty, people
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class AbsentPart:
    """A part of the report that this run has nothing for."""

    title: str
    reason: str
    command: str


def collect(summary: Summary, roles: Roles, *, timed: bool, other_scores: bool) -> list[AbsentPart]:
    """The parts that are missing, in the order of the sections."""
    return [
        AbsentPart(title=title, reason=reason, command=command)
        for title, reason, command in _parts(summary, roles, timed, other_scores)
    ]


def _parts(
    summary: Summary, roles: Roles, timed: bool, other_scores: bool
) -> Iterator[tuple[str, str, str]]:
    can_be_run = not summary.facts.is_imported
    if can_be_run and not timed:
        yield "Time", "No times by the timing protocol.", commands.time(summary)
    if can_be_run and not summary.tuned:
        yield (
            "Chosen strengths",
            "No strength was chosen for each method on dev concepts.",
            commands.with_flag(summary, "--tune-strength"),
        )
    if can_be_run and not (roles.by_pictures and roles.by_words):
        yield (
            "Words and pictures",
            "No method was run both by words and by pictures.",
            commands.with_methods(summary, "hypertransport", "hypertransport-image"),
        )
    judged = once(judges.collect)(summary)
    if not (judged.results or judged.pointwise or judged.strengths or judged.problem):
        yield (
            "Judges",
            "No judge has compared the images in pairs.",
            commands.for_run(summary, "judge"),
        )
    found = once(people.collect)(summary)
    if not found.studies and not found.problems:
        yield (
            "People",
            "Nobody has compared the images in a study.",
            commands.for_run(summary, "study export"),
        )
    if not other_scores:
        yield (
            "Other scores",
            "No score beyond the leaderboard’s.",
            commands.for_run(summary, "score", "--scorer", "NAME"),
        )
    if can_be_run and not novelty.collect(summary, roles):
        yield (
            "Known and new words",
            "No method whose training words are known is ranked.",
            commands.with_methods(summary, "hypertransport"),
        )
