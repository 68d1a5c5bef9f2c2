"""Scores of activations: a model is run on prompts, steered and not, and no image is made."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from htbench.core import device
from htbench.core.types import Site
from htbench.run.workers.messages import ActivationScores, MeasureActivations
from htbench.scorers.activation_scorer import Samples, load_activation_scorer
from htbench.scorers.set_scorer import UndefinedScore
from htbench.steering import hooks
from htbench.steering.intervention import Intervention
from htbench.steering.method import PromptsAndSeeds
from htbench.steering.model import Model, Tap

_BySite = Mapping[Site, Samples]


def measure(
    model: Model, task: MeasureActivations, changes: Mapping[str, tuple[Intervention, float]]
) -> ActivationScores:
    """The scores of a task, whose interventions are `changes`.

    Steered activations are held against each half of the targets, and the mean of both counts; so
    are the unsteered ones, and one half against the other.
    """
    first, second = (_trace(model, half, task.batch_size) for half in task.targets)
    plain = _trace(model, task.source, task.batch_size)
    scorers = {name: load_activation_scorer(name).measure for name in task.scorers}
    steered: dict[str, dict[str, list[float]]] = {name: {} for name in scorers}
    unsteered: dict[str, list[float]] = {}
    halves: dict[str, list[float]] = {}
    problems: dict[str, dict[str, str]] = {name: {} for name in scorers}
    for name, function in scorers.items():
        try:
            halves[name] = _mean(function, [(first, second), (second, first)])
            unsteered[name] = _mean(function, [(plain, first), (plain, second)])
        except UndefinedScore as reason:
            problems[name][""] = f"without steering {reason}"
    for method, (change, strength) in changes.items():
        try:
            own = _steer(model, task.source, change, strength, task.batch_size)
        except UndefinedScore as reason:
            for each in problems.values():
                each[method] = str(reason)
            continue
        for name in unsteered:
            try:
                steered[name][method] = _mean(scorers[name], [(own, first), (own, second)])
            except UndefinedScore as reason:
                problems[name][method] = str(reason)
    return ActivationScores(
        sites=tuple(model.sites),
        steered=steered,
        unsteered=unsteered,
        halves=halves,
        problems=problems,
    )


def _steer(
    model: Model, images: PromptsAndSeeds, change: Intervention, strength: float, batch: int
) -> _BySite:
    """Steered activations.

    Raises:
        UndefinedScore: if a prompt is mixed from several, which has no activations of its own here.
    """
    prompts = [change.prompts(prompt, strength=strength) for prompt in images[0]]
    if any(list(each.values()) != [1.0] for each in prompts):
        raise UndefinedScore("its prompts are mixtures of several, which cannot be traced")
    hooks.check_sites(model, [change])
    return _trace(
        model, ([next(iter(each)) for each in prompts], images[1]), batch, change, strength
    )


@torch.no_grad()
def _trace(
    model: Model,
    images: PromptsAndSeeds,
    batch: int,
    change: Intervention | None = None,
    strength: float = 0.0,
) -> _BySite:
    prompts, seeds = images
    try:
        parts = [
            hooks.activations(
                model,
                prompts[start : start + batch],
                seeds[start : start + batch],
                change=_tap(change, strength) if change else None,
                batch=batch,
            )
            for start in range(0, len(prompts), batch)
        ]
        values = {site: torch.cat([part[site] for part in parts]) for site in parts[0]}
    except Exception as error:
        if batch == 1 or not device.is_out_of_memory(error):
            raise
        values = {}
    if not values:
        torch.cuda.empty_cache()
        return _trace(model, images, batch // 2, change, strength)
    return {site: rows.double().cpu().numpy() for site, rows in values.items()}


def _tap(change: Intervention, strength: float) -> Tap:
    """The tap that steers the images of one batch: a gate decides once for each."""
    apply = change.begin()

    def tap(
        site: Site, z: Float[torch.Tensor, "images positions channels"]
    ) -> Float[torch.Tensor, "images positions channels"]:
        return apply(site, z, strength=strength) if site in change.sites else z

    return tap


def _mean(
    function: Callable[[Samples, Samples], float], pairs: Sequence[tuple[_BySite, _BySite]]
) -> list[float]:
    """The mean score of pairs of activations at each site.

    Raises:
        UndefinedScore: for the first site without a score, with its name.
    """

    def at(site: Site) -> float:
        try:
            return float(np.mean([function(one[site], two[site]) for one, two in pairs]))
        except UndefinedScore as reason:
            raise UndefinedScore(f"{reason} at site {site}") from None

    return [at(site) for site in pairs[0][0]]
