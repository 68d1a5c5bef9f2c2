"""The cost and the data of a method's training; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from htbench.core import content
from htbench.core.types import Digest
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept


@dataclass(frozen=True, kw_only=True)
class Training:
    """The cost and the data of a training, which is paid once, before the first concept.

    A method that fits each concept by itself has the defaults: no cost, and no concepts.
    """

    seconds: float = 0.0
    """Wall-clock seconds, summed over the processes of a distributed training."""
    device: str = ""
    """Name of the device that it ran on."""
    concepts: tuple[str, ...] = ()
    """Ids of the training concepts; a method is not evaluated on them."""
    encoders: tuple[str, ...] = ()
    """Names of the encoders that concepts are embedded with: not fit to be the only scorers."""
    concepts_digest: str = ""
    """Digest of the training concepts, as `training_digest` gives it; empty: it is not known."""
    unverified: str = ""
    """Reason why `concepts` may not be the list that the training wrote; empty: there is none."""


def training_digest(concepts: Sequence[Concept]) -> Digest:
    """Digest of training concepts: their texts, templates, neutral prompts and references."""
    return content.digest([concept.digest for concept in concepts])


def steering_key(card: Card, revision: Digest, concepts: Sequence[Concept], *, seed: int) -> Digest:
    """Digest of everything that determines a trained steering.

    `load_or_train` keeps the steering at `steering-KEY`, and its checkpoints at `learning-KEY`.
    """
    return content.digest([card.digest, revision, [concept.digest for concept in concepts], seed])


def method_digest(card: Card, weights: Digest, *, seed: int) -> Digest:
    """Digest of a trained method.

    `weights` is the digest of the file that the card names for the model; else the `steering_key`,
    since a file that is made here also records the seconds it took.
    """
    return content.digest([card.digest, weights, seed])
