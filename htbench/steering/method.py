"""Methods and steerings: the protocols of a steering method before and after its training.

`Method.train` does the work that all concepts share, once. `Steering.towards` then gives the
intervention for any one concept. A method without shared work is a `FitsEachConcept`: its `train`
does nothing, and `towards` calls its `fit` for the concept. A `FitsSideBySide` can also fit several
concepts in one batch.
"""

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from htbench.core import content, locks
from htbench.core.errors import Refused, UsageError
from htbench.core.types import Digest
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model
from htbench.steering.training import Training, method_digest, steering_key, training_digest


class Steering(Protocol):
    """A trained method on a model: it gives the intervention for any concept.

    `Method.train` and `Method.load` return one.
    """

    @property
    def training(self) -> Training:
        """The cost and the data of the training."""

    def towards(self, concept: Concept) -> Intervention:
        """The intervention that adds `concept` to images of the model.

        This is the cost per concept. A method trained for all concepts together predicts the
        intervention, with a hypernetwork or from stored maps; a `FitsEachConcept` fits it here.

        Raises:
            UsageError: if the method cannot read the concept, such as one without words.
        """

    def save(self, path: Path) -> None:
        """Write a file from which `Method.load` restores this steering."""


class Method(Protocol):
    """A steering method: a frozen dataclass whose fields are its hyperparameters, all of them.

    A plug-in in the group `htbench.methods` is such a class, set up by a card (`load_method`).
    See docs/add-a-method.md.
    """

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Train what all concepts share, once, on the training `concepts`.

        The result gives the intervention for any concept, by `Steering.towards`. A method that
        fits each concept by itself has nothing to do here: see `FitsEachConcept`.

        Args:
            model: the frozen model that is to be steered.
            concepts: the training concepts.
            seed: with the settings, the model and the concepts it determines the result.
            folder: place for checkpoints, from which an interrupted call resumes; None: none are
                kept. It belongs to this method with these settings, concepts and seed; files that
                other methods can use as well go beside it.
        """

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The steering that was saved at `path`.

        Raises:
            Refused: if the file is damaged, or was made for another model.
        """


def refuse_other_origin(made: str, origins: Iterable[tuple[str, object, object]]) -> None:
    """Refuse a file that was made with another model, encoder or the like.

    `made` begins the message, such as `steering 'x' was trained`; `origins` are what each is, its
    recorded value and the present one.

    Raises:
        Refused: for the first that differs.
    """
    for what, recorded, current in origins:
        if recorded != current:
            raise Refused(
                f"{made} with another {what}: {recorded}, this is {current}",
                remedy="Make it anew for this one.",
            )


class FitsEachConcept(ABC):
    """A method that shares nothing between concepts: a subclass implements `fit` alone.

    `train` does no work, and the `towards` of the steering that it returns calls `fit`.
    """

    @abstractmethod
    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """Fit the intervention that adds one `concept`, on images of its own fitting prompts.

        It is called once per concept; `fitting_images` gives the prompts and seeds.
        """

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Train nothing: the steering fits each concept in `towards`."""
        return _PerConceptSteering(method=self, model=model, seed=seed)

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The steering that `train` gives, since there is nothing to read."""
        return self.train(model, (), seed=seed)


class FitsSideBySide(FitsEachConcept):
    """A `FitsEachConcept` that can also fit several concepts in one batch, for less time each."""

    @abstractmethod
    def fit_many(
        self, model: Model, concepts: Sequence[Concept], *, seed: int
    ) -> Sequence[Intervention]:
        """Fit one intervention per concept, in their order.

        Each is the one that `fit` gives for its concept, but for rounding: neither the other
        concepts nor their order matter. A single concept has the bits of `fit`.
        """


@dataclass(frozen=True, kw_only=True)
class _PerConceptSteering:
    method: FitsEachConcept
    model: Model
    seed: int
    training: Training = field(default_factory=Training)

    def towards(self, concept: Concept) -> Intervention:
        return self.method.fit(self.model, concept, seed=self.seed)

    def save(self, path: Path) -> None:
        path.write_text(
            json.dumps({"learnt": "nothing: every concept is fitted by itself"}), encoding="utf-8"
        )


def towards_many(steering: Steering, concepts: Sequence[Concept]) -> list[Intervention]:
    """The interventions for `concepts`: fitted in one batch by a `FitsSideBySide`, else in turn."""
    if isinstance(steering, _PerConceptSteering) and isinstance(steering.method, FitsSideBySide):
        return [*steering.method.fit_many(steering.model, concepts, seed=steering.seed)]
    return [steering.towards(concept) for concept in concepts]


@dataclass(frozen=True, kw_only=True)
class TrainedMethod:
    """A baseline after its training."""

    card: Card
    steering: Steering
    digest: Digest
    """Changes with the card, the trained weights and the seed: with everything that determines an
    intervention besides the model and the concept."""
    training: Training
    """The training of the steering; where its file has no digest of the training concepts, with
    that of the concepts given here, unless the file is shipped."""


