"""The pictures, scores and fits that the page asks for."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import torch
from cachetools import LRUCache
from torch import Tensor

from htbench.core import content, pictures, threads
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
from htbench.steering.model import (
    CachesPrompts,
    Model,
    Request,
    describe_unknown_words,
    unknown_words,
)

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 4
"""Pictures that are made at once; after each batch a newer request may take over."""
MAX_PIXELS = 1 << 25
"""The most pixels of a picture that is sent: 33 million."""
_KEPT_BYTES = 1 << 28
_KEPT_PROMPTS, _PROMPTS_OF_FIT = 500, 50
"""Prompts after which a model forgets those that it has encoded, and about how many a fit has."""
_KEPT_FITS, _KEPT_VECTORS, _KEPT_REFERENCES = 400, 20_000, 200
_Image = tuple[str, int, object]
"""Prompt, seed, and whatever else decides about a picture."""
_Scores = tuple[float | None, float]
"""Presence, where the concepts have words, and preservation."""


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
        learner: the model that methods are fitted on: another copy of a small model, so that
            pictures do not wait for a fit, or the same one.
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
        self._images: LRUCache[_Image, Image] = LRUCache(_KEPT_BYTES, getsizeof=_bytes_of)
        self._seen: LRUCache[_Image, Tensor] = LRUCache(_KEPT_VECTORS)
        self._read: LRUCache[str, Tensor] = LRUCache(_KEPT_VECTORS)
        self._references: OrderedDict[str, ImageFile] = OrderedDict()
        self._prompts: Counter[str] = Counter()
        self._lock, self._model_lock = Lock(), Lock()
        (folder / "learnt").mkdir(parents=True, exist_ok=True)

    def warm_up(self) -> None:
        """Load or train what methods share between concepts, and make a first picture."""
        if not self.run_maps:
            for card in self.cards.values():
                self._steering(card)
        self._generate([Request(prompt="", seed=0, intervention=Intervention(), strength=0.0)])

    def rows(self, view: View, is_stale: Callable[[], bool] = lambda: False) -> list[Row]:
        """The unsteered picture as a row of the method `none`, then a row per method.

        Pictures of all methods at one point are made together, and those of the first point first.

        Args:
            is_stale: asked before each batch of pictures, and before their scores.

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
        concepts = [self.concept(source) for source in view.concepts]
        self._check_words(view, concepts)
        planned = [
            _Planned("none", [_PLAIN], 0.0),
            *(self._plan(view, method, concepts) for method in view.methods),
        ]
        able = [each for each in planned if isinstance(each, _Planned)]
        by_point = zip_longest(*(each.shots for each in able))
        wanted = {shot.key(view): shot for shots in by_point for shot in shots if shot}
        with self._one_thread():
            images, seconds = self._make(view, wanted, is_stale)
            if view.scores and is_stale():
                raise Stale
            scores = self._scores(view, images, concepts) if view.scores else {}
        return [
            _row(view, each, images, seconds, scores) if isinstance(each, _Planned) else each
            for each in planned
        ]

    def _plan(self, view: View, method: str, concepts: Sequence[Concept]) -> "_Planned | Row":
        """The pictures of a method; a row without any if it cannot make them."""
        try:
            for concept in concepts:
                steer.check_readable(self.cards[method], concept)
            pairs = zip(view.concepts, concepts, strict=True)
            found = [self._known(method, source, concept) for source, concept in pairs]
            known = [each for each in found if each is not None]
            if len(known) < len(found):
                return Row(method=method, note="not fitted yet", needs_fit=True)
            changes = [each.change for each in known]
            shots = [_shot(method, view.concepts, changes, point) for point in view.points]
        except (UsageError, Refused) as error:
            return Row(method=method, note=str(error))
        return _Planned(method, shots, sum(each.seconds for each in known))

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
        concept = self.concept(source)
        steer.check_readable(self.cards[method], concept)
        with self._model_lock if self.learner is self.model else nullcontext():
            self._bound_prompts(self.learner, "fits", _PROMPTS_OF_FIT)
            return self._learn(method, source, concept)

    def has_fit(self, method: str, source: ConceptSource) -> bool:
        """True if the intervention of a method towards a concept is kept."""
        return self._find(method, source) is not None

    def concept(self, source: ConceptSource) -> Concept:
        """The concept that a source names.

        Raises:
            UsageError: if it is empty, or its picture is not kept any more.
        """
        if not source.picture:
            return steer.concept_from_words(source.words, self.concepts)
        with self._lock:
            reference = self._references.get(source.picture)
            if reference is None:
                raise UsageError("the picture is not kept any more", remedy="Drop it again.")
            self._references.move_to_end(source.picture)
        return Concept(
            id=f"pictures/{source.picture}",
            kind="pictures",
            text="",
            template="",
            references=(reference,),
        )

    def keep_reference(self, data: bytes) -> str:
        """Keep a picture of a concept, and return the id by which views name it.

        Raises:
            UsageError: if it is no picture, or has more than `MAX_PIXELS`.
        """
        picture = pictures.open_picture(
            data, name="the picture", pixels=REFERENCE_PIXELS, most=MAX_PIXELS
        )
        name = sha256(data).hexdigest()[:32]
        path = self.folder / "references" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        with content.replacing(path) as fresh:
            picture.save(fresh, "PNG")
        reference = ImageFile.from_path(path)
        with self._lock:
            self._references[name] = reference
            while len(self._references) > _KEPT_REFERENCES:
                _, oldest = self._references.popitem(last=False)
                oldest.path.unlink(missing_ok=True)
        return name

    def _known(self, method: str, source: ConceptSource, concept: Concept) -> Learnt | None:
        """The intervention, predicted now if that takes no fit; None if it takes one."""
        known = self._find(method, source)
        if known is None and (self.run_maps or self.cards[method].kind != "per-concept"):
            return self._learn(method, source, concept)
        return known

    def _find(self, method: str, source: ConceptSource) -> Learnt | None:
        with self._lock:
            return self._learnt.get((method, source))

    def _learn(self, method: str, source: ConceptSource, concept: Concept) -> Learnt:
        if self.run_maps:
            change, seconds = self.run_maps.load(method, source.words, self.model)
        else:
            began = time.perf_counter()
            change = self._steering(self.cards[method]).towards(concept)
            seconds = time.perf_counter() - began
        learnt = Learnt(change=change, seconds=seconds)
        with self._lock:
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

    def _check_words(self, view: View, concepts: Sequence[Concept]) -> None:
        prompts = [view.prompt, *(concept.target(view.prompt) for concept in concepts)]
        if unknown := unknown_words(self.model, [prompt for prompt in prompts if prompt]):
            raise UsageError(describe_unknown_words(self.model.name, unknown))

    def _make(
        self, view: View, wanted: "Mapping[_Image, _Shot]", is_stale: Callable[[], bool]
    ) -> "tuple[dict[_Image, Image], dict[_Image, float]]":
        """The pictures, and the time of each that was made now."""
        images = {key: self._images[key] for key in wanted if key in self._images}
        seconds: dict[_Image, float] = {}
        todo = [key for key in wanted if key not in images]
        for start in range(0, len(todo), BATCH):
            if is_stale():
                raise Stale
            part = todo[start : start + BATCH]
            requests = [
                Request(
                    prompt=view.prompt,
                    seed=view.seed,
                    intervention=wanted[key].change,
                    strength=wanted[key].strength,
                )
                for key in part
            ]
            began = time.perf_counter()
            made = dict(zip(part, self._generate(requests), strict=True))
            seconds |= dict.fromkeys(part, (time.perf_counter() - began) / len(part))
            images |= made
            for key, image in made.items():
                if _bytes_of(image) <= _KEPT_BYTES:
                    self._images[key] = image
        return images, seconds

    def _generate(self, requests: Sequence[Request]) -> "Sequence[Image]":
        with self._model_lock:
            self._bound_prompts(self.model, "pictures", len(requests))
            return self.model.generate(requests)

    def _one_thread(self) -> AbstractContextManager[None]:
        """One core for the pictures of a small model: the browser and a fit have the others."""
        is_small = self.learner is not self.model
        return threads.for_work(0 if is_small else math.inf, self.model.device)

    def _bound_prompts(self, model: Model, use: str, more: int) -> None:
        """Have a model forget the prompts that it keeps, every so many of them."""
        self._prompts[use] += more
        if self._prompts[use] > _KEPT_PROMPTS and isinstance(model, CachesPrompts):
            model.forget_prompts()
            self._prompts[use] = more

    def _scores(
        self, view: View, images: "Mapping[_Image, Image]", concepts: Sequence[Concept]
    ) -> "dict[_Image, _Scores]":
        """Presence of all concepts, if they have words, and preservation, of each picture."""
        own = self._embed(images)
        steered = torch.stack([*own.values()])
        plain = own[_PLAIN.key(view)].expand_as(steered)
        preservation = metrics.image_preservation(steered, plain).tolist()
        presence: Sequence[float | None] = [None] * len(own)
        if concepts and all(concept.text for concept in concepts):
            target = view.prompt
            for concept in concepts:
                target = concept.target(target)
            asked, prompt = (text.expand_as(steered) for text in self._texts([target, view.prompt]))
            presence = metrics.presence(steered, asked, prompt, scale=self.scorer.scale).tolist()
        return dict(zip(own, zip(presence, preservation, strict=True), strict=True))

    def _embed(self, images: "Mapping[_Image, Image]") -> dict[_Image, Tensor]:
        found = {key: self._seen[key] for key in images if key in self._seen}
        new = [key for key in images if key not in found]
        if new:
            vectors = self.scorer.images([images[key] for key in new])
            found |= dict(zip(new, vectors, strict=True))
            self._seen.update({key: found[key] for key in new})
        return {key: found[key] for key in images}

    def _texts(self, texts: Sequence[str]) -> list[Tensor]:
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        if new:
            self._read.update(zip(new, self.scorer.texts(new), strict=True))
        return [self._read[text] for text in texts]


