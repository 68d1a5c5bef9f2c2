"""Puts taps on torch modules and takes them off again: the only file that touches hooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench import transport
from htbench.errors import UnknownName
from htbench.intervention import Affine, Intervention
from htbench.model import Model, Tap, select_sites
from htbench.types import Site, SiteInfo

Fit = Callable[[transport.Samples, transport.Samples], transport.Map]
"""From source and target samples of one site to the map between them."""


@contextmanager
def tapped(modules: Mapping[Site, nn.Module], sites: Mapping[Site, SiteInfo], tap: Tap) -> Iterator[None]:
    """While inside, what each module puts out goes through `tap`; hooks are gone on every way out.

    Raises:
        RuntimeError: on a normal way out, if a site never fired.
    """
    fired: set[Site] = set()
    with ExitStack() as stack:
        for site, module in modules.items():
            stack.callback(module.register_forward_hook(_hook(site, sites[site], tap, fired)).remove)
        yield
    if silent := modules.keys() - fired:
        raise RuntimeError(f"sites that never fired: {', '.join(sorted(silent))}")


def _hook(site: Site, info: SiteInfo, tap: Tap, fired: set[Site]) -> Callable[[nn.Module, object, Tensor], Tensor]:
    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        fired.add(site)
        if info.channel_axis == -1:
            return tap(site, output.flatten(1, -2)).view_as(output)
        seen = output.flatten(2).transpose(1, 2)
        passed_on = tap(site, seen)
        return output if passed_on is seen else passed_on.transpose(1, 2).reshape(output.shape)

    return hook


def steer(interventions: Sequence[Intervention], strengths: Sequence[float]) -> Tap:
    """Applies to each image of a batch its own intervention at its own strength."""
    affine = [k for k, change in enumerate(interventions) if type(change) is Affine and strengths[k] != 0]
    others = [k for k, change in enumerate(interventions) if type(change) is not Affine and change.sites and strengths[k] != 0]

    def tap(site: Site, z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images positions channels"]:
        here = [(k, change) for k in affine if site in (change := interventions[k]).sites and isinstance(change, Affine)]
        for k in others:
            changed = interventions[k].apply(site, z[k : k + 1], strength=strengths[k])
            z = torch.cat([z[:k], changed, z[k + 1 :]])
        if not here:
            return z
        amount = torch.tensor([strengths[k] for k, _ in here], device=z.device)[:, None]
        rows = torch.tensor([k for k, _ in here], device=z.device)
        gain = amount * (torch.stack([change.scale[site] for _, change in here]).to(z.device).float() - 1)
        shift = amount * torch.stack([change.shift[site] for _, change in here]).to(z.device).float()
        chosen = z[rows]
        changed = chosen + torch.addcmul(shift[:, None], gain[:, None], chosen.float()).to(z.dtype)
        return changed if len(here) == len(z) else z.index_copy(0, rows, changed)

    return tap


def check_sites(model: Model, interventions: Sequence[Intervention]) -> None:
    """Raise `UnknownName` if an intervention acts on a site that the model does not have."""
    for intervention in interventions:
        for site in sorted(intervention.sites - model.sites.keys()):
            raise UnknownName(f"site of {model.name}", site, model.sites)


def activations(
    model: Model, prompts: Sequence[str], seeds: Sequence[int], *, change: Tap | None = None, batch: int = 32
) -> dict[Site, Float[Tensor, "images channels"]]:
    """Mean over positions of what each site puts out (after `change`), in float32; steps of a few-step model are further images."""
    gathered: dict[Site, list[Tensor]] = {site: [] for site in model.sites}

    def tap(site: Site, z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images positions channels"]:
        z = z if change is None else change(site, z)
        gathered[site].append(z.float().mean(1))
        return z

    for start in range(0, len(prompts), batch):
        model.trace(prompts[start : start + batch], seeds[start : start + batch], tap)
    return {site: torch.cat(parts) for site, parts in gathered.items()}


def fit_in_passing(
    model: Model, source: tuple[Sequence[str], Sequence[int]], target: tuple[Sequence[str], Sequence[int]], fit: Fit, *, sites: Sequence[str]
) -> Affine:
    """Maps of all sites, each fitted on source activations that already went through the maps before it; targets are not steered.

    Published code runs the sources again for every site. Here sources and targets, prompts and seeds each, go through the model in one
    batch, and the hook of each site fits its map to what arrives and applies it to the sources before they pass on: one run for all sites.
    The steps of a few-step model share one map a site, that of the first step.
    """
    chosen = frozenset(select_sites(model, sites))
    maps: dict[Site, transport.Map] = {}
    count = len(source[0])

    def fit_and_pass_on(site: Site, z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images positions channels"]:
        if site not in chosen:
            return z
        if site not in maps:
            pooled = z.float().mean(1)
            maps[site] = fit(pooled[:count], pooled[count:])
        scale, shift = maps[site]
        return torch.cat([(scale * z[:count] + shift).to(z.dtype), z[count:]])

    with torch.no_grad():
        model.trace([*source[0], *target[0]], [*source[1], *target[1]], fit_and_pass_on)
    return Affine({site: scale for site, (scale, _) in maps.items()}, {site: shift for site, (_, shift) in maps.items()})
