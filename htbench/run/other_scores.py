"""The scoring stage of plug-in scorers, such as LPIPS or a command.

An image that has no score is reported with the reason and tried again by the next run. Where a
scorer does not know the prompt or the concept, or has no score for the picture by its definition,
the score is undefined, which is kept.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.core import reading
from htbench.core.errors import UnknownName
from htbench.core.pictures import UnreadablePicture
from htbench.run.context import RunContext, chunks
from htbench.run.fact_table import Facts
from htbench.run.store import CellRow, ImageSeed
from htbench.scorers.scorer import NO_PICTURE, Scorer, ScorerInput, knows, scorer_id

Score = tuple[int, str, str, float | None]
"""Cell, metric, scorer, value."""
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
    for scorers, todo in _groups(context):
        try:
            for scorer, reasons in zip(scorers, _score(context, scorers, todo), strict=True):
                id_ = scorer_id(scorer)
                facts[id_] = scorer_facts(scorer, reasons + context.frozen.reasons(id_))
        finally:
            for scorer in scorers:
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
        "range": [end if math.isfinite(end) else None for end in scorer.card.range],
        "name": scorer.card.name,
        "digest": scorer.card.digest,
        "reasons": dict(reasons),
    }


def _groups(context: RunContext) -> Iterator[tuple[list[Scorer], list[int]]]:
    """The scorers with the cells that they have yet to score, those without weights together.

    These share the work of reading, and take no memory from each other.
    """
    group: list[Scorer] = []
    todo: list[int] = []
    for scorer in context.scorers:
        own = context.store.unscored(
            scorer_id(scorer), 1, without=context.frozen.methods, order="image"
        )
        if group and (own != todo or not all(map(_has_no_weights, (*group, scorer)))):
            yield group, todo
            group = []
        group, todo = [*group, scorer], own
    if group:
        yield group, todo


def _has_no_weights(scorer: Scorer) -> bool:
    return scorer.declared.weights == "none" and not scorer.card.command


def _score(context: RunContext, scorers: Sequence[Scorer], todo: Sequence[int]) -> list[Reasons]:
    """Score some cells; returns the reasons why some have no score, by scorer."""
    store = context.store
    names = ", ".join(scorer.card.name for scorer in scorers)
    stage = context.display.progress(f"score by {names}", len(todo))
    unsteered = {
        **dict.fromkeys(store.unpaired(), NO_PICTURE),
        **{
            seed: store.image_path(file).absolute()
            for seed, (_, file) in store.unsteered_images().items()
        },
    }
    reasons: list[Reasons] = [Counter() for _ in scorers]
    for ids in chunks(todo, _CHUNK_SIZE):
        cells = store.cells(ids)
        inputs = {row.id: _input(context, row, unsteered) for row in cells}
        checked: set[Path] = set()
        scores: list[Score] = []
        for scorer, known in zip(scorers, reasons, strict=True):
            found, new = _scores(scorer, cells, inputs, unsteered, checked)
            scores += found
            for reason in new.keys() - known.keys():
                context.display.warn(f"{scorer.card.name} has no score: {reason}")
            known.update(new)
        store.add_scores(scores)
        stage.advance(len(ids))
    return reasons


def _scores(
    scorer: Scorer,
    cells: Sequence[CellRow],
    inputs: Mapping[int, ScorerInput],
    unsteered: Mapping[ImageSeed, Path],
    checked: set[Path],
) -> tuple[list[Score], Reasons]:
    """The scores of some cells by a scorer, and the reasons why others have none."""
    name, id_ = scorer.card.name, scorer_id(scorer)
    known = [row for row in cells if _is_known(scorer, inputs[row.id], unsteered, row)]
    alone = scorer.card.against == "nothing"
    paired = [row for row in known if alone or (row.prompt, row.seed) in unsteered]
    chosen = {row.id: inputs[row.id] for row in paired}
    answers = _distinct_scores(scorer, list(chosen.values()), checked)
    values = {
        cell: _within_range(answers[_input_key(scorer, item)], scorer.card.range)
        for cell, item in chosen.items()
    }
    undefined = {row.id for row in cells} - {row.id for row in known}
    scores: list[Score] = [(cell, name, id_, None) for cell in sorted(undefined)]
    scores += [
        (cell, name, id_, value) for cell, value in values.items() if not isinstance(value, str)
    ]
    reasons = Counter(value for value in values.values() if isinstance(value, str))
    if len(paired) < len(known):
        reasons["its unsteered picture is missing"] += len(known) - len(paired)
    return scores, reasons


def _within_range(score: float | str | None, ends: tuple[float, float]) -> float | str | None:
    """The score, or a reason where it lies outside of its card's range by more than rounding."""
    if not isinstance(score, float) or ends[0] - 1e-6 <= score <= ends[1] + 1e-6:
        return score
    return f"a score outside of its card's range, {ends[0]:g} to {ends[1]:g}"


def _input(context: RunContext, row: CellRow, unsteered: Mapping[ImageSeed, Path]) -> ScorerInput:
    question = context.plan.question(row.concept, row.prompt)
    return ScorerInput(
        image=context.store.image_path(str(row.file)).absolute(),
        unsteered=unsteered.get((row.prompt, row.seed), NO_PICTURE),
        prompt=question.neutral,
        concept=question.asked.text,
        target=question.asked.target(question.neutral),
    )


def _is_known(
    scorer: Scorer, item: ScorerInput, unsteered: Mapping[ImageSeed, Path], row: CellRow
) -> bool:
    """False for a cell whose score is undefined: its prompt or concept is unknown to the scorer.

    So is a cell without an unsteered picture, unless the scorer compares with nothing, or is a
    command that needs none.
    """
    card = scorer.card
    needs_pair = card.against != "nothing" and (not card.command or card.against == "unsteered")
    if needs_pair and unsteered.get((row.prompt, row.seed)) == NO_PICTURE:
        return False
    return knows(scorer, item.prompt, item.concept)


def _distinct_scores(
    scorer: Scorer, inputs: Sequence[ScorerInput], checked: set[Path]
) -> dict[tuple[object, ...], float | str | None]:
    """Scores by the parts of the input that they depend on, so that none is measured twice."""
    distinct = {_input_key(scorer, item): item for item in inputs}
    scores = _measure(scorer, list(distinct.values()), checked)
    return dict(zip(distinct, scores, strict=True))


def _measure(
    scorer: Scorer, inputs: Sequence[ScorerInput], checked: set[Path]
) -> Sequence[float | str | None]:
    """Scores, or the reasons why pictures cannot be read: those of links, or of no picture."""
    try:
        for item in inputs:
            for path in {item.image, item.unsteered} - checked - {NO_PICTURE}:
                reading.find_file(path, noun="image", within=path.parent)
                checked.add(path)
        return scorer.measure(inputs)
    except (reading.UnreadableFile, UnreadablePicture, UnknownName) as error:
        if len(inputs) == 1:
            return [f"a picture cannot be read: {type(error).__name__}"]
        return [score for item in inputs for score in _measure(scorer, [item], checked)]


def _input_key(scorer: Scorer, item: ScorerInput) -> tuple[object, ...]:
    return item.image, getattr(item, scorer.card.against, None)
