"""The report: what a run found as one HTML file that needs no network, from its store alone."""

import json
import math
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from htbench import chart, content, gallery, readings, sheet, stats, timesheet, trust
from htbench.errors import UsageError
from htbench.leaderboard import HEADLINE, METRICS, Cost, Line, Summary
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
        page = _render(summary)
        try:
            sheet.write(summary, folder)
            fresh.write_bytes(page.encode("utf-8", "replace"))  # text from JSON may hold half a surrogate pair
            fresh.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write report {str(path)!r}: {error.strerror}") from None
    return path


def _render(summary: Summary) -> str:
    folder = content.folder("reports")
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    tones = _tones(summary)
    environment.filters.update(score=chart.score, duration=chart.duration, quantity=chart.quantity, plain=_plain, cite=_cite, strength=_strength)
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
        facts={name: _facts(summary, name) for name in ("plan", "environment", "model", "scorer", "concept_set")},
        command=str(summary.facts.get("command", "")),
        counts=_counts(summary),
        warnings=trust.warnings(summary),
        audits=trust.audits(summary),
        other_scorers=summary.by_scorer,
        tuned=_facts(summary, "tuned"),
        metrics=METRICS,
        headline=HEADLINE,
        board=board,
        full=next((line.strength for line in board if line.method != _NONE), 0.0),
        ends={metric: _ends(board, metric) for metric in METRICS},
        verdict=_verdict(board),
        seconds={cost.method: cost.concept for cost in summary.costs},
        costs=_costs(summary, tones),
        timesheet=timesheet.collect(summary, tones),
        readings=readings.collect(summary),
        lines=lines,
        curves=_curves(lines, tones),
        kinds=_kinds(summary),
        cards=[_card(method, _facts(summary, "methods")) for method in summary.methods],
        gallery=asdict(gallery.collect(summary)),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _tones(summary: Summary) -> dict[str, int]:
    methods = dict.fromkeys([*summary.methods, *timesheet.methods(summary.store)])
    steering = [method for method in methods if method != _NONE]
    return {method: k + 1 for k, method in enumerate(steering)}


def _facts(summary: Summary, name: str) -> dict[str, object]:
    return _mapping(summary.facts.get(name))


def _mapping(value: object) -> dict[str, object]:
    return {str(key): part for key, part in value.items()} if isinstance(value, dict) else {}


