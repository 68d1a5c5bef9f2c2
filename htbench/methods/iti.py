r"""ITI-c: shifts along the weight vector of a linear classifier of activations with the concept.

`T(z) = z + alpha * sd * theta` at each site: `theta` is the unit weight vector of a logistic
regression on pooled activations, `sd` the standard deviation of all of them along it. With labels
`y = +-1` and one ridge for all sites, L-BFGS minimises

.. math::
    \tfrac{\lambda}{2} \|\theta\|^2 + \sum_i \log(1 + \exp(-y_i (\theta \cdot x_i + \theta_0)))

References:
    Li et al. Inference-Time Intervention: Eliciting Truthful Answers from a Language Model. 2023.
    https://arxiv.org/abs/2306.03341
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024.
    https://arxiv.org/abs/2410.23054
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import FitsEachSite
from htbench.steering.fitting.transport import SourceSamples, TargetSamples
from htbench.steering.intervention import Affine


@dataclass(frozen=True, kw_only=True)
class ClassifierShift(FitsEachSite):
    """A shift per site; as published, all classifiers are fitted on the unsteered model."""

    alpha: float = 1.0
    """Length of the shift in standard deviations; the best values vary widely between models, and
    are chosen on dev concepts."""
    ridge: float = 1.0
    """`lambda`, the penalty on the weights of the classifier."""
    blocks: int = 1

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> Affine:
        """The shift along the classifier's weights, calculated in float64."""
        both = torch.cat([source, target]).double()
        direction = torch.nn.functional.normalize(
            classifier_weights(source.double(), target.double(), ridge=self.ridge), dim=0
        )
        shift = self.alpha * (both @ direction).std(correction=0) * direction
        return Affine({site: torch.ones_like(shift).float()}, {site: shift.float()})


def classifier_weights(
    negative: Float[Tensor, "samples channels"],
    positive: Float[Tensor, "others channels"],
    *,
    ridge: float,
) -> Float[Tensor, " channels"]:
    """Weights, without the intercept, of a logistic regression of `positive` against `negative`."""
    inputs = torch.cat([negative, positive])
    # Centring only moves the intercept, which has no ridge; without it L-BFGS crawls.
    centre = inputs.mean(0)
    labels = torch.cat([-negative.new_ones(len(negative)), positive.new_ones(len(positive))])
    weights = torch.zeros(
        inputs.shape[1] + 1, dtype=inputs.dtype, device=inputs.device, requires_grad=True
    )
    optimiser = torch.optim.LBFGS(
        [weights],
        max_iter=500,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        margin = labels * ((inputs - centre) @ weights[:-1] + weights[-1])
        value = (
            ridge / 2 * weights[:-1].square().sum() + torch.nn.functional.softplus(-margin).sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()[:-1]
