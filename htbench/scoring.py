"""Scores the images of a run, each against the unsteered one of the same prompt and seed."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from htbench import metric
from htbench.concept import Concept
from htbench.encoder import Encoder
from htbench.job import Job, parts
from htbench.leaderboard import METRICS
from htbench.store import Failure, Picture, Row
from htbench.types import Digest

if TYPE_CHECKING:
    from torch import Tensor

Key = tuple[str, int]
"""Prompt and seed."""
_AT_ONCE = 64


def score(job: Job) -> int:
    """Score what has no scores yet by every scorer of the plan; gives how many images turned out to be damaged and have to be made again."""
    return sum(_score(job, scorer) for scorer in job.tools.scorers)


def encoder_id(encoder: Encoder) -> str:
    """Name and revision: scores by other weights are other scores."""
    return f"{encoder.name}@{encoder.revision}"


def _score(job: Job, scorer: Encoder) -> int:
    todo = job.store.unscored(encoder_id(scorer), len(METRICS))
    stage = job.voice.stage(f"score by {scorer.name}", len(todo))
    gazer = _Gazer(job, scorer)
    concepts = {c.id: c for c in job.concepts}
    for ids in parts(todo, 8 * _AT_ONCE):
        rows = job.store.cells(ids)
        seen = gazer.look(rows)
        paired = [row for row in rows if row.image in seen and (row.prompt, row.seed) in gazer.unsteered]
        if paired:
            before = [gazer.unsteered[row.prompt, row.seed] for row in paired]
            job.store.add_scores(_values(paired, [seen[row.image] for row in paired], before, concepts, gazer, scorer))
        stage.advance(len(rows))
    return gazer.damaged


class _Gazer:
    """Embeds images, unsteered ones once a run, and texts once."""

    def __init__(self, job: Job, scorer: Encoder) -> None:
        self.unsteered: dict[Key, Tensor] = {}
        self.damaged = 0
        self.text = lru_cache(maxsize=4096)(lambda words: scorer.texts([words])[0])
        self.rivals = cache(self._rivals)
        self._job, self._scorer = job, scorer
        self._files: dict[Key, tuple[Digest, str]] = {
            (prompt, seed): (key, file)
            for prompt, seed, key, file in job.store.select(
                "SELECT DISTINCT prompt, seed, image, file FROM cells JOIN images ON key = image WHERE strength = 0 AND file IS NOT NULL"
            )
        }

    def look(self, rows: Sequence[Row]) -> Mapping[Digest, "Tensor"]:
        """Embeddings of the images of `rows`; those that are damaged are missing, and failed in the store."""
        wanted = {row.image: str(row.file) for row in rows if row.strength != 0}
        plain = {key: self._files[key] for row in rows if (key := (row.prompt, row.seed)) in self._files and key not in self.unsteered}
        vectors = self._embed({**wanted, **dict(plain.values())})
        for key, (image, _) in plain.items():
            if image in vectors:
                self.unsteered[key] = vectors[image]
            else:
                del self._files[key]
        return vectors | {row.image: self.unsteered[key] for row in rows if row.strength == 0 and (key := (row.prompt, row.seed)) in self.unsteered}

    def _rivals(self, kind: str) -> "tuple[list[str], Tensor]":
        """What an image of this kind of concept is told apart from: the words of its kind, or of the whole set where there is but one."""
        everything = [concept for concepts in self._job.concept_set.splits.values() for concept in concepts]
        alike = [concept.text for concept in everything if concept.kind == kind]
        words = list(dict.fromkeys(alike if len(alike) > 1 else [concept.text for concept in everything]))
        return words, self._scorer.texts(words)

    def _embed(self, files: Mapping[Digest, str]) -> dict[Digest, "Tensor"]:
        from PIL import Image

        pictures = {}
        for key, file in files.items():
            png = (self._job.store.folder / "images" / file).read_bytes()
            if Picture(key=key, png=png).file == file:
                pictures[key] = Image.open(BytesIO(png))
            else:
                self.damaged += 1
                self._job.voice.warn(f"image {file} is damaged and is made again")
                self._job.store.add_failure([key], Failure(kind="damaged", message=f"image {file} is not what was written"))
        images = list(pictures.values())
        filler = images[-1:] * (-len(images) % _AT_ONCE)  # a vector may depend on the size of its batch, to the last bit
        return dict(zip(pictures, self._scorer.images([*images, *filler]), strict=False)) if pictures else {}


def _values(
    rows: Sequence[Row],
    images: "Sequence[Tensor]",
    unsteered: "Sequence[Tensor]",
    concepts: Mapping[str, Concept],
    gazer: _Gazer,
    scorer: Encoder,
) -> list[tuple[int, str, str, float | None]]:
    import torch

    image, before = torch.stack(list(images)), torch.stack(list(unsteered))
    prompt = torch.stack([gazer.text(row.prompt) for row in rows])
    wanted = torch.stack([gazer.text(concepts[row.concept].text) for row in rows])
    target = torch.stack([gazer.text(concepts[row.concept].target(row.prompt)) for row in rows])
    values = {
        "concept_gain": metric.concept_gain(image, before, wanted),
        "presence": metric.presence(image, target, prompt, scale=scorer.scale),
        "identity": _identity([concepts[row.concept] for row in rows], image, gazer, scorer),
        "prompt_preservation": metric.prompt_preservation(image, prompt),
        "image_preservation": metric.image_preservation(image, before),
    }
    return [(row.id, name, encoder_id(scorer), float(column[k])) for name, column in values.items() for k, row in enumerate(rows)]


def _identity(wanted: Sequence[Concept], image: "Tensor", gazer: _Gazer, scorer: Encoder) -> "Tensor":
    import torch

    found = torch.empty(len(wanted))
    for kind in {concept.kind for concept in wanted}:
        words, vectors = gazer.rivals(kind)
        here = [k for k, concept in enumerate(wanted) if concept.kind == kind]
        own = torch.tensor([words.index(wanted[k].text) for k in here])
        found[here] = metric.identity(image[here], vectors, own, scale=scorer.scale)
    return found
