"""What a page's gallery shows of a run: names, scores packed into small integers, and pictures by the names of their files."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from htbench.core.types import UNSTEERED
from htbench.run.summary import METRICS, Summary

NO_SCORE = 65535
"""Scores are whole numbers below this one, which stands for none."""
_COLUMN_QUERY = "SELECT method, strength, min(min(place)) OVER (PARTITION BY method) FROM cells GROUP BY 1, 2 ORDER BY 3, 2"


@dataclass(frozen=True, kw_only=True)
class ConceptLabel:
    """How a concept is shown."""

    id: str
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PromptSeed:
    """A prompt with one seed; seeds are words because JavaScript's numbers cannot hold them."""

    text: str
    seed: str


@dataclass(frozen=True, kw_only=True)
class SliderStop:
    """A stop of the strength slider."""

    label: str
    columns: list[int]
    """Each method's column; -1 where it has none."""


@dataclass(frozen=True, kw_only=True)
class PromptShard:
    """All cells of one prompt and seed, so that a page reads only what it shows."""

    images: list[str]
    """Names of files, each once."""
    problems: list[str]
    cells: str
    """By concept and column: the number of an image, or -1 - that of a problem; 32-bit integers in base 64."""
    scores: str
    """By concept, column and metric: steps above the metric's lowest score; unsigned 16-bit integers in base 64."""


@dataclass(frozen=True, kw_only=True)
class GalleryData:
    """A run's cells as a grid; a column is a method at a strength."""

    methods: list[str]
    steered: list[int]
    """Numbers of the methods that change images."""
    unsteered: int
    """A column of images that no method has changed; -1 without one."""
    columns: list[tuple[int, float]]
    steps: list[SliderStop]
    full: int
    """The leaderboard's step."""
    concepts: list[ConceptLabel]
    prompts: list[PromptSeed]
    metrics: list[str]
    scales: list[tuple[float, float]]
    """Each metric's lowest score and the size of a step."""
    means: str
    """Over prompts, packed as a shard's scores are."""
    shards: list[PromptShard] = field(repr=False)


def concept_labels(summary: Summary) -> dict[str, ConceptLabel]:
    """The concepts of a run, in the order of the plan."""
    known = _mapping(summary.facts.get("concepts"))
    found = {}
    for (concept,) in summary.store.select(
        "SELECT concept FROM cells GROUP BY concept ORDER BY min(place)"
    ):
        facts = _mapping(known.get(concept))
        found[concept] = ConceptLabel(
            id=concept,
            kind=str(facts.get("kind") or "of no kind"),
            text=str(facts.get("text") or concept),
        )
    return found


def collect(summary: Summary) -> GalleryData:
    """The gallery of a run."""
    concepts = concept_labels(summary)
    prompts = [
        (text, seed)
        for text, seed, _ in summary.store.select(
            "SELECT prompt, seed, min(place) FROM cells GROUP BY 1, 2 ORDER BY 3"
        )
    ]
    pairs = [(method, strength) for method, strength, _ in summary.store.select(_COLUMN_QUERY)]
    columns = [(summary.methods.index(method), strength) for method, strength in pairs]
    steered = [k for k, method in enumerate(summary.methods) if method != UNSTEERED]
    steps = _steps(summary, pairs)
    grid = _Grid(summary, pairs, list(concepts), prompts)
    scales = [_scale(grid.scores[..., k]) for k in range(len(METRICS))]
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
        metrics=list(METRICS.values()),
        scales=scales,
        means=_pack(_means(grid.scores), scales),
        shards=[grid.shard(k, scales) for k in range(len(prompts))],
    )


