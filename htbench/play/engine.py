"""The pictures, scores and fits that the page asks for."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import torch
from cachetools import LRUCache
from torch import Tensor

from htbench.core import content, pictures
from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.play.run_maps import RunMaps
from htbench.play.view import ConceptSource, View
from htbench.scorers import metrics
from htbench.steering import steer
from htbench.steering.baseline import Card
from htbench.steering.combined import Part, combine
from htbench.steering.concept import REFERENCE_PIXELS, Concept, ConceptSet, ImageFile
from htbench.steering.encoder import Encoder
from htbench.steering.intervention import Intervention, Rewrite
from htbench.steering.method import Steering, load_or_train
from htbench.steering.model import Model, Request, describe_unknown_words, unknown_words

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 2
"""Pictures that are made at once; after each batch a newer request may take over."""
_KEPT_BYTES = 1 << 28
_KEPT_FITS, _KEPT_VECTORS, _KEPT_REFERENCES = 400, 20_000, 200
_Image = tuple[str, int, object]
"""Prompt, seed, and whatever else decides about a picture."""


class Stale(Exception):
    """A newer request of the same tab has come."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """The intervention of a method towards a concept, with the time that it took."""

    change: Intervention
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """The pictures of one method, one per point of the view."""

    method: str
    images: "Sequence[Image]" = ()
    note: str = ""
    """The reason why there are no pictures; empty if there are."""
    needs_fit: bool = False
    """True if the method must be fitted to a concept first."""
    learning_seconds: float = 0.0
    """Time to predict or to fit the interventions, whenever that was."""
    image_seconds: float = 0.0
    """Time per picture that was made now; 0 if all were kept from before."""
    presence: Sequence[float] = ()
    """Probability that a picture shows the concepts rather than the prompt alone; empty where it
    was not asked for, or the concepts have no words."""
    preservation: Sequence[float] = ()
    """Cosine to the unsteered picture."""


class Engine:
    """A model, the methods that steer it, and everything that was made so far, within bounds.

    `rows` is called from one thread, and `fit` from another.

    Args:
        model: the model that makes pictures.
        learner: the model that methods are fitted on: another copy, so that pictures do not wait
            for a fit, or the same one.
        scorer: the encoder of scores.
        cards: the methods, by name.
        concepts: the set whose prompts methods are fitted on.
        folder: where trained methods and sent pictures are kept.
        run_maps: the interventions of a run, which are taken instead of learning any; None: learn.
    """

    def __init__(
        self,
        model: Model,
        learner: Model,
        scorer: Encoder,
        cards: Mapping[str, Card],
        concepts: ConceptSet,
        folder: Path,
        *,
        run_maps: RunMaps | None = None,
    ) -> None:
        self.model, self.learner, self.scorer = model, learner, scorer
        self.cards, self.concepts, self.folder = cards, concepts, folder
        self.run_maps = run_maps
        self._steerings: dict[str, Steering] = {}
        self._learnt: LRUCache[tuple[str, ConceptSource], Learnt] = LRUCache(_KEPT_FITS)
        self._images: LRUCache[_Image, Image] = LRUCache(
            _KEPT_BYTES, getsizeof=lambda image: 3 * image.width * image.height
        )
        self._seen: LRUCache[_Image, Tensor] = LRUCache(_KEPT_VECTORS)
        self._read: LRUCache[str, Tensor] = LRUCache(_KEPT_VECTORS)
        self._references: LRUCache[str, ImageFile] = LRUCache(_KEPT_REFERENCES)
        self._learnt_lock, self._model_lock = Lock(), Lock()
        (folder / "learnt").mkdir(parents=True, exist_ok=True)

    def warm_up(self) -> None:
        """Load or train what methods share between concepts, and make a first picture."""
        if not self.run_maps:
            for card in self.cards.values():
                self._steering(card)
        self._generate([Request(prompt="", seed=0, intervention=Intervention(), strength=0.0)])

    def rows(self, view: View, is_stale: Callable[[], bool] = lambda: False) -> Iterator[Row]:
        """The unsteered picture as a row of the method `none`, then a row per method.

        Args:
            is_stale: asked before each batch of pictures.

        Raises:
            Stale: if it says so.
            UsageError: if the prompt is empty, or has words that the model does not know, or a
                concept cannot be read.
            UnknownName: if a method is not one of the page's.
        """
        if not view.prompt:
            raise UsageError("the prompt is empty")
        for method in view.methods:
            if method not in self.cards:
                raise UnknownName("method on this page", method, self.cards)
        concepts = [self._concept(source) for source in view.concepts]
        self._check_words(view, concepts)
        plain = _Shot("none", (), Intervention(), 0.0)
        yield self._row(view, "none", [plain], concepts, 0.0, is_stale)
        for method in view.methods:
            yield self._method_row(view, method, concepts, is_stale)

    def _method_row(
        self,
        view: View,
        method: str,
        concepts: Sequence[Concept],
        is_stale: Callable[[], bool],
    ) -> Row:
        try:
            for concept in concepts:
                steer.check_readable(self.cards[method], concept)
            found = [self._known(method, source) for source in view.concepts]
            known = [each for each in found if each is not None]
            if len(known) < len(found):
                return Row(method=method, note="not fitted yet", needs_fit=True)
            shots = [
                self._shot(method, view.concepts, [each.change for each in known], point)
                for point in view.points
            ]
        except (UsageError, Refused) as error:
            return Row(method=method, note=str(error))
        return self._row(
            view, method, shots, concepts, sum(each.seconds for each in known), is_stale
        )

    def _row(
        self,
        view: View,
        method: str,
        shots: "Sequence[_Shot]",
        concepts: Sequence[Concept],
        learning_seconds: float,
        is_stale: Callable[[], bool],
    ) -> Row:
        images, seconds = self._make(view, shots, is_stale)
        if view.scores and is_stale():
            raise Stale
        presence, preservation = (
            self._scores(view, shots, images, concepts) if view.scores else ((), ())
        )
        return Row(
            method=method,
            images=images,
            learning_seconds=learning_seconds,
            image_seconds=seconds,
            presence=presence,
            preservation=preservation,
        )

    def fit(self, method: str, source: ConceptSource) -> Learnt:
        """The intervention of a method towards a concept, fitted if it was not before.

        Raises:
            UnknownName: if the method is not one of the page's.
            UsageError: if the method cannot read the concept.
        """
        if method not in self.cards:
            raise UnknownName("method on this page", method, self.cards)
        if known := self._find(method, source):
            return known
        concept = self._concept(source)
        steer.check_readable(self.cards[method], concept)
        if self.learner is self.model:
            with self._model_lock:
                return self._learn(method, source, concept)
        return self._learn(method, source, concept)

    def has_fit(self, method: str, source: ConceptSource) -> bool:
        """True if the intervention of a method towards a concept is kept."""
        return self._find(method, source) is not None

    def keep_reference(self, data: bytes) -> str:
        """Keep a picture of a concept, and return the id by which views name it.

        Raises:
            UsageError: if it is no picture, or too large.
        """
        picture = pictures.open_picture(data, name="the picture", pixels=REFERENCE_PIXELS)
        name = sha256(data).hexdigest()[:32]
        path = self.folder / "references" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        with content.replacing(path) as fresh:
            picture.save(fresh, "PNG")
        self._references[name] = ImageFile.from_path(path)
        return name

    def _known(self, method: str, source: ConceptSource) -> Learnt | None:
        """The intervention, predicted now if that takes no fit; None if it takes one."""
        known = self._find(method, source)
        if known is None and (self.run_maps or self.cards[method].kind != "per-concept"):
            return self._learn(method, source, self._concept(source))
        return known

    def _find(self, method: str, source: ConceptSource) -> Learnt | None:
        with self._learnt_lock:
            return self._learnt.get((method, source))

    def _learn(self, method: str, source: ConceptSource, concept: Concept) -> Learnt:
        if self.run_maps:
            change, seconds = self.run_maps.load(method, source.words, self.model)
        else:
            began = time.perf_counter()
            change = self._steering(self.cards[method]).towards(concept)
            seconds = time.perf_counter() - began
        learnt = Learnt(change=change, seconds=seconds)
        with self._learnt_lock:
            self._learnt[method, source] = learnt
        return learnt

    def _steering(self, card: Card) -> Steering:
        if card.name not in self._steerings:
            trained = load_or_train(
                card,
                self.learner,
                self.concepts.splits["train"],
                folder=self.folder / "learnt",
                seed=0,
            )
            self._steerings[card.name] = trained.steering
        return self._steerings[card.name]

    def _concept(self, source: ConceptSource) -> Concept:
        if not source.picture:
            return steer.concept_from_words(source.words, self.concepts)
        reference = self._references.get(source.picture)
        if reference is None:
            raise UsageError("the picture is not kept any more", remedy="Drop it again.")
        return Concept(
            id=f"pictures/{source.picture}",
            kind="pictures",
            text="",
            template="",
            references=(reference,),
        )

    def _check_words(self, view: View, concepts: Sequence[Concept]) -> None:
        prompts = [view.prompt, *(concept.target(view.prompt) for concept in concepts)]
        if unknown := unknown_words(self.model, [prompt for prompt in prompts if prompt]):
            raise UsageError(describe_unknown_words(self.model.name, unknown))

    def _shot(
        self,
        method: str,
        sources: Sequence[ConceptSource],
        changes: Sequence[Intervention],
        point: Sequence[float],
    ) -> "_Shot":
        """A picture of a method at a point; prompting is the same at all strengths of one sign."""
        signs = tuple(
            float((s > 0) - (s < 0)) if isinstance(change, Rewrite) else s
            for change, s in zip(changes, point, strict=True)
        )
        acting = tuple((source, s) for source, s in zip(sources, signs, strict=True) if s)
        parts = [
            Part(intervention=change, strength=s) for change, s in zip(changes, signs, strict=True)
        ]
        whole = combine(parts, "sum")
        return _Shot(method if acting else "none", acting, whole.intervention, whole.strength)

    def _make(
        self, view: View, shots: "Sequence[_Shot]", is_stale: Callable[[], bool]
    ) -> "tuple[list[Image], float]":
        """The pictures, and the time per picture that was made now."""
        images: dict[_Image, Image] = {}
        todo: dict[_Image, _Shot] = {}
        for shot in shots:
            key = shot.key(view)
            if (image := self._images.get(key)) is None:
                todo[key] = shot
            else:
                images[key] = image
        began, keys = time.perf_counter(), list(todo)
        for start in range(0, len(keys), BATCH):
            if is_stale():
                raise Stale
            part = keys[start : start + BATCH]
            requests = [
                Request(
                    prompt=view.prompt,
                    seed=view.seed,
                    intervention=todo[key].change,
                    strength=todo[key].strength,
                )
                for key in part
            ]
            made = dict(zip(part, self._generate(requests), strict=True))
            images |= made
            for key, image in made.items():
                if 3 * image.width * image.height <= _KEPT_BYTES:
                    self._images[key] = image
        seconds = (time.perf_counter() - began) / len(keys) if keys else 0.0
        return [images[shot.key(view)] for shot in shots], seconds

    def _generate(self, requests: Sequence[Request]) -> "Sequence[Image]":
        with self._model_lock:
            return self.model.generate(requests)

    def _scores(
        self,
        view: View,
        shots: "Sequence[_Shot]",
        images: "Sequence[Image]",
        concepts: Sequence[Concept],
    ) -> tuple[list[float], list[float]]:
        """Presence of all concepts that have words, and preservation, per picture."""
        keys = [shot.key(view) for shot in shots]
        own = self._embed(dict(zip(keys, images, strict=True)))
        plain_key = _Shot("none", (), Intervention(), 0.0).key(view)
        plain = self._seen[plain_key]
        steered = torch.stack([own[key] for key in keys])
        preservation = metrics.image_preservation(steered, plain.expand_as(steered)).tolist()
        if not concepts or not all(concept.text for concept in concepts):
            return [], preservation
        target = view.prompt
        for concept in concepts:
            target = concept.target(target)
        asked, prompt = self._texts([target, view.prompt])
        presence = metrics.presence(
            steered, asked.expand_as(steered), prompt.expand_as(steered), scale=self.scorer.scale
        )
        return presence.tolist(), preservation

    def _embed(self, images: "Mapping[_Image, Image]") -> dict[_Image, Tensor]:
        found = {key: self._seen[key] for key in images if key in self._seen}
        new = [key for key in images if key not in found]
        if new:
            vectors = self.scorer.images([images[key] for key in new])
            found |= dict(zip(new, vectors, strict=True))
            self._seen.update({key: found[key] for key in new})
        return found

    def _texts(self, texts: Sequence[str]) -> list[Tensor]:
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        if new:
            self._read.update(zip(new, self.scorer.texts(new), strict=True))
        return [self._read[text] for text in texts]


@dataclass(frozen=True, kw_only=False)
class _Shot:
    """A picture of a view: the method, and the concepts that act with their strengths."""

    method: str
    acting: tuple[tuple[ConceptSource, float], ...]
    change: Intervention
    strength: float

    def key(self, view: View) -> _Image:
        """Equal for equal pictures."""
        return view.prompt, view.seed, (self.method, self.acting)
