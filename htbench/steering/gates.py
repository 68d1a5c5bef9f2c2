"""Gates: another intervention, applied where classifiers of activations say so, nowhere else."""

from collections.abc import Mapping
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from htbench.core.types import Site
from htbench.steering import intervention
from htbench.steering.intervention import Apply, Intervention

Gates = Mapping[Site, Float[Tensor, " channels_and_bias"]]
"""A linear classifier per site: its weights per channel, and its bias behind them."""


class ImageGated(Intervention):
    r"""Another intervention, applied to the images that one of several discriminants lets through.

    At each site with a gate the mean :math:`\bar z` over positions decides, once per image and run:

    .. math:: a \cdot \bar z + c > 0

    opens the gate. The image is steered from the first site on whose gate opens; one for which none
    opens keeps every bit. So each gate decides on activations that nothing has changed, and an
    image that is told early loses no more than the sites before. The decisions do not depend on the
    strength, and hold for all steps of a few-step model. They are calculated in float32 or wider.

    Args:
        change: the other intervention, which need not have a map where a gate is.
        gates: `a`, and `c` behind it, by site.

    References:
        Chrabąszcz et al. Conditioned Activation Transport for T2I Safety Steering. 2026.
        https://arxiv.org/abs/2603.03163 (it conditions maps on regions of activations;
        discriminants at early sites, one after the other, are ours)
    """

    kind = "image-gated"

    def __init__(self, change: Intervention, *, gates: Gates) -> None:
        self.change, self.gates = change, dict(gates)
        self.sites = change.sites | self.gates.keys()

    def is_open(
        self, site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Bool[Tensor, "images 1 1"]:
        """True for the images that the gate of `site` lets through, given their activations."""
        mean = z.mean(1, keepdim=True, dtype=torch.promote_types(z.dtype, torch.float32))
        return _scores(self.gates[site], mean) > 0

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        """As at the first site of a run: only sites with a gate are steered."""
        return self.begin()(site, z, strength=strength)

    def begin(self) -> Apply:
        undecided = set(self.gates)
        is_open: Tensor | None = None

        def apply(
            site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
        ) -> Float[Tensor, "images positions channels"]:
            nonlocal is_open
            if site in undecided:
                undecided.remove(site)
                here = self.is_open(site, z)
                is_open = here if is_open is None else is_open | here
            if is_open is None or strength == 0:
                return z
            return torch.where(is_open, self.change.apply(site, z, strength=strength), z)

        return apply

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return _state(self.change, self.gates)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        change, gates = _restore(tensors, settings)
        if not gates:
            raise ValueError("it has no gate")
        return cls(change, gates=gates)


class TokensGated(Intervention):
    r"""Another intervention, at each position and site as strongly as a classifier says.

    .. math:: T_s(z)_i = z_i + p_i (U_s(z)_i - z_i), \quad p_i = \sigma(a \cdot z_i + c)

    for positions `i`, the other intervention `U`, and the logistic function. Where `p` is below a
    half, the gate is shut, and no bit changes. It is calculated in float32 and rounded once.

    Args:
        change: the other intervention, with a gate at each of its sites.
        gates: `a`, and `c` behind it, by site.

    References:
        Ferrando et al. Dynamically Scaled Activation Steering. 2025.
        https://arxiv.org/abs/2512.03661 (gates that shut below a half are ours)
    """

    kind = "tokens-gated"

    def __init__(self, change: Intervention, *, gates: Gates) -> None:
        self.change, self.gates = change, dict(gates)
        self.sites = change.sites

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.gates or strength == 0:
            return z
        score = _scores(self.gates[site], z)
        moved = self.change.apply(site, z, strength=strength)
        partly = torch.lerp(z.to(score.dtype), moved.to(score.dtype), score.sigmoid())
        return torch.where(score >= 0, partly.to(z.dtype), z)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return _state(self.change, self.gates)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        change, gates = _restore(tensors, settings)
        if gates.keys() != change.sites:
            raise ValueError("its parts do not match")
        return cls(change, gates=gates)


def _scores(
    gate: Float[Tensor, " channels_and_bias"], z: Float[Tensor, "images positions channels"]
) -> Float[Tensor, "images positions 1"]:
    """Scores of a linear classifier, in float32 or wider, above 0 where it is for steering."""
    wide = z.to(torch.promote_types(z.dtype, torch.float32))
    weights = gate.to(wide)
    return (wide * weights[:-1]).sum(-1, keepdim=True) + weights[-1]


def _state(change: Intervention, gates: Gates) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, settings = change.state()
    own = {f"gate/{site}": gate for site, gate in gates.items()}
    return tensors | own, settings | {"gated": intervention.kind_of(type(change))}


def _restore(
    tensors: dict[str, Tensor], settings: dict[str, str]
) -> tuple[Intervention, dict[Site, Tensor]]:
    change = intervention.class_of(settings["gated"]).restore(
        {name: each for name, each in tensors.items() if not name.startswith("gate/")},
        {name: each for name, each in settings.items() if name != "gated"},
    )
    gates = {
        Site(name.removeprefix("gate/")): each
        for name, each in tensors.items()
        if name.startswith("gate/")
    }
    if any(gate.ndim != 1 or not gate.is_floating_point() for gate in gates.values()):
        raise ValueError("its parts do not match")
    return change, gates
