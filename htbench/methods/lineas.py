r"""LinEAS: all affine maps of a concept learnt together, end to end, on an optimal-transport loss.

The loss sums over sites the mean over channels of the squared 1-D Wasserstein distance between pooled activations of source
prompts, all maps active, and of target prompts in the unsteered model, computed once.

References:
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss. 2025. https://arxiv.org/abs/2503.10679
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench import transport
from htbench.concept import Concept
from htbench.hooks import activations
from htbench.intervention import Affine
from htbench.method import FitsEachConcept, fitting_images
from htbench.model import Model, select_sites
from htbench.types import Site


@dataclass(frozen=True, kw_only=True)
class Lineas(FitsEachConcept):
    """Adam on scale and shift of every channel."""

    steps: int = 60
    batch: int = 16
    """Source images a step, of the `samples` there are."""
    rate: float = 0.05
    """Learning rate, falling to 0 along half a cosine."""
    samples: int = 32
    """Source images, and as many target images."""
    sites: tuple[str, ...] = ("*",)

    def learn(self, model: Model, concept: Concept, *, seed: int) -> Affine:
        (sources, source_seeds), (targets, target_seeds) = fitting_images(concept, self.samples, seed=seed)
        chosen = select_sites(model, self.sites)
        with torch.no_grad():
            wanted = activations(model, targets, target_seeds)
        scale = {site: torch.ones(model.sites[site].channels, device=model.device, requires_grad=True) for site in chosen}
        shift = {site: torch.zeros(model.sites[site].channels, device=model.device, requires_grad=True) for site in chosen}
        optimiser = torch.optim.Adam([*scale.values(), *shift.values()], self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        order = torch.Generator().manual_seed(seed)

        def change(site: Site, z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images positions channels"]:
            return (scale[site] * z.float() + shift[site]).to(z.dtype) if site in scale else z

        for _ in range(self.steps):
            rows = torch.randperm(self.samples, generator=order)[: self.batch].tolist()
            with torch.enable_grad():
                reached = activations(model, [sources[k] for k in rows], [source_seeds[k] for k in rows], change=change)
                loss = torch.stack([transport.wasserstein(reached[site], wanted[site]).mean() for site in chosen]).sum()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        return Affine({site: w.detach() for site, w in scale.items()}, {site: b.detach() for site, b in shift.items()})
