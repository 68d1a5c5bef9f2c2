"""Fits of gates: images to steer against images to leave alone.

Those to steer are of the concept's neutral prompts (`Concept.sources`). Those to leave alone are of
the same prompts, from the same noise, reworded: every other one asks for the concept, which is
there already, and the rest ask for something else (`unrelated`). Pairs differ in the wording alone,
so neither the noun nor the noise blurs the difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from htbench.core.errors import UsageError
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.gates import ImageGated, TokensGated
from htbench.steering.hooks import BATCH, mean_pool
from htbench.steering.intervention import Intervention
from htbench.steering.method import PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, select_sites

UNRELATED = (
    "{prompt}, cartoon style",
    "{prompt} with lemon",
    "{prompt}, blue stripes background",
    "{prompt}, wooden frame",
    "{prompt}, cloudy weather",
    "{prompt}, mosaic style",
    "{prompt} with cat",
    "{prompt}, lavender background",
    "{prompt}, navy frame",
    "{prompt}, stormy weather",
    "{prompt}, ruby style, lime triangles background",
    "{prompt} with books",
)
"""Templates of prompts that a gate leaves alone, of every kind of concept of the embedded world."""
LEAST_SEPARATION = 1.0
"""Standard deviations by which the mean scores of held-out images must differ where a gate
decides."""
NEARLY = 0.9
"""Share of the best separation at which a site decides on the images that no gate has let through.
The site that is best tells the templates apart by what other words do not have: on train concepts
it opened for more prompts of dev concepts than the first such site."""
SURE = 4.0
"""Standard deviations above the mean score of held-out images to leave alone, from which on an
image is for sure to be steered. Scores have longer tails than a normal distribution: from 3 on, the
gate opened for some images of train concepts that ask for the concept."""


@dataclass(frozen=True, kw_only=True)
class CanBeGated:
    """Settings of a gate, for a method whose interventions are affine in the strength."""

    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""
    gate: Literal["none", "image", "tokens"] = "none"
    """`image`: discriminants of mean activations at early sites decide whether an image is steered,
    from there on or not at all. `tokens`: a classifier at each site scales the strength at each
    position, and shuts below a half. The rest keeps every bit."""
    unrelated: tuple[str, ...] = UNRELATED
    """Templates of prompts to leave alone, with `{prompt}` for a neutral prompt of the concept."""
    gate_samples: Annotated[int, Field(ge=8)] = 64
    """Number of images to steer, and of images to leave alone, that a gate is fitted on."""


Gateable = TypeVar("Gateable", bound=CanBeGated)
Fit = Callable[[Gateable], Intervention]
"""From a method without a gate to the intervention that it fits to the concept at hand."""


def fit_gated(
    method: Gateable, fit: Fit[Gateable], model: Model, concept: Concept, *, seed: int
) -> Intervention:
    """The intervention of a method with a gate in front of it.

    Raises:
        UsageError: if no site tells the images to steer from those to leave alone.
    """
    check_templates(method.unrelated)
    steered, left_alone = gate_images(concept, method.unrelated, method.gate_samples, seed=seed)
    if method.gate == "image":
        return _fit_image_gate(method, fit, model, concept, steered, left_alone)
    return _fit_token_gates(fit(replace(method, gate="none")), model, steered, left_alone)


def check_templates(unrelated: Sequence[str]) -> None:
    """Raise `UsageError` if there are no templates, or one has no place for a prompt."""
    if not unrelated or (bad := [text for text in unrelated if "{prompt}" not in text]):
        what = f"{bad[0][:60]!r} has no {{prompt}}" if unrelated else "there are none"
        raise UsageError(
            f"setting 'unrelated' is of templates of prompts to leave alone: {what}",
            remedy='Write it as unrelated = ["{prompt} with lemon", "{prompt}, cartoon style"]',
        )


def gate_images(
    concept: Concept, unrelated: Sequence[str], count: int, *, seed: int
) -> tuple[PromptsAndSeeds, PromptsAndSeeds]:
    """Prompts and seeds of images to steer, and of as many to leave alone, in pairs of a noise."""
    prompts, seeds = fitting_images(concept, count, seed=seed)[0]
    reworded = [
        unrelated[k // 2 % len(unrelated)].replace("{prompt}", prompt)
        if k % 2
        else concept.target(prompt)
        for k, prompt in enumerate(prompts)
    ]
    return (prompts, seeds), (reworded, seeds)


def discriminant(
    negative: Float[Tensor, "samples channels"],
    positive: Float[Tensor, "others channels"],
) -> Float[Tensor, " channels_and_bias"]:
    r"""Weights of the linear discriminant of two Gaussians, and its bias behind them, in float64.

    .. math:: a = \Sigma^{-1} (m_+ - m_-), \quad c = -a \cdot (m_+ + m_-) / 2

    for means `m` and the covariance :math:`\Sigma` within the sets, with a tenth of its mean
    variance added to every variance. Both sets are as likely beforehand, so the logistic function
    of a score is the probability of the positive one.

    References:
        Fisher. The Use of Multiple Measurements in Taxonomic Problems. 1936.
        https://doi.org/10.1111/j.1469-1809.1936.tb02137.x
    """
    sets = negative.double(), positive.double()
    means = [each.mean(0) for each in sets]
    centred = torch.cat([each - mean for each, mean in zip(sets, means, strict=True)])
    covariance = centred.T @ centred / len(centred)
    covariance += _RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
    weights = torch.linalg.solve(covariance, means[1] - means[0])
    return torch.cat([weights, -(weights @ (means[0] + means[1]) / 2)[None]])


_RIDGE = 0.1
"""Share of the mean variance of a channel that is added to each, as there are few samples."""


def _fit_image_gate(
    method: Gateable,
    fit: Fit[Gateable],
    model: Model,
    concept: Concept,
    steered: PromptsAndSeeds,
    left_alone: PromptsAndSeeds,
) -> ImageGated:
    """Gates at sites of the first third, before the maps of the method.

    The last one is at the first site that separates nearly as well as any, midway between both
    sets. Those before it begin at the first site that separates at all, and open only for images
    that are told for sure there: these lose next to nothing of the maps, and the others wait. Later
    maps alone hardly add a companion or a frame.
    """
    sites = select_sites(model, method.sites)
    early = sites[: -(-len(sites) // 3)]
    with torch.no_grad(), phase("extract"):
        positive, negative = (
            _first_means(model, images, early) for images in (steered, left_alone)
        )
    with phase("fit"):
        held_out = {site: _held_out_scores(negative[site], positive[site]) for site in early}
        separations = {site: _separation(*scores) for site, scores in held_out.items()}
        best = max(separations.values())
        if best < LEAST_SEPARATION:
            site = max(early, key=lambda each: separations[each])
            raise UsageError(
                f"no site tells neutral prompts from those that a gate for {concept.id!r} leaves "
                f"alone: at {site!r}, the best, held-out images of both lie "
                f"{best:.1f} standard deviations apart",
                remedy="Give other templates as the setting unrelated, or a larger gate_samples.",
            )
        first, last = (
            next(site for site in early if separations[site] >= bar)
            for bar in (LEAST_SEPARATION, max(LEAST_SEPARATION, NEARLY * best))
        )
        gates = {}
        for site in early[early.index(first) : early.index(last) + 1]:
            gate, (left, _) = discriminant(negative[site], positive[site]), held_out[site]
            if site != last:
                gate[-1] -= (left.mean() + SURE * left.std()).clamp(min=0)
            gates[site] = gate.float()
    return ImageGated(fit(replace(method, gate="none")), gates=gates)


def _held_out_scores(
    negative: Float[Tensor, "samples channels"], positive: Float[Tensor, "samples channels"]
) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"]]:
    """Scores of both sets, each half of the images by the discriminant of the other half."""
    scores = torch.zeros(2, len(negative), dtype=torch.float64, device=negative.device)
    # pairs 2k and 2k + 1 stay together: one of each kind of wording
    is_first = torch.arange(len(negative), device=negative.device) // 2 % 2 == 0
    for half in (is_first, ~is_first):
        gate = discriminant(negative[~half], positive[~half])
        for row, samples in zip(scores, (negative, positive), strict=True):
            row[half] = samples[half].double() @ gate[:-1] + gate[-1]
    return scores[0], scores[1]


def _separation(negative: Float[Tensor, " samples"], positive: Float[Tensor, " samples"]) -> float:
    """Difference of the mean scores of both sets, in standard deviations of scores within a set."""
    spread = ((negative.var() + positive.var()) / 2).sqrt()
    return float((positive.mean() - negative.mean()) / spread) if spread > 0 else 0.0


def _first_means(
    model: Model, images: PromptsAndSeeds, sites: Sequence[Site]
) -> dict[Site, Float[Tensor, "images channels"]]:
    """Mean activations over positions without steering, in the first step of a few-step model."""
    means: dict[Site, list[Tensor]] = {site: [] for site in sites}
    prompts, seeds = images
    for start in range(0, len(prompts), BATCH):
        fired: set[Site] = set()

        def record(
            site: Site,
            z: Float[Tensor, "images positions channels"],
            fired: set[Site] = fired,
        ) -> Float[Tensor, "images positions channels"]:
            if site in means and site not in fired:
                fired.add(site)
                means[site].append(mean_pool(z))
            return z

        model.trace(prompts[start : start + BATCH], seeds[start : start + BATCH], record)
    return {site: torch.cat(parts) for site, parts in means.items()}


def _fit_token_gates(
    change: Intervention, model: Model, steered: PromptsAndSeeds, left_alone: PromptsAndSeeds
) -> TokensGated:
    """A discriminant per site of positions to steer against positions to leave alone.

    A gate must stay open at sites whose input earlier sites have steered. So of the images to
    steer, every other one is steered at strength 1 as it is sampled.
    """
    samples: dict[Site, tuple[list[Tensor], list[Tensor]]] = {
        site: ([], []) for site in model.sites if site in change.sites
    }
    with torch.no_grad(), phase("extract"):
        for start in range(0, len(steered[0]), BATCH // 2):
            part = slice(start, start + BATCH // 2)
            prompts = [*left_alone[0][part], *steered[0][part]]
            count = len(prompts) // 2

            def sample(
                site: Site, z: Float[Tensor, "images positions channels"], count: int = count
            ) -> Float[Tensor, "images positions channels"]:
                if site not in samples:
                    return z
                for kept, own in zip(samples[site], (z[:count], z[count:]), strict=True):
                    kept.append(_some_positions(own))
                moved = z.clone()
                moved[count::2] = change.apply(site, z[count::2], strength=1.0)
                return moved

            model.trace(prompts, [*left_alone[1][part], *steered[1][part]], sample)
    with phase("fit"):
        gates = {
            site: discriminant(torch.cat(negative), torch.cat(positive)).float()
            for site, (negative, positive) in samples.items()
        }
    return TokensGated(change, gates=gates)


def _some_positions(
    z: Float[Tensor, "images positions channels"],
) -> Float[Tensor, "samples channels"]:
    """Four positions of each image, others from image to image, so that all have their turn."""
    positions = z.shape[1]
    first = torch.arange(len(z), device=z.device) * 7
    index = (first[:, None] + torch.arange(4, device=z.device) * max(1, positions // 4)) % positions
    rows = torch.arange(len(z), device=z.device)[:, None]
    return z[rows, index].flatten(0, 1)
