"""The data of a page's gallery: names, scores packed into small integers, and names of pictures."""

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from htbench.core.types import UNSTEERED
from htbench.run.fact_table import ConceptFacts
from htbench.run.summary import Summary
from htbench.scorers.metric_table import METRIC_TABLE

NO_SCORE = 65535
"""Packed scores are whole numbers below this one, which stands for no score."""


@dataclass(frozen=True, kw_only=True)
class ConceptLabel:
    """The labels of a concept."""

    id: str
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PromptSeed:
    """A prompt with one seed, which is text because JavaScript's numbers cannot hold it."""

    text: str
    seed: str


@dataclass(frozen=True, kw_only=True)
class SliderStop:
    """A stop of the strength slider."""

    label: str
    columns: list[int]
    """Column of each method; -1 where it has none."""


@dataclass(frozen=True, kw_only=True)
class PromptShard:
    """The cells of one prompt and seed, so that a page reads only what it shows."""

    images: list[str]
    """Names of files, each once."""
    problems: list[str]
    cells: str
    """32-bit integers in base 64, by concept and column.

    Each is the number of an image, or -1 minus the number of a problem.
    """
    scores: str
    """Unsigned 16-bit integers in base 64, by concept, column and metric.

    Each is a number of steps above the metric's lowest score.
    """


@dataclass(frozen=True, kw_only=True)
class GalleryData:
    """A run's cells as a grid; a column is a method at a strength."""

    methods: list[str]
    steered: list[int]
    """Numbers of the methods that change images."""
    unsteered: int
    """Column of images that no method has changed; -1 if there is none."""
    columns: list[tuple[int, float]]
    steps: list[SliderStop]
    full: int
    """Number of the leaderboard's step."""
    concepts: list[ConceptLabel]
    prompts: list[PromptSeed]
    metrics: list[str]
    """Titles of the scores."""
    metric_names: list[str]
    """The same by their names in tables, for addresses."""
    scales: list[tuple[float, float]]
    """Lowest score of each metric and the size of its steps."""
    means: str
    """Means over prompts, packed as the scores of a shard."""
    shards: list[PromptShard] = field(repr=False)


def concept_labels(summary: Summary) -> dict[str, ConceptLabel]:
    """The concepts of a run, in the order of the plan."""
    facts = summary.facts.concepts
    labels = {}
    for concept in summary.table.concept.names:
        fact = facts.get(concept, ConceptFacts())
        labels[concept] = ConceptLabel(
            id=concept, kind=fact.kind or "of no kind", text=fact.text or concept
        )
    return labels


def collect(summary: Summary) -> GalleryData:
    """The gallery of a run."""
    concepts, prompts = concept_labels(summary), summary.table.image.names
    grid = _Grid(summary)
    columns = grid.columns
    pairs = [(summary.methods[method], strength) for method, strength in columns]
    steered = [k for k, method in enumerate(summary.methods) if method != UNSTEERED]
    steps = _steps(summary, pairs)
    outcomes = grid.outcomes
    scales = [_scale(outcomes[..., k]) for k in range(outcomes.shape[-1])]
    zeros = sorted(
        (summary.methods[method] != UNSTEERED, k)
        for k, (method, strength) in enumerate(columns)
        if strength == 0
    )
    return GalleryData(
        methods=summary.methods,
        steered=steered,
        unsteered=zeros[0][1] if zeros else -1,
        columns=columns,
        steps=steps,
        full=max(
            (
                k
                for k, step in enumerate(steps)
                if step.label == _strength_text(summary.full_strength)
            ),
            default=0,
        ),
        concepts=list(concepts.values()),
        prompts=[PromptSeed(text=text, seed=str(seed)) for text, seed in prompts],
        metrics=list(summary.metrics.values()),
        metric_names=list(summary.metrics),
        scales=scales,
        means=_pack(_means(outcomes), scales),
        shards=[grid.shard(k, scales) for k in range(len(prompts))],
    )


