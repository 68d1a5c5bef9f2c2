"""Has gauges score the pictures of a run; what one cannot score is said and tried again by the next run, never dropped or made up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.run.context import Job, parts
from htbench.run.store import Row
from htbench.scorers.scorer import Gauge, Look, gauge_id
from htbench.steering.concept import Concept

Reasons = Counter[str]
_AT_ONCE = 256


def gauge(job: Job) -> None:
    """Score what has no score yet by every gauge of the plan, and write down what each said it is."""
    facts = {gauge_id(each): about(each, {}) for each in job.tools.gauges}
    job.store.set_facts(gauges=list(facts.values()))
    for each in job.tools.gauges:
        try:
            facts[gauge_id(each)] = about(each, _gauge(job, each))
        finally:
            each.close()
        job.store.set_facts(gauges=list(facts.values()))


def about(gauge: Gauge, reasons: Mapping[str, int]) -> dict[str, object]:
    """For the store: what a gauge is, and why pictures have no score by it."""
    card = gauge.card.model_dump(mode="json", include={"summary", "better", "against", "command", "licence", "paper"})
    return {"id": gauge_id(gauge), **card, **asdict(gauge.declared), "name": gauge.card.name, "reasons": dict(reasons)}


def _gauge(job: Job, gauge: Gauge) -> Reasons:
    todo = job.store.unscored(gauge_id(gauge), 1)
    stage = job.voice.stage(f"score by {gauge.card.name}", len(todo))
    concepts = {c.id: c for c in job.concepts}
    query = "SELECT DISTINCT prompt, seed, file FROM cells JOIN images ON key = image WHERE strength = 0 AND file IS NOT NULL"
    unsteered = {(prompt, seed): file for prompt, seed, file in job.store.select(query)}
    reasons: Reasons = Counter()
    for ids in parts(todo, _AT_ONCE):
        rows = [row for row in job.store.cells(ids) if (row.prompt, row.seed) in unsteered]
        reasons += Counter({"its unsteered picture is missing": len(ids) - len(rows)})
        looks = {row.id: _look(job.store.folder / "images", row, unsteered[row.prompt, row.seed], concepts[row.concept]) for row in rows}
        answers = _measured(gauge, list(looks.values()))
        scored = {id_: answers[_key(gauge, look)] for id_, look in looks.items()}
        job.store.add_scores((id_, gauge.card.name, gauge_id(gauge), value) for id_, value in scored.items() if isinstance(value, float))
        new = Counter(value for value in scored.values() if isinstance(value, str))
        for reason in new.keys() - reasons.keys():
            job.voice.warn(f"{gauge.card.name} has no score: {reason}")
        reasons += new
        stage.advance(len(ids))
    return reasons


def _measured(gauge: Gauge, looks: Sequence[Look]) -> dict[tuple[object, ...], float | str]:
    """Answers by what they depend on: cells that share a picture and a text are asked for once."""
    wanted = {_key(gauge, look): look for look in looks}
    return dict(zip(wanted, gauge.measure(list(wanted.values())), strict=True))


def _key(gauge: Gauge, look: Look) -> tuple[object, ...]:
    return look.image, getattr(look, gauge.card.against)


def _look(folder: Path, row: Row, unsteered: str, concept: Concept) -> Look:
    return Look(
        image=(folder / str(row.file)).resolve(), unsteered=(folder / unsteered).resolve(), prompt=row.prompt, concept=concept.text,
        target=concept.target(row.prompt),
    )  # fmt: skip
