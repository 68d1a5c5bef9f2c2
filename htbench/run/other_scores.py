"""The scoring stage of plug-in scorers, such as LPIPS or a command.

An image that has no score is reported with the reason and tried again by the next run. Where a
scorer does not know the prompt or the concept, the score is undefined, which is kept.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.core import reading
from htbench.core.errors import UnknownName
from htbench.core.pictures import UnreadablePicture
from htbench.run.context import RunContext, chunks
from htbench.run.fact_table import Facts
from htbench.run.store import CellRow, ImageSeed
from htbench.scorers.scorer import NO_PICTURE, Scorer, ScorerInput, knows, scorer_id

Reasons = Counter[str]
"""Number of images without a score, by reason."""
_CHUNK_SIZE = 256


def score(context: RunContext) -> None:
    """Score all images that have no score yet, and write a description of each scorer."""
    before = {fact.id: dict(fact.stored) for fact in Facts.read(context.store).gauges}
    facts = {
        id_: before.get(id_) or scorer_facts(scorer, {})
        for id_, scorer in ((scorer_id(scorer), scorer) for scorer in context.scorers)
    }
    context.store.set_facts(gauges=list(facts.values()))
    for scorer in context.scorers:
        try:
            reasons = _score(context, scorer) + context.frozen.reasons(scorer_id(scorer))
            facts[scorer_id(scorer)] = scorer_facts(scorer, reasons)
        finally:
            scorer.close()
        context.store.set_facts(gauges=list(facts.values()))


def scorer_facts(scorer: Scorer, reasons: Mapping[str, int]) -> dict[str, object]:
    """Description of a scorer, with the reasons why images have no score by it."""
    card = scorer.card.model_dump(
        mode="json",
        include={"summary", "better", "against", "counterparts", "command", "licence", "paper"},
    )
    return {
        "id": scorer_id(scorer),
        **card,
        **asdict(scorer.declared),
        "name": scorer.card.name,
        "digest": scorer.card.digest,
        "reasons": dict(reasons),
    }


def _score(context: RunContext, scorer: Scorer) -> Reasons:
    store, id_ = context.store, scorer_id(scorer)
    todo = store.unscored(id_, 1, without=context.frozen.methods)
    stage = context.display.progress(f"score by {scorer.card.name}", len(todo))
    unsteered = {
        **dict.fromkeys(store.unpaired(), NO_PICTURE),
        **{
            seed: store.image_path(file).absolute()
            for seed, (_, file) in store.unsteered_images().items()
        },
    }
    reasons: Reasons = Counter()
    for ids in chunks(todo, _CHUNK_SIZE):
        rows = _known(context, scorer, store.cells(ids), unsteered)
        alone = scorer.card.against == "nothing"
        paired = [row for row in rows if alone or (row.prompt, row.seed) in unsteered]
        reasons += Counter({"its unsteered picture is missing": len(rows) - len(paired)})
        inputs = {row.id: _input(context, row, unsteered) for row in paired}
        answers = _distinct_scores(scorer, list(inputs.values()))
        values = {cell: answers[_input_key(scorer, item)] for cell, item in inputs.items()}
        store.add_scores(
            (cell, scorer.card.name, id_, value)
            for cell, value in values.items()
            if isinstance(value, float)
        )
        new = Counter(value for value in values.values() if isinstance(value, str))
        for reason in new.keys() - reasons.keys():
            context.display.warn(f"{scorer.card.name} has no score: {reason}")
        reasons += new
        stage.advance(len(ids))
    return reasons


def _input(context: RunContext, row: CellRow, unsteered: Mapping[ImageSeed, Path]) -> ScorerInput:
    question = context.plan.question(row.concept, row.prompt)
    return ScorerInput(
        image=context.store.image_path(str(row.file)).absolute(),
        unsteered=unsteered.get((row.prompt, row.seed), NO_PICTURE),
        prompt=question.neutral,
        concept=question.asked.text,
        target=question.asked.target(question.neutral),
    )


def _known(
    context: RunContext,
    scorer: Scorer,
    rows: Sequence[CellRow],
    unsteered: Mapping[ImageSeed, Path],
) -> list[CellRow]:
    """The cells whose prompt and concept the scorer knows; the others get an undefined score.

    So do cells without an unsteered picture, unless the scorer compares with nothing, or is a
    command that needs none.
    """
    card = scorer.card
    needs_pair = card.against != "nothing" and (not card.command or card.against == "unsteered")
    questions = {row.id: context.plan.question(row.concept, row.prompt) for row in rows}
    known = {
        row.id: row
        for row in rows
        if knows(scorer, questions[row.id].neutral, questions[row.id].asked.text)
        and not (needs_pair and unsteered.get((row.prompt, row.seed)) == NO_PICTURE)
    }
    context.store.add_scores(
        (row.id, scorer.card.name, scorer_id(scorer), None) for row in rows if row.id not in known
    )
    return list(known.values())


def _distinct_scores(
    scorer: Scorer, inputs: Sequence[ScorerInput]
) -> dict[tuple[object, ...], float | str]:
    """Scores by the parts of the input that they depend on, so that none is measured twice."""
    distinct = {_input_key(scorer, item): item for item in inputs}
    return dict(zip(distinct, _measure(scorer, list(distinct.values())), strict=True))


def _measure(scorer: Scorer, inputs: Sequence[ScorerInput]) -> list[float | str]:
    """Scores, or the reasons why pictures cannot be read: those of links, or of no picture."""
    try:
        for item in inputs:
            for path in (item.image, item.unsteered):
                if path != NO_PICTURE:
                    reading.find_file(path, noun="image", within=path.parent)
        return scorer.measure(inputs)
    except (reading.UnreadableFile, UnreadablePicture, UnknownName) as error:
        if len(inputs) == 1:
            return [f"a picture cannot be read: {type(error).__name__}"]
        return [score for item in inputs for score in _measure(scorer, [item])]


def _input_key(scorer: Scorer, item: ScorerInput) -> tuple[object, ...]:
    return item.image, getattr(item, scorer.card.against, None)
