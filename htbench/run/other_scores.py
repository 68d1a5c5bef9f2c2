"""Has gauges score the pictures of a run; what one cannot score is said and tried again by the next run, never dropped or made up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.run.context import RunContext, chunks
from htbench.run.store import CellRow
from htbench.scorers.scorer import Scorer, ScorerInput, scorer_id
from htbench.steering.concept import Concept

Reasons = Counter[str]
_CHUNK_SIZE = 256


def score(context: RunContext) -> None:
    """Score what has no score yet by every gauge of the plan, and write down what each said it is."""
    facts = {scorer_id(each): scorer_facts(each, {}) for each in context.resources.scorers}
    context.store.set_facts(gauges=list(facts.values()))
    for each in context.resources.scorers:
        try:
            facts[scorer_id(each)] = scorer_facts(each, _score(context, each))
        finally:
            each.close()
        context.store.set_facts(gauges=list(facts.values()))


def scorer_facts(scorer: Scorer, reasons: Mapping[str, int]) -> dict[str, object]:
    """For the store: what a gauge is, and why pictures have no score by it."""
    card = scorer.card.model_dump(
        mode="json", include={"summary", "better", "against", "command", "licence", "paper"}
    )
    return {
        "id": scorer_id(scorer),
        **card,
        **asdict(scorer.declared),
        "name": scorer.card.name,
        "reasons": dict(reasons),
    }


def _score(context: RunContext, scorer: Scorer) -> Reasons:
    todo = context.store.unscored(scorer_id(scorer), 1)
    stage = context.display.progress(f"score by {scorer.card.name}", len(todo))
    concepts = {c.id: c for c in context.concepts}
    query = "SELECT DISTINCT prompt, seed, file FROM cells JOIN images ON key = image WHERE strength = 0 AND file IS NOT NULL"
    unsteered = {(prompt, seed): file for prompt, seed, file in context.store.select(query)}
    reasons: Reasons = Counter()
    for ids in chunks(todo, _CHUNK_SIZE):
        rows = [row for row in context.store.cells(ids) if (row.prompt, row.seed) in unsteered]
        reasons += Counter({"its unsteered picture is missing": len(ids) - len(rows)})
        looks = {
            row.id: _scorer_input(
                context.store.folder / "images",
                row,
                unsteered[row.prompt, row.seed],
                concepts[row.concept],
            )
            for row in rows
        }
        answers = _distinct_scores(scorer, list(looks.values()))
        scored = {id_: answers[_input_key(scorer, look)] for id_, look in looks.items()}
        context.store.add_scores(
            (id_, scorer.card.name, scorer_id(scorer), value)
            for id_, value in scored.items()
            if isinstance(value, float)
        )
        new = Counter(value for value in scored.values() if isinstance(value, str))
        for reason in new.keys() - reasons.keys():
            context.display.warn(f"{scorer.card.name} has no score: {reason}")
        reasons += new
        stage.advance(len(ids))
    return reasons


def _distinct_scores(
    scorer: Scorer, inputs: Sequence[ScorerInput]
) -> dict[tuple[object, ...], float | str]:
    """Answers by what they depend on: cells that share a picture and a text are asked for once."""
    wanted = {_input_key(scorer, look): look for look in inputs}
    return dict(zip(wanted, scorer.measure(list(wanted.values())), strict=True))


def _input_key(scorer: Scorer, item: ScorerInput) -> tuple[object, ...]:
    return item.image, getattr(item, scorer.card.against)


def _scorer_input(folder: Path, row: CellRow, unsteered: str, concept: Concept) -> ScorerInput:
    return ScorerInput(
        image=(folder / str(row.file)).resolve(), unsteered=(folder / unsteered).resolve(), prompt=row.prompt, concept=concept.text,
        target=concept.target(row.prompt),
    )  # fmt: skip
