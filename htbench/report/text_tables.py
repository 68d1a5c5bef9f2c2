"""The tables of a run that papers and notes show: leaderboard, speed-up and claims, as text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.sections import claims, task, wording
from htbench.report.sections.task import TaskSection
from htbench.report.sections.wording import WordingRow, WordingSection
from htbench.report.speed_up import COLUMNS, saving_cells_with_intervals
from htbench.run.export import new_folder
from htbench.run.summary import METRICS, LeaderboardRow, Summary
from htbench.steering.wording import CANONICAL

TextFormat = Literal["latex", "markdown"]
_SUFFIXES: dict[TextFormat, str] = {"latex": "tex", "markdown": "md"}
_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "–": "--",
    "—": "---",
    "µ": r"\textmu{}",
    "’": "'",
}
_MARKDOWN = re.compile(r"([\\`*_|<>]|\[(?=[^\]]*\]\())")


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table whose cells are text; the first column is of names."""

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float] = ()
    """Widths of columns as shares of the line, for cells that are sentences."""

    def to_markdown(self) -> str:
        """The table in Markdown, with its caption below."""
        align = "---" if self.widths else "--:"
        lines = [
            [_markdown(cell) for cell in self.head],
            ["---", *[align] * (len(self.head) - 1)],
            *([_markdown(cell) for cell in row] for row in self.rows),
        ]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{self.caption}\n"

    def to_latex(self) -> str:
        """The table in LaTeX as a float over both columns, by the package booktabs."""
        columns = "".join(f"p{{{width:g}\\linewidth}}" for width in self.widths) or "l" + "r" * (
            len(self.head) - 1
        )
        head, *rows = (" & ".join(map(_latex, line)) + r" \\" for line in [self.head, *self.rows])
        lines = [
            "% needs \\usepackage{booktabs}",
            r"\begin{table*}[t]",
            r"\centering\small",
            rf"\caption{{{_latex(self.caption)}}}",
            rf"\label{{tab:{self.name}}}",
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            *(r"\toprule", head, r"\midrule", *rows, r"\bottomrule"),
            r"\end{tabular}",
            r"\end{table*}",
        ]
        return "\n".join(lines) + "\n"


def write(summary: Summary, folder: Path, text_format: TextFormat) -> list[Path]:
    """Write the tables to the new or empty `folder`, whole or not at all; return the files.

    Raises:
        UsageError: if the folder holds something or cannot be written.
        Missing: if the disk is full.
    """
    of_task = task.collect(summary)
    tables = [_task(summary, of_task) if of_task else _leaderboard(summary)]
    if not (summary.facts.is_imported or of_task):
        tables += [_speed(summary), _claims(summary)]
    if section := wording.collect(summary):
        tables += [_wording(summary, section, metric) for metric in wording.WORDING_METRICS]
    names = []
    with new_folder(folder) as fresh:
        for table in tables:
            text = table.to_latex() if text_format == "latex" else table.to_markdown()
            names.append(f"{table.name}.{_SUFFIXES[text_format]}")
            (fresh / names[-1]).write_bytes(text.encode("utf-8", "replace"))
    return [folder / name for name in names]


def _task(summary: Summary, section: TaskSection) -> TextTable:
    head, rows = task.text_rows(summary, section)
    caption = f"{section.task.about} {_selection(summary)} Mean [95 % interval]."
    return TextTable(
        name="leaderboard",
        caption=" ".join([caption, f"Ranked by {section.ranked_by}.", *task.notes(section)]),
        head=head,
        rows=rows,
    )


def _leaderboard(summary: Summary) -> TextTable:
    def row(line: LeaderboardRow) -> list[str]:
        rank = summary.ranks.get(line.method) if summary.ranks else None
        time = summary.times.get(line.method) if line.method != UNSTEERED else None
        scores = (
            format.estimate(line.scores[metric], format.score, missing="—")
            for metric in summary.metrics
        )
        took = [format.duration(time.median) if time else "—"] if summary.timed else []
        return [line.method, rank.rank_range if rank else "—", *scores, *took]

    basis = format.interval_basis(line.headline for line in summary.leaderboard)
    return TextTable(
        name="leaderboard",
        caption=f"{_selection(summary)} Mean [95 % interval] at full strength. {basis}".strip(),
        head=[
            "Method",
            "Rank",
            *summary.metrics.values(),
            *([f"Time per {summary.timed}"] if summary.timed else []),
        ],
        rows=[row(line) for line in summary.leaderboard],
    )


def _speed(summary: Summary) -> TextTable:
    return TextTable(
        name="speed",
        caption=f"{_selection(summary)} S is the time of the fit over that of the prediction, "
        "S(m) the same with m images of the concept, and N* the number of concepts from which "
        "training costs less in total.",
        head=["Method", "Compared with", "Prediction", "Fit", *COLUMNS],
        rows=[
            [
                cost.method,
                f"{comparison.fit_name} ({comparison.rule})",
                format.duration(comparison.saving.point_estimate.predict),
                format.duration(comparison.saving.point_estimate.fit),
                *(
                    f"{cell.value} [{cell.interval}]" if cell.interval else cell.value
                    for cell in saving_cells_with_intervals(comparison.saving)
                ),
            ]
            for cost in summary.costs
            for comparison in cost.comparisons
        ],
    )


def _claims(summary: Summary) -> TextTable:
    section = claims.from_summary(summary)
    return TextTable(
        name="claims",
        caption=f"Claims of {section.name} and what this run found. {_selection(summary)}",
        head=["Claim", "Verdict", "Evidence"],
        rows=[[claim.claim, claim.verdict, claim.reason] for claim in section.claims],
        widths=(0.3, 0.12, 0.5),
    )


def _wording(summary: Summary, section: WordingSection, metric: str) -> TextTable:
    def cells(row: WordingRow) -> list[str]:
        own = row.scores[metric]
        score = format.estimate(own.score if own else None, format.score, missing="—")
        if row.wording == CANONICAL:
            return [score]
        if row.treatment != "given":
            return [score, {"same": "the same", "absent": "not read"}[row.treatment]]
        change = own.change if own else None
        return [score, format.estimate(change, partial(format.score, signed=True), missing="—")]

    others = [wording for wording in section.wordings if wording != CANONICAL]
    return TextTable(
        name=f"wording-{metric.replace('_', '-')}",
        caption=f"{METRICS[metric]} by wording. {_selection(summary)} A change is the score in the "
        "wording minus that in canonical words, by concept.",
        head=["Method", "Canonical", *(part for each in others for part in (each, "Change"))],
        rows=[
            [
                name,
                *(part for each in section.wordings for part in cells(section.row(name, each))),
            ]
            for name in section.methods
        ],
    )


def _selection(summary: Summary) -> str:
    """The model and the concepts of the run, in a sentence."""
    facts = summary.facts
    model, concepts = (
        format.plain(fact.stored.get("name")) for fact in (facts.model, facts.concept_set)
    )
    scorer = f", {METRICS[summary.headline].lower()} by {summary.scorer}" if summary.scorer else ""
    return f"Model {model}, {summary.concepts} concepts of {concepts}{scorer}."


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
