"""Mean shift: adds the difference of mean activations with and without the concept.

`T(z) = z + m_b - m_a`: CAA, Mean-AcT, DiffMean. Means are of activations pooled over positions, of an unsteered model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from htbench import transport
from htbench.concept import Concept
from htbench.hooks import activations
from htbench.intervention import Affine
from htbench.method import PerConcept, fitting_images
from htbench.model import Model, select_sites


@dataclass(frozen=True, kw_only=True)
class MeanShift:
    """Shifts every site at once."""

    samples: int = 32
    """Source images, and as many target images."""
    sites: tuple[str, ...] = ("*",)

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int) -> PerConcept:
        return PerConcept(learn=partial(self._learn, model, seed))

    def load(self, model: Model, path: Path, *, seed: int) -> PerConcept:
        return self.fit(model, (), seed=seed)

    @torch.no_grad()
    def _learn(self, model: Model, seed: int, concept: Concept) -> Affine:
        source, target = fitting_images(concept, self.samples, seed=seed)
        before, after = activations(model, *source), activations(model, *target)
        maps = {site: transport.mean_map(before[site], after[site]) for site in select_sites(model, self.sites)}
        return Affine({site: scale for site, (scale, _) in maps.items()}, {site: shift for site, (_, shift) in maps.items()})