class _Grid:
    """The cells in arrays: prompt by concept by column."""

    def __init__(self, summary: Summary) -> None:
        table = summary.table
        strengths, strength = np.unique(table.strength, return_inverse=True)
        codes, columns = np.unique(
            table.method.numbers * len(strengths) + strength, return_inverse=True
        )
        methods, steps = np.divmod(codes, max(1, len(strengths)))
        self.columns = [
            (int(method), float(strengths[step]))
            for method, step in zip(methods, steps, strict=True)
        ]
        shape = len(table.image.names), len(table.concept.names), len(codes)
        index = table.image.numbers, table.concept.numbers, columns
        measured = [metric.name in summary.metrics for metric in METRIC_TABLE]
        self.scores = np.full((*shape, sum(measured)), math.nan)
        self.scores[index] = summary.table_scores[:, measured]
        self._worst = np.array([metric.worst for metric in METRIC_TABLE])[measured]
        self._failed = np.zeros(shape, bool)
        self._failed[index] = table.failed
        self._cells = np.full(shape, -1)
        self._images: list[list[str]] = []
        self._problems: list[list[str]] = []
        for prompt in range(shape[0]):
            chosen = np.flatnonzero(table.image.numbers == prompt)
            made, lacking = chosen[table.made[chosen]], chosen[~table.made[chosen]]
            files, file = table.file.take(made)
            problems, problem = table.problem.take(lacking)
            plane = self._cells[prompt]
            plane[table.concept.numbers[made], columns[made]] = file
            plane[table.concept.numbers[lacking], columns[lacking]] = -2 - problem
            self._images.append([name for name in files if name is not None])
            self._problems.append(
                ["not planned", *("not made yet" if text is None else text for text in problems)]
            )

    @property
    def outcomes(self) -> Float[np.ndarray, "prompts concepts columns metrics"]:
        """The scores, with the worst ones for cells that failed."""
        if not np.isfinite(self.scores).any():
            return self.scores
        return np.where(self._failed[..., None], self._worst, self.scores)

    def shard(self, prompt: int, scales: Sequence[tuple[float, float]]) -> PromptShard:
        return PromptShard(
            images=self._images[prompt],
            problems=self._problems[prompt],
            cells=_base64(self._cells[prompt].astype("<i4")),
            scores=_pack(self.scores[prompt], scales),
        )


def _steps(summary: Summary, pairs: Sequence[tuple[str, float]]) -> list[SliderStop]:
    """The strengths of the plan, and stops at which methods have strengths of their own: the tuned
    one, and those of a perceptual scale.
    """
    numbers: dict[tuple[str, Any], int] = {pair: k for k, pair in enumerate(pairs)}
    steering = [method for method in summary.methods if method != UNSTEERED]
    tuned = {method: choice.strength for method, choice in summary.facts.tuned.items()}
    planned = summary.facts.plan.strengths
    scales = {name: scale.strengths for name, scale in summary.facts.strength_scales.items()}
    own = {*tuned.values(), *(at for scale in scales.values() for at in scale)}
    extra = own - set(summary.strengths if planned is None else planned)
    strengths = sorted({strength for method, strength in pairs if method != UNSTEERED} - extra)
    steps = [
        SliderStop(
            label=_strength_text(strength),
            columns=[numbers.get((method, strength), -1) for method in steering],
        )
        for strength in strengths
    ]
    if tuned:
        steps.append(
            SliderStop(
                label="tuned",
                columns=[numbers.get((method, tuned.get(method)), -1) for method in steering],
            )
        )
    for k, requested in enumerate(at for at in planned or () if at > 0) if scales else ():
        chosen = {name: scale[k] for name, scale in scales.items() if k < len(scale)}
        steps.append(
            SliderStop(
                label=f"perceptual {_strength_text(requested)}",
                columns=[numbers.get((method, chosen.get(method)), -1) for method in steering],
            )
        )
    return steps


def _strength_text(strength: float) -> str:
    return f"{strength:g}".replace("-", "−")


def _means(scores: Float[np.ndarray, "prompts *rest"]) -> Float[np.ndarray, " *rest"]:
    is_scored = np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(is_scored, scores, 0).sum(0) / is_scored.sum(0))


def _scale(scores: Float[np.ndarray, " *any"]) -> tuple[float, float]:
    """The lowest score and the size of a step, both exact in few digits so that pages are small."""
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return 0.0, 1.0
    low = math.floor(finite.min() * 1e4) / 1e4
    return low, float(f"{max((finite.max() - low) / (NO_SCORE - 2), 1e-9):.3g}") * 1.01


def _pack(scores: Float[np.ndarray, "*any metrics"], scales: Sequence[tuple[float, float]]) -> str:
    low, step = (np.array([scale[k] for scale in scales]) for k in (0, 1))
    steps = np.round((scores - low) / step)
    return _base64(np.where(np.isfinite(steps), steps, NO_SCORE).astype("<u2"))


def _base64(numbers: Int[np.ndarray, " *any"]) -> str:
    return b64encode(numbers.tobytes()).decode()
