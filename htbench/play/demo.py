"""A page that needs no server: pictures of a few concepts, prompts and strengths made ahead."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from htbench.core import content
from htbench.core.errors import UsageError
from htbench.play import page
from htbench.play.engine import Engine, Row
from htbench.play.site import address
from htbench.play.view import ConceptSource, View
from htbench.report import html

MAX_BYTES = 15_000_000
"""Largest page, in bytes."""
STRENGTHS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
SEED = 0
_CONCEPTS, _PROMPTS, _METHODS = 12, 3, 4


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The concepts, prompts, methods and strengths of a demo."""

    concepts: Sequence[str]
    prompts: Sequence[str]
    methods: Sequence[str]
    strengths: Sequence[float] = STRENGTHS


def default_grid(engine: Engine) -> Grid:
    """Concepts of every kind of the test split in turn, and the first prompts and methods."""
    by_kind: dict[str, list[str]] = {}
    for concept in engine.concepts.splits["test"]:
        by_kind.setdefault(concept.kind, []).append(concept.text)
    longest = max(map(len, by_kind.values()), default=0)
    turns = [texts[k] for k in range(longest) for texts in by_kind.values() if k < len(texts)]
    return Grid(
        concepts=turns[:_CONCEPTS],
        prompts=engine.concepts.prompts[:_PROMPTS],
        methods=list(engine.cards)[:_METHODS],
    )


def write(
    engine: Engine,
    folder: Path,
    *,
    grid: Grid | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make the pictures, write `index.html` into `folder`, and return its path.

    Raises:
        UsageError: if the page would be larger than `MAX_BYTES`.
    """
    grid = grid or default_grid(engine)
    pictures: dict[str, str] = {}
    scores: dict[str, object] = {}
    seconds: dict[str, float] = {}
    todo = list(product(grid.concepts, grid.prompts))
    for number, (words, prompt) in enumerate(todo, 1):
        advance(f"make pictures: {words} ({number} of {len(todo)})")
        for row in _rows(engine, grid, words, prompt):
            _add(row, (prompt, words), grid, pictures, scores)
            if row.learning_seconds:
                seconds[row.method] = row.learning_seconds
    data = {
        "strengths": grid.strengths,
        "pictures": pictures,
        "scores": {**scores, "seconds": seconds},
    }
    shown = {
        **page.facts(engine, [engine.cards[name] for name in grid.methods]),
        "prompts": grid.prompts,
        "examples": grid.concepts,
        "seeds": [SEED],
    }
    text = page.fill(shown, is_demo=True, data=html.json_script("play-demo", data)).encode()
    if len(text) > MAX_BYTES:
        raise UsageError(
            f"the page would have {len(text):,} bytes, and {MAX_BYTES:,} is the limit",
            remedy="Name fewer methods, or a model of smaller pictures.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    content.write_whole(path, text)
    return path


def _rows(engine: Engine, grid: Grid, words: str, prompt: str) -> list[Row]:
    source = ConceptSource(words=words)
    for method in grid.methods:
        engine.fit(method, source)
    view = View(
        prompt=prompt,
        seed=SEED,
        concepts=(source,),
        methods=tuple(grid.methods),
        points=tuple((strength,) for strength in grid.strengths),
        scores=True,
    )
    return list(engine.rows(view))


def _add(
    row: Row,
    asked: tuple[str, str],
    grid: Grid,
    pictures: dict[str, str],
    scores: dict[str, object],
) -> None:
    """Keep the pictures of a row under the keys that the page's script asks for."""
    prompt, words = asked
    strengths = (0.0,) if row.method == "none" else grid.strengths
    for k, (strength, image) in enumerate(zip(strengths, row.images, strict=True)):
        own = () if strength == 0 else (row.method, words, _plain(strength))
        key = json.dumps([prompt, SEED, *own], separators=(",", ":"), ensure_ascii=False)
        pictures.setdefault(key, address(image))
        presence = row.presence[k] if row.presence else None
        scores[key] = [presence, row.preservation[k]]


def _plain(strength: float) -> float | int:
    """The number as JavaScript writes it."""
    return int(strength) if strength == int(strength) else strength