def load_or_train(
    card: Card, model: Model, concepts: Sequence[Concept], *, folder: Path, seed: int
) -> TrainedMethod:
    """The baseline of `card`, trained: shipped beside its card, else kept in `folder`, else new.

    Args:
        card: as `load_card` gives it.
        model: the model that is to be steered.
        concepts: the training concepts, such as the split `train` of a set.
        folder: where an earlier call kept the result, and this one does; it must exist.
        seed: seed of the training.

    Raises:
        Missing: if the card names a trained file that does not exist.
        Refused: if the trained file is damaged, or was made for another model or encoder.
    """
    method: Method = baseline.load_method(card)
    key = steering_key(card, model.revision, concepts, seed=seed)
    shipped = card.artifact(model.name)
    path = shipped or folder / f"steering-{key}"
    if path.exists():
        steering = method.load(model, path, seed=seed)
    else:
        lock = locks.acquire(
            folder / f".learning-{key}.lock",
            noun=f"the training of {card.name!r} in {str(folder)[:300]!r}",
            activity="done",
            wait=60.0,
        )
        with lock:
            steering = (
                method.load(model, path, seed=seed)
                if path.exists()
                else _train(method, model, concepts, path, seed=seed, key=key)
            )
    weights = content.file_digest(path) if shipped else key
    return TrainedMethod(
        card=card,
        steering=steering,
        digest=method_digest(card, weights, seed=seed),
        training=(steering.training if shipped else _with_digest(steering.training, concepts)),
    )


def _train(
    method: Method,
    model: Model,
    concepts: Sequence[Concept],
    path: Path,
    *,
    seed: int,
    key: Digest,
) -> Steering:
    """Train a method, with checkpoints beside `path`, and save the steering to `path`."""
    own = path.parent / f"learning-{key}"
    own.mkdir(parents=True, exist_ok=True)
    steering = method.train(model, concepts, seed=seed, folder=own)
    if not any(own.iterdir()):
        own.rmdir()
    with content.replacing(path) as fresh:
        steering.save(fresh)
    return steering


def _with_digest(training: Training, concepts: Sequence[Concept]) -> Training:
    """`training` with the digest of its concepts, which are among `concepts`."""
    by_id = {concept.id: concept for concept in concepts}
    if training.concepts_digest or training.unverified or set(training.concepts) - by_id.keys():
        return training
    trained = [by_id[id_] for id_ in training.concepts]
    return replace(training, concepts_digest=training_digest(trained))


def load_or_train_base(
    name: str, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None
) -> Steering:
    """The steering of another card, for a method that builds on it, as `load_or_train` gives it.

    Without a `folder` it is trained unless it is shipped, and not kept.
    """
    card = baseline.load_card(name)
    if folder or model.name in card.artifacts:
        return load_or_train(card, model, concepts, folder=folder or Path(), seed=seed).steering
    method: Method = baseline.load_method(card)
    return method.train(model, concepts, seed=seed)


PromptsAndSeeds = tuple[list[str], list[int]]
"""Prompts and seeds of a list of images, one of each per image."""


def fitting_images(
    concept: Concept, count: int, *, seed: int, number: int = 0
) -> tuple[PromptsAndSeeds, PromptsAndSeeds]:
    """Prompts and seeds of `count` source and `count` target images to fit a concept on.

    Source prompts are neutral ones of the concept, target prompts are neutral ones that ask for
    the concept; the two lists are in different orders and have different seeds, so images are not
    paired. Seeds differ from those of evaluation, which are digests of prompts.

    Args:
        concept: prompts are its `sources`, repeated where there are fewer than `count`.
        count: images of either list.
        seed: seed of the method's training or fit.
        number: 0, 1, ... give further lists, such as one per training step.

    Returns:
        `(source, target)`, each a pair of a list of prompts and a list of seeds.

    Raises:
        UsageError: if the concept has no `sources`.
    """
    if not concept.sources:
        raise UsageError(
            f"concept {concept.id!r} has no neutral prompts to learn from",
            remedy="Give its set prompts with use = fit.",
        )
    rng = random.Random(f"{seed}/{number}/{concept.id}")
    prompts = [
        concept.sources[k % len(concept.sources)]
        for k in range(number * count, (number + 1) * count)
    ]
    shuffled = rng.sample(prompts, count)
    return (prompts, [rng.getrandbits(32) for _ in range(count)]), (
        [concept.target(prompt) for prompt in shuffled],
        [rng.getrandbits(32) for _ in range(count)],
    )


def full_batches(concepts: Sequence[Concept], images: int) -> list[Sequence[Concept]]:
    """Groups of concepts, each with as many as fill a batch of 32 with `images` per concept."""
    size = max(1, _BATCH // images)
    return [concepts[k : k + size] for k in range(0, len(concepts), size)]


_BATCH = 32
