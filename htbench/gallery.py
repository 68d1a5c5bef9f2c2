"""The pictures of a run as one value that a page can hold: each file once, and small enough."""

import math
from base64 import b64encode
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from htbench.leaderboard import METRICS, Summary
from htbench.store import Row

BUDGET = 14_000_000
"""Characters of images that a page holds."""
LEFT_OUT = "left out to keep this page small"
_NONE = "none"
_SMALL, _LARGEST = 128, 256  # pixels: up to the first without loss, never wider than the second


@dataclass(frozen=True, kw_only=True)
class Label:
    """How a concept is shown."""

    id: str
    kind: str
    text: str
    shown: bool = True


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt with one seed; seeds are words because JavaScript's numbers cannot hold them."""

    text: str
    seed: str
    shown: bool


Cell = tuple[int, int, int, int, int, int, list[float | None]]
"""Numbers of its method, concept, prompt, strength, image (-1 for none) and problem, and its scores."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Names, cells that point at them by number, and images as data URIs."""

    strengths: list[float]
    steps: list[int]
    """Numbers of the strengths that methods are steered with."""
    methods: list[str]
    unsteered: int
    """Number of the method that leaves images alone; -1 without one."""
    prompts: list[Prompt]
    concepts: list[Label]
    metrics: list[str]
    cells: list[Cell]
    problems: list[str]
    images: list[str]
    files: int
    """Images of the run; a page may hold fewer."""


def labels(summary: Summary) -> dict[str, Label]:
    """The concepts of a run, in the order of the plan."""
    known = summary.facts.get("concepts")
    found = {}
    for concept in dict.fromkeys(row.concept for row in summary.rows):
        facts = known.get(concept) if isinstance(known, dict) else None
        facts = facts if isinstance(facts, dict) else {}
        found[concept] = Label(id=concept, kind=str(facts.get("kind") or "of no kind"), text=str(facts.get("text") or concept))
    return found


def collect(summary: Summary, *, budget: int = BUDGET) -> Gallery:
    """The gallery of a run, with images of at most about `budget` characters.

    Images are taken prompt by prompt and, within a prompt, concept by concept, until the budget is spent; prompts and concepts
    of which none could be taken are marked as not shown.
    """
    concepts, prompts = labels(summary), list(dict.fromkeys((row.prompt, row.seed) for row in summary.rows))
    numbers = {concept: k for k, concept in enumerate(concepts)}
    turns = {prompt: k for k, prompt in enumerate(prompts)}
    album = _Album(summary.store.folder / "images", budget)
    problems = {"": 0}
    cells: list[Cell] = []
    for row in sorted(summary.rows, key=lambda row: (turns[row.prompt, row.seed], numbers[row.concept])):
        image, problem = album.add(row)
        scores = [_finite(summary.scores.get(row.id, {}).get(metric)) for metric in METRICS]
        method, strength = summary.methods.index(row.method), summary.strengths.index(row.strength)
        where = (method, numbers[row.concept], turns[row.prompt, row.seed], strength)
        cells.append((*where, image, problems.setdefault(problem, len(problems)), scores))
    held = [cell for cell in cells if cell[5] != problems.get(LEFT_OUT)]
    with_concept, with_prompt = {cell[1] for cell in held}, {cell[2] for cell in held}
    return Gallery(
        strengths=summary.strengths,
        steps=sorted({cell[3] for cell in cells if summary.methods[cell[0]] != _NONE}),
        methods=summary.methods,
        unsteered=summary.methods.index(_NONE) if _NONE in summary.methods else -1,
        prompts=[Prompt(text=text, seed=str(seed), shown=k in with_prompt) for k, (text, seed) in enumerate(prompts)],
        concepts=[replace(label, shown=k in with_concept) for k, label in enumerate(concepts.values())],
        metrics=list(METRICS.values()),
        cells=cells,
        problems=list(problems),
        images=album.images,
        files=len({row.file for row in summary.rows if row.file}),
    )


class _Album:
    """Images as data URIs, each file once, until the budget is spent."""

    def __init__(self, folder: Path, budget: int) -> None:
        self.images: list[str] = []
        self._folder, self._left = folder, budget
        self._known: dict[str, tuple[int, str]] = {}

    def add(self, row: Row) -> tuple[int, str]:
        """Number of the row's image and "", or -1 and why there is none."""
        if row.file is None:
            return -1, row.problem or "not made yet"
        if row.file not in self._known:
            self._known[row.file] = self._take(row.file)
        return self._known[row.file]

    def _take(self, name: str) -> tuple[int, str]:
        if self._left <= 0:
            return -1, LEFT_OUT
        try:
            uri = _data_uri(self._folder / name)
        except (OSError, SyntaxError) as error:  # Pillow says of some broken PNG files that they are a SyntaxError
            return -1, f"image {name} cannot be read: {type(error).__name__}"
        self._left -= len(uri)
        self.images.append(uri)
        return len(self.images) - 1, ""


def _data_uri(path: Path) -> str:
    """The picture as WebP: small ones without loss, large ones scaled down."""
    buffer = BytesIO()
    with Image.open(path) as file:
        picture = file.convert("RGB")
    small = max(picture.size) <= _SMALL
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    picture.save(buffer, "WEBP", lossless=small, quality=80, method=4)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def _finite(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
