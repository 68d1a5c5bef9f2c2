"""Interventions of several edits at once: removals, sums and sequences."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.errors import UsageError
from htbench.core.types import Site
from htbench.steering import algebra
from htbench.steering.concept import Concept
from htbench.steering.edits import Combine, Edits, RemoveBy, Strength, leave_out
from htbench.steering.intervention import (
    Affine,
    Apply,
    Interpolate,
    Intervention,
    OnMeans,
    Rewrite,
    at_strength,
)
from htbench.steering.layout import union


@dataclass(frozen=True, kw_only=True)
class Part:
    """An intervention and the strength at which it is applied."""

    intervention: Intervention
    strength: float


def apply_edits(edits: Edits, learnt: Mapping[str, Intervention], strength: Strength) -> Part:
    """The intervention of all edits at a strength, or a strength for each.

    Args:
        learnt: by the id of each concept of the edits, the intervention that adds it.

    Raises:
        UsageError: if one is to be removed by its inverse, and has none.
        Refused: if the inverse of a channel's map cannot be calculated.
    """
    strengths = strength if isinstance(strength, tuple) else (strength,)
    parts: list[Part] = []
    for edit, own in zip(edits.edits, strengths, strict=True):
        if edit.removed:
            change = learnt[edit.removed.id]
            parts.append(_removal(change, edit.removed, by=edits.remove_by, strength=own))
        if edit.added:
            parts.append(Part(intervention=learnt[edit.added.id], strength=own))
    return combine(parts, edits.combine)


def combine(parts: Sequence[Part], how: Combine) -> Part:
    r"""The intervention that does what all parts do at their strengths.

    For changes `T_k` at strengths `s_k`, the sum is `z + \sum_k (T_k(z) - z)`, and the sequence is
    `T_n(... T_1(z))`. Those of affine maps without a support are one affine map. Prompts: those
    that are rewritten are rewritten in turn, so that words are joined, in a sum as in a sequence;
    weights of encodings add up as changes do.
    """
    active = [part for part in parts if part.strength != 0]
    if len(active) < 2:
        return active[0] if active else Part(intervention=Intervention(), strength=0.0)
    maps = [
        _at_full_strength(part.intervention, part.strength)
        for part in active
        if type(part.intervention) is Affine and not part.intervention.has_support
    ]
    if len(maps) < len(active):
        return Part(intervention=Combined(active, how), strength=1.0)
    change = algebra.compose(*maps) if how == "sequence" else _sum(maps)
    return Part(intervention=change, strength=1.0)


def as_one_map(changes: Sequence[Intervention], how: Combine) -> Intervention:
    """One affine map, or one that acts on means, that does what all `changes` do.

    Raises:
        UsageError: for interventions of another class, or maps with a support.
    """
    on_means = [change for change in changes if isinstance(change, OnMeans)]
    if len(on_means) == len(changes) and len({change.on_means for change in on_means}) == 1:
        change = as_one_map([each.change for each in on_means], how)
        return OnMeans(change, sites=on_means[0].on_means)
    parts = [Part(intervention=change, strength=1.0) for change in changes]
    together = combine(parts, how).intervention
    if isinstance(together, Combined):
        kinds = " and ".join(dict.fromkeys(type(change).__name__ for change in changes))
        raise UsageError(
            f"interventions of type {kinds} are not affine maps per channel without a support, "
            "and make no map together",
            remedy="Use the method itself, which is given the words of both concepts.",
        )
    return together


def inverse(change: Intervention) -> Intervention:
    """The intervention that undoes `change` at strength 1.

    Raises:
        UsageError: if it is neither affine nor one that is applied to means over positions.
        Refused: if the scale of a channel is too small.
    """
    if type(change) is Intervention:
        return change
    if isinstance(change, OnMeans):
        return OnMeans(inverse(change.change), sites=change.on_means)
    if isinstance(change, Affine) and not change.has_support:
        return algebra.invert(change)
    problem = "have a support" if isinstance(change, Affine) else f"are {type(change).__name__}"
    raise UsageError(
        f"only affine maps without a support have an exact inverse, and these {problem}",
        remedy="Remove the concept at negative strength: --remove-by negative",
    )


def largest_gain(change: Intervention) -> float:
    """The greatest factor by which the inverse of affine maps amplifies a channel; else 1."""
    if isinstance(change, OnMeans):
        return largest_gain(change.change)
    if not isinstance(change, Affine) or not change.sites:
        return 1.0
    return float(1 / change.maps[0].abs().min())


class LeaveOut(Intervention):
    """Prompting the other way round: a concept's words are left out of prompts that have them.

    Other prompts are rewritten as `change` does it at the negative of the strength.

    Args:
        change: the prompting that adds the concept.
        concept: the concept that is removed.
    """

    def __init__(self, change: Rewrite | Interpolate, concept: Concept) -> None:
        self.change, self.concept = change, concept

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        rest = leave_out(prompt, self.concept)
        if strength <= 0 or rest == prompt:
            return self.change.prompts(prompt, strength=-strength)
        if isinstance(self.change, Rewrite):
            return {rest: 1.0}
        return Interpolate(template=rest).prompts(prompt, strength=strength)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        raise _not_kept()


class Combined(Intervention):
    """Several interventions at once, each at its strength: see `combine`.

    At strength `s` each has `s` times its own. Sums and sequences are calculated in float32 or
    wider, and rounded once.
    """

    def __init__(self, parts: Sequence[Part], how: Combine) -> None:
        self.parts, self.how = tuple(parts), how
        self.sites = frozenset().union(*(part.intervention.sites for part in parts))

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        weights = {prompt: 1.0}
        for part in self.parts:
            if self.how == "sequence" or _rewrites(part.intervention):
                weights = _then(weights, part, strength)
        if self.how == "sequence":
            return weights
        (joined,) = weights
        for part in self.parts:
            if not _rewrites(part.intervention):
                own = part.intervention.prompts(joined, strength=strength * part.strength)
                weights[joined] -= 1
                for words, weight in own.items():
                    weights[words] = weights.get(words, 0.0) + weight
        return {words: weight for words, weight in weights.items() if weight != 0}

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        return self._apply([part.intervention.apply for part in self.parts], site, z, strength)

    def begin(self) -> Apply:
        applies = [part.intervention.begin() for part in self.parts]

        def apply(
            site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
        ) -> Float[Tensor, "images positions channels"]:
            return self._apply(applies, site, z, strength)

        return apply

    def _apply(
        self,
        applies: Sequence[Apply],
        site: Site,
        z: Float[Tensor, "images positions channels"],
        strength: float,
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.sites or strength == 0:
            return z
        before = z.to(torch.promote_types(z.dtype, torch.float32))
        after = before
        for part, apply in zip(self.parts, applies, strict=True):
            own = strength * part.strength
            if self.how == "sequence":
                after = apply(site, after, strength=own)
            else:
                after = after + (apply(site, before, strength=own) - before)
        return after.to(z.dtype)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        raise _not_kept()


def _not_kept() -> UsageError:
    return UsageError(
        "an intervention of several edits is not kept in a file", remedy="Save its parts."
    )


def _removal(change: Intervention, concept: Concept, *, by: RemoveBy, strength: float) -> Part:
    if isinstance(change, Rewrite | Interpolate):
        return Part(intervention=LeaveOut(change, concept), strength=strength)
    if by == "negative":
        return Part(intervention=change, strength=-strength)
    return Part(intervention=inverse(change), strength=strength)


def _at_full_strength(change: Affine, strength: float) -> Affine:
    """The map that does at strength 1 as `change` does at `strength`."""
    scale, shift = change.maps
    return Affine.from_flat(torch.stack(at_strength(scale, shift, strength)), change.layout)


def _sum(maps: Sequence[Affine]) -> Affine:
    layout = union(*(change.layout for change in maps))
    scales, shifts = torch.stack([change.over(layout) for change in maps]).unbind(1)
    return Affine.from_flat(torch.stack([1 + (scales - 1).sum(0), shifts.sum(0)]), layout)


def _rewrites(change: Intervention) -> bool:
    return isinstance(change.change if isinstance(change, LeaveOut) else change, Rewrite)


def _then(weights: Mapping[str, float], part: Part, strength: float) -> dict[str, float]:
    """Weights of prompts after a part has changed each of the prompts."""
    after: defaultdict[str, float] = defaultdict(float)
    for words, weight in weights.items():
        own = part.intervention.prompts(words, strength=strength * part.strength)
        for changed, share in own.items():
            after[changed] += weight * share
    return dict(after)