class _Grid:
    """The store's cells in arrays: prompt by concept by column."""

    def __init__(
        self,
        summary: Summary,
        pairs: Sequence[tuple[str, float]],
        concepts: Sequence[str],
        prompts: Sequence[tuple[str, int]],
    ) -> None:
        shape = len(prompts), len(concepts), len(pairs)
        self.scores = np.full((*shape, len(METRICS)), math.nan)
        self._cells = np.full(shape, -1)
        self._images: list[dict[str, int]] = [{} for _ in prompts]
        self._problems: list[dict[str, int]] = [{"not planned": 0} for _ in prompts]
        places = [{name: k for k, name in enumerate(names)} for names in (prompts, concepts, pairs)]
        for method, concept, prompt, seed, strength, file, problem, *scores in summary.store.select(
            _query(), summary.scorer
        ):
            where = tuple(
                place[name]
                for place, name in zip(
                    places, ((prompt, seed), concept, (method, strength)), strict=True
                )
            )
            self.scores[where] = scores  # numpy takes None for NaN
            self._cells[where] = self._number(where[0], file, problem)

    def shard(self, prompt: int, scales: Sequence[tuple[float, float]]) -> PromptShard:
        return PromptShard(
            images=list(self._images[prompt]),
            problems=list(self._problems[prompt]),
            cells=_base64(self._cells[prompt].astype("<i4")),
            scores=_pack(self.scores[prompt], scales),
        )

    def _number(self, prompt: int, file: str | None, problem: str | None) -> int:
        if file is not None:
            return self._images[prompt].setdefault(file, len(self._images[prompt]))
        known = self._problems[prompt]
        return -1 - known.setdefault(problem or "not made yet", len(known))


def _query() -> str:
    columns = ", ".join(
        f"max(CASE metric WHEN '{metric}' THEN value END) AS {metric}" for metric in METRICS
    )
    return f"""SELECT method, concept, prompt, seed, strength, file, message, {", ".join(METRICS)}
               FROM cells JOIN images ON images.key = image LEFT JOIN failures ON failures.key = image
               LEFT JOIN (SELECT cell, {columns} FROM scores WHERE encoder = ? GROUP BY cell) ON cell = cells.id ORDER BY place"""


def _steps(summary: Summary, pairs: Sequence[tuple[str, float]]) -> list[SliderStop]:
    """The plan's strengths, and one stop at which each method has the strength that was chosen for it."""
    numbers: dict[tuple[str, Any], int] = {pair: k for k, pair in enumerate(pairs)}
    steering = [method for method in summary.methods if method != UNSTEERED]
    tuned = {
        method: _mapping(card).get("strength")
        for method, card in _mapping(summary.facts.get("tuned")).items()
    }
    planned = _mapping(summary.facts.get("plan")).get("strengths")
    chosen = set(tuned.values()) - set(planned if isinstance(planned, list) else summary.strengths)
    strengths = sorted({strength for method, strength in pairs if method != UNSTEERED} - chosen)
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
    return steps


def _strength_text(strength: float) -> str:
    return f"{strength:g}".replace("-", "−")


def _means(scores: Float[np.ndarray, "prompts *rest"]) -> Float[np.ndarray, " *rest"]:
    known = np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, scores, 0).sum(0) / known.sum(0))


def _scale(scores: Float[np.ndarray, " *any"]) -> tuple[float, float]:
    """The lowest score and the size of a step, both exact in few digits, so that pages are small."""
    known = scores[np.isfinite(scores)]
    if not known.size:
        return 0.0, 1.0
    low = math.floor(known.min() * 1e4) / 1e4
    return low, float(f"{max((known.max() - low) / (NO_SCORE - 2), 1e-9):.3g}") * 1.01


def _pack(scores: Float[np.ndarray, "*any metrics"], scales: Sequence[tuple[float, float]]) -> str:
    low, step = (np.array([scale[k] for scale in scales]) for k in (0, 1))
    steps = np.round((scores - low) / step)
    return _base64(np.where(np.isfinite(steps), steps, NO_SCORE).astype("<u2"))


def _base64(numbers: Int[np.ndarray, " *any"]) -> str:
    return b64encode(numbers.tobytes()).decode()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
