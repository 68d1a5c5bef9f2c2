"""The page: every section's contents, put into the templates of `reports/page`."""

from dataclasses import asdict

from htbench.core.types import UNSTEERED
from htbench.report import commands, format, html
from htbench.report.gallery.grid import GalleryData
from htbench.report.once import once
from htbench.report.roles import find_roles
from htbench.report.sections import (
    claims,
    curves,
    equal_preservation,
    kinds,
    leaderboard,
    novelty,
    other_scores,
    people,
    provenance,
    speed,
    time,
    trust,
)
from htbench.report.sections import judges as judges_section
from htbench.report.sections import strengths as strengths_section
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.scorers.metric_table import METRIC_TABLE


def render(summary: Summary, gallery: GalleryData) -> str:
    """The page without what `html.fill_marks` puts into it; equal runs give equal text."""
    tones = _tones(summary)
    board = summary.leaderboard
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
            counts=_counts(summary),
            warnings=trust.warnings(summary),
            audits=trust.leakage_audits(summary),
            other_scorers=summary.by_scorer,
            tuned=summary.facts.tuned,
            metrics=METRICS,
            metric_table=METRIC_TABLE,
            headline=HEADLINE,
            board=board,
            full=next((line.strength for line in board if line.method != UNSTEERED), 0.0),
            ends={metric: leaderboard.shared_scale(board, metric) for metric in METRICS},
            seconds={cost.method: cost.concept for cost in summary.costs},
            costs=speed.collect(summary, tones),
            timesheet=time.collect(summary, tones),
            readings=other_scores.collect(summary),
            lines=lines,
            **_sections(summary),
            curves=curves.collect(lines, tones),
            kinds=kinds.collect(summary),
            macros={
                line.method: kinds.macro_mean(summary, line.method, line.strength) for line in board
            },
            matched=equal_preservation.collect(summary),
            basis=format.interval_basis(line.headline for line in board),
            cards=provenance.collect(summary),
            gallery={name: part for name, part in asdict(gallery).items() if name != "shards"},
        )
    )


def _sections(summary: Summary) -> dict[str, object]:
    """Values of the templates that depend on the roles of methods, by name."""
    roles = find_roles(summary, claims.load_claims()["paper"])
    judges, persons, strengths, new = (
        once(judges_section.collect)(summary),
        once(people.collect)(summary),
        strengths_section.collect(summary),
        novelty.collect(summary, roles),
    )
    return {
        "places": summary.ranks,
        "circular": [line.method for line in summary.leaderboard if line.circular],
        "verdict": leaderboard.conclusion(summary),
        "claims": claims.from_summary(summary),
        "judged": judges,
        "people": persons,
        "strength": strengths,
        "novelty": new,
        "modal": strengths_section.compare_modalities(summary, roles),
        "coverage": trust.coverage(summary),
        "parts": provenance.attributions(summary),
        "citations": provenance.citations(summary),
        "judging": commands.for_run(summary, "judge"),
        "asking": commands.for_run(summary, "study export"),
        "finer": commands.with_strengths(summary, 0, 0.25, 0.5, 0.75, 1),
    }


def _tones(summary: Summary) -> dict[str, int]:
    methods = dict.fromkeys([*summary.methods, *time.timed_methods(summary.store)])
    steering = [method for method in methods if method != UNSTEERED]
    return {method: k + 1 for k, method in enumerate(steering)}


def _counts(summary: Summary) -> dict[str, int]:
    ((made, prompts),) = summary.store.select(
        "SELECT count(file), count(DISTINCT prompt) FROM cells JOIN images ON key = image"
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
        "planned": summary.planned,
        "done": summary.done,
        "failed": failed,
        "pending": summary.planned - made - failed,
        "unscored": made - summary.done,
    }
