"""The page: every section's contents, put into the templates of `reports`."""

from dataclasses import asdict

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from htbench import chart, content, readings, timesheet, trust
from htbench.gallery import Gallery
from htbench.leaderboard import HEADLINE, METRICS, Summary
from htbench.report import curves, headline, kinds, provenance, sections, shell, speed, words

_NONE = "none"


def render(summary: Summary, found: Gallery) -> str:
    """The whole page but for what `shell.bind` puts into it; equal runs give equal text."""
    folder = content.folder("reports")
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    tones = _tones(summary)
    environment.filters.update(words.FILTERS)
    environment.globals.update(interval=chart.interval, swatch=lambda method: chart.swatch(tones.get(method, 0)), tone=lambda method: tones.get(method, 0))
    board = summary.leaderboard
    lines = [line for method in summary.methods for strength in summary.strengths if (line := summary.line(method, strength)).planned]
    return environment.get_template("report.html").render(
        style=shell.style(),
        policy=shell.POLICY,
        data=shell.DATA,
        switch=shell.SWITCH,
        summary=summary,
        facts={name: words.mapping(summary.facts.get(name)) for name in ("plan", "environment", "model", "scorer", "concept_set")},
        command=str(summary.facts.get("command", "")),
        counts=_counts(summary),
        warnings=trust.warnings(summary),
        audits=trust.audits(summary),
        other_scorers=summary.by_scorer,
        tuned=words.mapping(summary.facts.get("tuned")),
        metrics=METRICS,
        headline=HEADLINE,
        board=board,
        full=next((line.strength for line in board if line.method != _NONE), 0.0),
        ends={metric: headline.ends(board, metric) for metric in METRICS},
        seconds={cost.method: cost.concept for cost in summary.costs},
        costs=speed.collect(summary, tones),
        timesheet=timesheet.collect(summary, tones),
        readings=readings.collect(summary),
        lines=lines,
        **sections.collect(summary, tones),
        curves=curves.collect(lines, tones),
        kinds=kinds.collect(summary),
        cards=provenance.collect(summary),
        gallery={name: part for name, part in asdict(found).items() if name != "shards"},
    )


def _tones(summary: Summary) -> dict[str, int]:
    methods = dict.fromkeys([*summary.methods, *timesheet.methods(summary.store)])
    steering = [method for method in methods if method != _NONE]
    return {method: k + 1 for k, method in enumerate(steering)}


def _counts(summary: Summary) -> dict[str, int]:
    ((made, prompts),) = summary.store.select("SELECT count(file), count(DISTINCT prompt) FROM cells JOIN images ON key = image")
    ((seeds,),) = summary.store.select("SELECT max(n) FROM (SELECT count(DISTINCT seed) AS n FROM cells GROUP BY prompt)")
    failed = sum(problem.cells for problem in summary.problems)
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
