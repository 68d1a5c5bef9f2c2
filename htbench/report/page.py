"""The page: every section's contents, put into the templates of `reports`."""

from base64 import b64encode
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from htbench import chart, content, gallery, readings, sheet, timesheet, trust
from htbench.errors import UsageError
from htbench.leaderboard import HEADLINE, METRICS, Summary
from htbench.report import curves, headline, kinds, provenance, sections, speed, words
from htbench.store import Store

_NONE = "none"


def write(folder: Path) -> Path:
    """Render the run in `folder` to `folder/report.html`, with `leaderboard.csv`, `.json` and `.md` beside it, and return the page's path.

    Raises:
        Missing: if there is no run.
        UsageError: if the folder cannot be written.
    """
    path, fresh = folder / "report.html", folder / ".report.html"
    with Store.read(folder) as store:
        summary = Summary(store)
        page = render(summary)
        try:
            sheet.write(summary, folder)
            fresh.write_bytes(page.encode("utf-8", "replace"))  # text from JSON may hold half a surrogate pair
            fresh.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write report {str(path)!r}: {error.strerror}") from None
    return path


def render(summary: Summary) -> str:
    """The whole page; equal runs give equal text."""
    folder = content.folder("reports")
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    tones = _tones(summary)
    environment.filters.update(words.FILTERS)
    environment.globals.update(interval=chart.interval, swatch=lambda method: chart.swatch(tones.get(method, 0)), tone=lambda method: tones.get(method, 0))
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    board = summary.leaderboard
    lines = [line for method in summary.methods for strength in summary.strengths if (line := summary.line(method, strength)).planned]
    return environment.get_template("report.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'",
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
        gallery=asdict(gallery.collect(summary)),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


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