def _listing(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _strength(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _plain(value: object) -> str:
    """A fact in words."""
    if value is None or value in ("", [], {}):
        return "—"
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(_plain(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cite(text: str) -> Markup:
    """`text` with its addresses as links; all else in it is text."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    links = [Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if k % 2 else escape(part) for k, part in enumerate(parts)]
    return Markup("").join(links)


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


def _ends(board: Sequence[Line], metric: str) -> tuple[float, float]:
    """The scale that a column's intervals share."""
    values = [value for line in board if (score := line.scores[metric]) for value in (score.mean, score.low, score.high) if math.isfinite(value)]
    return min(values, default=0.0), max(values, default=1.0)


def _verdict(board: Sequence[Line]) -> str:
    """What the intervals of the headline allow to be said."""
    ranked = [(line.method, score) for line in board if line.method != _NONE and not line.circular and (score := line.scores[HEADLINE])]
    if len(ranked) < 2:
        return ""
    if len({score.n for _, score in ranked}) > 1:
        return "The methods are not scored on the same number of concepts yet, so nothing can be said about which is better."
    (first, best), *others = ranked
    if any(not math.isfinite(score.low) for _, score in ranked):
        return "One concept gives no interval, so nothing can be said about which method is better."
    close = [method for method, score in others if score.high >= best.low]
    if close:
        names, both = ", ".join(close), "them" if len(close) > 1 else "the two"
        return f"{first} has the highest mean concept gain, but its interval overlaps that of {names}: this run does not tell {both} apart."
    return f"{first} has the highest concept gain, and its interval lies above every other method’s."


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """The section on speed."""

    reference: str | None
    fit: stats.Spread | None
    """c: seconds a concept of the reference."""
    generate: stats.Spread | None
    rows: list[tuple[Cost, list[tuple[str, str]]]]
    """Each method with S, S(1), S(10) and S(100): the ratio, and its numerator and denominator."""
    chart: Markup
    trained: list[tuple[Cost, stats.Amortisation]]


def _costs(summary: Summary, tones: dict[str, int]) -> _Costs:
    costs = [cost for cost in summary.costs if cost.method != _NONE]
    timed = [(cost, cost.concept) for cost in costs if cost.concept]
    savings = [(cost, cost.amortisation) for cost in costs if cost.amortisation]
    crossings = [(cost, saving) for cost, saving in savings if math.isfinite(saving.break_even) and saving.break_even >= 1]
    x = chart.counts("concepts steered", min(1e7, max((10 * saving.break_even for _, saving in crossings), default=100.0)))
    steps = [x.high ** (k / 64) for k in range(65)]
    series = [
        chart.Series(
            name=cost.method,
            tone=tones[cost.method],
            points=[chart.Point(x=step, y=cost.training + step * concept.median) for step in steps],
            bare=True,
        )
        for cost, concept in timed
    ]
    marks = [
        chart.Point(x=saving.break_even, y=saving.break_even * saving.fit, label=f"N* = {chart.quantity(saving.break_even)}", note=f"{cost.method} has paid")
        for cost, saving in crossings
    ]
    y = chart.clock("total time", [point.y for one in series for point in one.points])
    return _Costs(
        reference=summary.slowest,
        fit=next((cost.concept for cost in costs if cost.method == summary.slowest), None),
        generate=stats.spread(summary.store.image_seconds()),
        rows=[(cost, _ratios(cost.amortisation) if cost.amortisation else []) for cost in costs],
        chart=chart.lines(series, title="Total time against the number of concepts, both logarithmic", x=x, y=y, marks=marks),
        trained=[(cost, saving) for cost, saving in savings if saving.training > 0 and saving.predict > 0],
    )


def _ratios(saving: stats.Amortisation) -> list[tuple[str, str]]:
    found = []
    for images in (0, 1, 10, 100):
        above, below = saving.fit + images * saving.generate, saving.predict + images * saving.generate
        ratio = f"{chart.quantity(saving.speedup(images))}×" if below else "—"
        found.append((ratio, f"{chart.duration(above)} / {chart.duration(below)}"))
    return found


def _curves(lines: Sequence[Line], tones: dict[str, int]) -> list[tuple[str, Markup]]:
    """The charts over strengths, each with its heading."""
    return [
        ("Concept gain against image preservation", _curve(lines, tones, "image_preservation", HEADLINE)),
        ("Concept gain against prompt preservation", _curve(lines, tones, "prompt_preservation", HEADLINE)),
        ("Presence against strength", _curve(lines, tones, "", "presence")),
    ]


def _curve(lines: Sequence[Line], tones: dict[str, int], across: str, up: str) -> Markup:
    """`up` against `across`, or against the strength where that is empty; a line a method."""
    found: dict[str, list[chart.Point]] = {}
    for line in lines:
        over, height = line.scores.get(across), line.scores[up]
        if height and (over or not across):
            note = f"{line.method}, strength {_strength(line.strength)}: {METRICS[up].lower()} {chart.score(height.mean)}"
            found.setdefault(line.method, []).append(
                chart.Point(
                    x=over.mean if over else line.strength,
                    y=height.mean,
                    label=_strength(line.strength) if across else "",
                    note=f"{note}, {METRICS[across].lower()} {chart.score(over.mean)}" if over else note,
                    x_range=(over.low, over.high) if over else None,
                    y_range=(height.low, height.high),
                )
            )
    points = [point for several in found.values() for point in several]
    x = chart.linear(METRICS.get(across, "Strength"), [value for point in points for value in (point.x, *(point.x_range or ()))])
    y = chart.linear(METRICS[up], [value for point in points for value in (point.y, *(point.y_range or ()))])
    series = [chart.Series(name=method, tone=tones.get(method, 0), points=several) for method, several in found.items()]
    return chart.lines(series, title=f"{y.label} against {x.label.lower()}, one line a method", x=x, y=y)


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """Concept gain of every method on one kind of concept at the leaderboard's strength."""

    name: str
    concepts: int
    gains: dict[str, stats.Estimate | None]
    scored: int
    planned: int
    """Cells."""


def _kinds(summary: Summary) -> list[_Kind]:
    kinds = {name: label.kind for name, label in gallery.labels(summary).items()}
    found: dict[str, _Kind] = {}
    for (method, strength, concept), planned in summary.planned_cells.items():
        if method == _NONE or strength != summary.full:
            continue
        name = kinds[concept]
        kind = found.get(name, _Kind(name=name, concepts=0, gains={}, scored=0, planned=0))
        done = summary.done_cells.get((method, strength, concept), 0)
        found[name] = replace(kind, scored=kind.scored + done, planned=kind.planned + planned)
    for name, kind in found.items():
        concepts = {concept for concept, its in kinds.items() if its == name}
        gains = {
            method: stats.over_concepts({concept: value for concept, value in summary.values(method, summary.full, HEADLINE).items() if concept in concepts})
            for method in summary.methods
            if method != _NONE
        }
        found[name] = replace(kind, concepts=len(concepts), gains=gains)
    return sorted(found.values(), key=lambda one: one.name)


@dataclass(frozen=True, kw_only=True)
class _Card:
    """A method as it was run."""

    method: str
    summary: str
    paper: str
    bibtex: str
    digest: str
    settings: dict[str, object]
    published: list[dict[str, object]]
    seconds: float
    """Of training; NaN where it is not known."""
    device: str
    concepts: list[object]
    encoders: list[object]


def _card(method: str, methods: dict[str, object]) -> _Card:
    card = _mapping(methods.get(method))
    training = _mapping(card.get("training"))
    return _Card(
        method=method,
        summary=str(card.get("summary") or ""),
        paper=str(card.get("paper") or ""),
        bibtex=str(card.get("bibtex") or ""),
        digest=str(card.get("digest") or ""),
        settings=_mapping(card.get("settings")),
        published=[_mapping(figure) for figure in _listing(card.get("published"))],
        seconds=_number(training.get("seconds")),
        device=str(training.get("device") or ""),
        concepts=_listing(training.get("concepts")),
        encoders=_listing(training.get("encoders")),
    )
