"""What a reader must know before the numbers: leaks, circular scores, pictures of nothing, smaller batches."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from htbench.core.types import encoder_name
from htbench.run.summary import METRICS, Summary


@dataclass(frozen=True, kw_only=True)
class LeakageRow:
    """A leakage audit, as it was recorded, and the methods that all have this one."""

    methods: list[str]
    trained_on: int
    exact: list[str]
    normalised: list[str]
    near: list[tuple[str, str, float]]
    """Evaluated concept, training concept, cosine."""
    nearest: float
    encoder: str


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Cells of one method at all strengths; the denominator is always what was planned."""

    method: str
    planned: int
    made: int
    """With an image."""
    scored: int
    """With all scores of the headline's scorer."""
    failed: dict[str, int] = field(default_factory=dict)
    """Without an image after a try, by the kind of failure."""

    @property
    def pending(self) -> int:
        """Not tried yet."""
        return self.planned - self.made - sum(self.failed.values())


def warnings(summary: Summary) -> list[str]:
    """Sentences for the top of a report, missing cells left out."""
    return [
        *_circular(summary),
        *_leaks(summary),
        *_blank_images(summary),
        *_reduced_batches(summary),
        *_strength(summary),
        *_mixed_environments(summary),
    ]


def leakage_audits(summary: Summary) -> list[LeakageRow]:
    """The audits of the methods that were trained on concepts."""
    found: list[LeakageRow] = []
    for method, card in _mapping(summary.facts.get("methods")).items():
        audit = _mapping(_mapping(card).get("audit"))
        if audit:
            near = [
                (
                    str(pair.get("evaluated")),
                    str(pair.get("trained")),
                    float(pair.get("cosine") or 0),
                )
                for pair in map(_mapping, audit.get("near") or [])
            ]
            line = LeakageRow(
                methods=[method],
                trained_on=int(audit.get("trained_on") or 0),
                exact=list(map(str, audit.get("exact") or [])),
                normalised=list(map(str, audit.get("normalised") or [])),
                near=near,
                nearest=float(audit.get("nearest") or 0),
                encoder=str(audit.get("encoder") or ""),
            )
            same = next(
                (known for known in found if replace(known, methods=line.methods) == line), None
            )
            if same:
                same.methods.append(method)
            else:
                found.append(line)
    return found


def coverage(summary: Summary) -> list[Coverage]:
    """Of every method, in the order of the plan."""
    failed: dict[str, dict[str, int]] = {method: {} for method in summary.methods}
    query = "SELECT method, kind, count(*) FROM cells JOIN images ON key = image JOIN failures USING (key) WHERE file IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
    for method, kind, cells in summary.store.select(query):
        failed[method][kind] = cells
    scored = "SELECT cell FROM scores WHERE encoder = ? GROUP BY cell HAVING count(value) >= ?"
    query = f"""SELECT method, count(*), count(file), count(CASE WHEN file IS NOT NULL THEN done.cell END)
                FROM cells JOIN images ON key = image LEFT JOIN ({scored}) AS done ON done.cell = id GROUP BY 1"""
    rows = {
        method: found
        for method, *found in summary.store.select(query, summary.scorer, len(METRICS))
    }
    return [
        Coverage(
            method=method,
            planned=rows[method][0],
            made=rows[method][1],
            scored=rows[method][2],
            failed=failed[method],
        )
        for method in summary.methods
    ]


def _circular(summary: Summary) -> list[str]:
    scorer = encoder_name(summary.scorer)
    text = "{} was conditioned on {}, the encoder that scores here: its scores are circular and say little about what people see, so it is not ranked."
    return [text.format(method, scorer) for method in summary.circular_methods(summary.scorer)]


def _leaks(summary: Summary) -> list[str]:
    found = []
    for method, card in _mapping(summary.facts.get("methods")).items():
        leaked = _mapping(card).get("leaked")
        if isinstance(leaked, list) and leaked:
            names = ", ".join(map(str, leaked[:12])) + (", …" if len(leaked) > 12 else "")
            found.append(
                f"LEAK ALLOWED: {method} was trained on {len(leaked)} of the concepts that it is evaluated on: {names}."
            )
    return found


def _blank_images(summary: Summary) -> list[str]:
    kinds = {"nan": "NaN in {}", "black": "{} black", "constant": "{} of one flat colour"}
    found = []
    for method, flaws in summary.blank_images.items():
        if parts := [
            kinds[flaw].format(f"{number:,}")
            for flaw, number in flaws.items()
            if number and flaw in kinds
        ]:
            found.append(
                f"Of the images of {method}, some show nothing: {', '.join(parts)}. Those that could be written are scored like all others."
            )
    return found


def _reduced_batches(summary: Summary) -> list[str]:
    planned = _mapping(summary.facts.get("plan")).get("batch")
    ((smaller, least),) = summary.store.select(
        "SELECT count(*), min(batch) FROM images WHERE batch < ? AND file IS NOT NULL", planned
    )
    return (
        [
            f"{smaller:,} images were made in batches of down to {least}, not {planned}, because memory ran out: last digits may differ."
        ]
        if smaller
        else []
    )


def _strength(summary: Summary) -> list[str]:
    if not summary.strengths or 1.0 in summary.strengths:
        return []
    shown = f"{summary.full_strength:g}".replace("-", "−")
    return [
        f"The plan has no strength 1: the leaderboard is at strength {shown}, the largest there is."
    ]


def _mixed_environments(summary: Summary) -> list[str]:
    surroundings = _mapping(summary.facts.get("environment")) if "sources" in summary.facts else {}
    differing = [
        name
        for name in ("cpu", "threads", "device", "torch")
        if isinstance(surroundings.get(name), list)
    ]
    text = "These runs were made in different surroundings ({}): times of methods from different runs cannot be compared."
    return [text.format(", ".join(differing))] if differing else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
