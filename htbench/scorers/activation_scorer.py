"""Scores of a model's activations at one site: the protocol."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from htbench.core import registry

Samples = Float[np.ndarray, "samples channels"]
"""Activations of one site, means over positions, one row per picture and step of the model."""
Others = Float[np.ndarray, "others channels"]


@dataclass(frozen=True, kw_only=True)
class ActivationScorerCard:
    """The description of a scorer of activations."""

    name: str
    """Name in commands and files."""
    title: str
    """Name in tables and reports."""
    summary: str
    best: float
    """The value of activations that are those of the targets: 0 for a distance, 1 for a ratio."""
    most: float
    """Upper end of the range, which begins at 0."""
    version: str
    """Another version gives other scores."""
    paper: str


class ActivationScorer(Protocol):
    """A score of activations; a plug-in of the group `htbench.activation_scorers` makes one."""

    card: ActivationScorerCard

    def measure(self, samples: Samples, targets: Others) -> float:
        """The score of `samples` beside `targets`, which are of the same site.

        Raises:
            UndefinedScore: if they have none.
        """


def load_activation_scorer(name: str) -> ActivationScorer:
    """The installed scorer of activations `name`.

    Raises:
        UnknownName: if there is none, with the nearest names.
    """
    scorer: ActivationScorer = registry.load("activation_scorers", name)()
    return scorer
