"""The page: every section's contents, put into the templates of `reports/page`."""

from dataclasses import asdict, dataclass

from htbench.core.types import UNSTEERED
from htbench.report import commands, format, html
from htbench.report.gallery.grid import GalleryData
from htbench.report.once import once
from htbench.report.roles import find_roles
from htbench.report.sections import (
    absent,
    claims,
    curves,
    equal_preservation,
    headline,
    kinds,
    leaderboard,
    losses,
    novelty,
    other_scores,
    people,
    provenance,
    rankings,
    requested,
    speed,
    strength_ranges,
    strength_scales,
    task_tables,
    thumbnails,
    time,
    trust,
    wording,
)
from htbench.report.sections import judges as judges_section
from htbench.report.sections import strengths as strengths_section
from htbench.report.sections import task as task_section
from htbench.report.sections.claims.wording import by_construction
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.scorers.metric_table import METRIC_TABLE


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page; its title is the same in the navigation."""

    id: str
    title: str

    @property
    def template(self) -> str:
        """The file name of its template."""
        return f"{self.id.replace('-', '_')}.html"


def render(summary: Summary, gallery: GalleryData) -> str:
    """The page without what `html.fill_marks` puts into it; equal runs give equal text."""
    tones = method_tones(summary)
    lines = [
        line
        for method in summary.methods
        for strength in summary.strengths
        if (line := summary.leaderboard_row(method, strength)).planned
    ]
    return (
        html.templates(tones)
        .get_template("report.html")
        .render(
            summary=summary,
            facts={
                name: getattr(summary.facts, name).stored
                for name in ("plan", "environment", "model", "scorer", "concept_set")
            },
            command=summary.facts.command,
            sessions=summary.facts.sessions,
            counts=_counts(summary),
            warnings=trust.warnings(summary),
            audits=trust.leakage_audits(summary),
            other_scorers=summary.by_scorer,
            tuned=summary.facts.tuned,
            metrics=summary.metrics,
            metric_table=[metric for metric in METRIC_TABLE if metric.name in summary.metrics],
            headline=summary.headline,
            headline_title=METRICS[summary.headline],
            full=summary.full_strength,
            costs=speed.collect(summary, tones),
            lines=lines,
            **_leaderboard(summary, gallery),
            **_sections(summary, tones),
            curves=curves.collect(lines, tones),
            kinds=kinds.collect(summary),
            macros={
                method: kinds.macro_mean(summary, method, summary.full_strength)
                for method in summary.methods
            },
            cards=provenance.collect(summary),
            gallery={name: part for name, part in asdict(gallery).items() if name != "shards"},
        )
    )


def _leaderboard(summary: Summary, gallery: GalleryData) -> dict[str, object]:
    """Values of the templates of the leaderboard, by name."""
    board = summary.leaderboard
    return {
        "board": board,
        "places": summary.ranks,
        "verdict": leaderboard.conclusion(summary),
        "rankings": rankings.collect(summary),
        "matched": equal_preservation.collect(summary),
        "ends": {metric: leaderboard.shared_scale(board, metric) for metric in summary.metrics},
        "seconds": summary.times,
        "papers": provenance.paper_links(summary),
        "circular": [line.method for line in board if line.circular],
        "basis": format.interval_basis(line.headline for line in board),
        "basis_count": next(
            (format.concept_count(line.headline) for line in board if line.headline),
            f"{summary.concepts:,} concepts",
        ),
        "thumbnails": None
        if task_section.collect(summary)
        else thumbnails.collect(summary, gallery),
    }


def _sections(summary: Summary, tones: dict[str, int]) -> dict[str, object]:
    """Values of the templates that depend on the roles of methods, by name."""
    roles = find_roles(summary, claims.load_claims()["paper"])
    judged, persons = once(judges_section.collect)(summary), once(people.collect)(summary)
    timesheet, readings = time.collect(summary, tones), other_scores.collect(summary)
    imported, task = summary.facts.is_imported, task_section.collect(summary)
    shown = {
        "leaderboard": "Leaderboard" if summary.planned or not timesheet else "",
        "gallery": "Gallery",
        "claims": "Claims" if not imported and (summary.planned or not timesheet) else "",
        "speed": "Speed-up" if not imported and (summary.planned or not timesheet) else "",
        "time": "Time" if timesheet else "",
        "strengths": "Strengths" if HEADLINE in summary.metrics else "",
        "requested": "Requested and obtained" if requested.collect(summary) else "",
        "losses": "What is lost" if losses.collect(summary) else "",
        "wording": "Wording" if wording.collect(summary) else "",
        "judges": "Judges"
        if judged.results or judged.pointwise or judged.strengths or judged.problem
        else "",
        "people": "People" if persons.studies or persons.problems else "",
        "other-scores": "Other scores" if readings else "",
        "kinds": "Kinds",
        "trust": "Trust",
        "provenance": "Provenance",
    }
    if task:  # the others compare methods that add concepts
        kept = ("gallery", "time", "other-scores", "trust", "provenance")
        own = {"task": f"Task {task.task.name}"}
        shown = own | {name: shown[name] for name in kept}
    return {
        "sections": [Section(id=name, title=title) for name, title in shown.items() if title],
        "absent": []
        if task
        else absent.collect(
            summary, roles, timed=timesheet is not None, other_scores=bool(readings)
        ),
        "task": task,
        "task_tables": task_tables.collect(summary),
        "cards_of_headline": [] if task else headline.collect(summary, roles),
        "claims": claims.from_summary(summary),
        "model_text": provenance.about_model(summary),
        "small_model": provenance.is_small(summary),
        "timesheet": timesheet,
        "paper_columns": time.PAPER_COLUMNS,
        "readings": readings,
        "requested": requested.collect(summary),
        "losses": losses.collect(summary),
        "worst": losses.worst_pictures(summary),
        "judged": judged,
        "people": persons,
        "strength": strengths_section.collect(summary),
        "strength_range": strength_ranges.collect(summary),
        "strength_scale": strength_scales.collect(summary),
        "novelty": novelty.collect(summary, roles),
        "wordings": wording.collect(summary),
        "construction": by_construction(summary.facts.model.name),
        "tones": tones,
        "modal": strengths_section.compare_modalities(summary, roles),
        "coverage": trust.coverage(summary),
        "blank": any(any(flaws.values()) for flaws in summary.blank_images.values()),
        "parts": provenance.attributions(summary),
        "citations": provenance.citations(summary),
        "timing": commands.time(summary),
        "judging": commands.for_run(summary, "judge"),
        "asking": commands.for_run(summary, "study export"),
        "finer": commands.with_strengths(summary, 0, 0.25, 0.5, 0.75, 1),
    }


def method_tones(summary: Summary) -> dict[str, int]:
    """The tone of each method, in the order of the plan; `none` has the neutral one."""
    methods = dict.fromkeys([*summary.methods, *time.timed_methods(summary.store)])
    steering = [method for method in methods if method != UNSTEERED]
    return {method: k + 1 for k, method in enumerate(steering)}


def _counts(summary: Summary) -> dict[str, int]:
    ((made, prompts, images),) = summary.store.select(
        """SELECT count(file), count(DISTINCT prompt), count(DISTINCT image)
           FROM cells JOIN images ON key = image"""
    )
    ((seeds,),) = summary.store.select(
        "SELECT max(n) FROM (SELECT count(DISTINCT seed) AS n FROM cells GROUP BY prompt)"
    )
    failed = sum(problem.cells for problem in summary.failures)
    return {
        "methods": len(summary.methods),
        "concepts": summary.concepts,
        "prompts": prompts,
        "seeds": seeds or 0,
        "images": images,
        "planned": summary.planned,
        "done": summary.done,
        "failed": failed,
        "pending": summary.planned - made - failed,
        "unscored": made - summary.done,
    }