@dataclass(frozen=True)
class _Shot:
    """A picture of a view: the method, and the concepts that act with their strengths."""

    method: str
    acting: tuple[tuple[ConceptSource, float], ...]
    change: Intervention
    strength: float

    def key(self, view: View) -> _Image:
        """Equal for equal pictures."""
        return view.prompt, view.seed, (self.method, self.acting)


_PLAIN = _Shot("none", (), Intervention(), 0.0)


@dataclass(frozen=True)
class _Planned:
    """The pictures of a method, one per point of the view."""

    method: str
    shots: Sequence[_Shot]
    learning_seconds: float


def _bytes_of(image: "Image") -> int:
    """About what a picture takes in memory, with all that goes with it."""
    return 3 * image.width * image.height + 4096


def _shot(
    method: str,
    sources: Sequence[ConceptSource],
    changes: Sequence[Intervention],
    point: Sequence[float],
) -> _Shot:
    """A picture of a method at a point; prompting is the same at all strengths of one sign."""
    signs = tuple(
        float((s > 0) - (s < 0)) if isinstance(change, Rewrite) else s
        for change, s in zip(changes, point, strict=True)
    )
    acting = tuple((source, s) for source, s in zip(sources, signs, strict=True) if s)
    if not acting:
        return _PLAIN
    parts = [
        Part(intervention=change, strength=s) for change, s in zip(changes, signs, strict=True)
    ]
    whole = combine(parts, "sum")
    return _Shot(method, acting, whole.intervention, whole.strength)


def _row(
    view: View,
    planned: _Planned,
    images: "Mapping[_Image, Image]",
    seconds: Mapping[_Image, float],
    scores: Mapping[_Image, _Scores],
) -> Row:
    keys = [shot.key(view) for shot in planned.shots]
    new = [seconds[key] for key in dict.fromkeys(keys) if key in seconds]
    scored = [scores[key] for key in keys if key in scores]
    return Row(
        method=planned.method,
        images=[images[key] for key in keys],
        learning_seconds=planned.learning_seconds,
        image_seconds=sum(new) / len(new) if new else 0.0,
        presence=[presence for presence, _ in scored if presence is not None],
        preservation=[preservation for _, preservation in scored],
    )
