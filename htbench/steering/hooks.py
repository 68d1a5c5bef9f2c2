"""Puts taps on torch modules and takes them off again: the only file that touches hooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.core.errors import UnknownName
from htbench.core.phase import phase
from htbench.core.types import Site, SiteInfo
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.model import Model, Tap

Pooling = Callable[[Float[Tensor, "images positions channels"]], Float[Tensor, "samples channels"]]
"""From what a site puts out to the samples that are learnt from, image by image."""


@contextmanager
def attach(
    modules: Mapping[Site, nn.Module], sites: Mapping[Site, SiteInfo], tap: Tap
) -> Iterator[None]:
    """While inside, what each module puts out goes through `tap`; hooks are gone on every way out.

    Raises:
        RuntimeError: on a normal way out, if a site never fired.
    """
    fired: set[Site] = set()
    with ExitStack() as stack:
        with phase("install"):
            for site, module in modules.items():
                stack.callback(
                    module.register_forward_hook(_hook(site, sites[site], tap, fired)).remove
                )
        yield
    if silent := modules.keys() - fired:
        raise RuntimeError(f"sites that never fired: {', '.join(sorted(silent))}")


def _hook(
    site: Site, info: SiteInfo, tap: Tap, fired: set[Site]
) -> Callable[[nn.Module, object, Tensor], Tensor]:
    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        fired.add(site)
        if info.channel_axis == -1:
            return tap(site, output.flatten(1, -2)).view_as(output)
        seen = output.flatten(2).transpose(1, 2)
        passed_on = tap(site, seen)
        return output if passed_on is seen else passed_on.transpose(1, 2).reshape(output.shape)

    return hook


def find_candidate_sites(
    network: nn.Module, prefix: str, run: Callable[[], object]
) -> dict[Site, SiteInfo]:
    """What could be sites of `network`, in the order of firing: modules that put out tokens or maps while `run` runs, named after `prefix`."""
    found: dict[Site, SiteInfo] = {}

    def look(site: Site) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim in (3, 4):
                axis = 1 if output.ndim == 4 else -1
                found.setdefault(site, SiteInfo(channels=output.shape[axis], channel_axis=axis))

        return hook

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(look(Site(f"{prefix}.{name}"))).remove)
        run()
    return found


def steer(interventions: Sequence[Intervention], strengths: Sequence[float]) -> Tap:
    """Applies to each image of a batch its own intervention at its own strength.

    Affine maps of all images are one fused operation a site: `shift + gain * z`, where an image that is not steered has gain 1 and
    shift -0.0, which give back every bit.
    """
    affine = {
        k: change
        for k, change in enumerate(interventions)
        if type(change) is Affine and change.sites and not change.low and strengths[k] != 0
    }
    others = {
        k: change
        for k, change in enumerate(interventions)
        if k not in affine and change.sites and strengths[k] != 0
    }
    tables: dict[Site, tuple[Tensor, Tensor]] = {}

    def tap(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        if any(site in change.sites for change in others.values()):
            rows = [
                others[k].apply(site, row, strength=strengths[k]) if k in others else row
                for k, row in enumerate(z[:, None])
            ]
            z = torch.cat(rows)
        if affine and not tables:
            with phase("install"):
                tables.update(_gains_and_shifts(affine, strengths, z.device))
        if site not in tables:
            return z
        gain, shift = tables[site]
        return torch.addcmul(shift, gain, z).to(z.dtype)

    return tap


def _gains_and_shifts(
    affine: Mapping[int, Affine], strengths: Sequence[float], device: torch.device
) -> dict[Site, tuple[Tensor, Tensor]]:
    """Gain and shift of each image at each site that any map acts on, an image a row; all sites at once, since each call takes longer than its sums."""
    channels = {
        site: scale.shape[0] for change in affine.values() for site, scale in change.scale.items()
    }
    home = next(tensor.device for change in affine.values() for tensor in change.scale.values())
    one = {site: torch.ones(size, device=home) for site, size in channels.items()}
    nothing = {site: torch.full((size,), -0.0, device=home) for site, size in channels.items()}

    def row(maps: Mapping[Site, Tensor], default: Mapping[Site, Tensor]) -> Tensor:
        return torch.cat(
            [maps.get(site, default[site]).to(home, torch.float32) for site in channels]
        ).to(device)

    different = list({id(change): change for change in affine.values()}.values())
    scales = torch.stack([*(row(change.scale, one) for change in different), row({}, one)])
    shifts = torch.stack([*(row(change.shift, nothing) for change in different), row({}, nothing)])
    number = {id(change): k for k, change in enumerate(different)}
    used = torch.tensor(
        [number[id(affine[k])] if k in affine else len(different) for k in range(len(strengths))],
        device=device,
    )
    much = torch.tensor(
        [strengths[k] if k in affine else 0.0 for k in range(len(strengths))],
        dtype=torch.float32,
        device=device,
    )[:, None]
    gain, shift = 1 + much * (scales[used] - 1), much * shifts[used]
    sizes = list(channels.values())
    return {
        site: (one[:, None], other[:, None])
        for site, one, other in zip(
            channels, torch.split(gain, sizes, 1), torch.split(shift, sizes, 1), strict=True
        )
    }


def check_sites(model: Model, interventions: Sequence[Intervention]) -> None:
    """Raise `UnknownName` if an intervention acts on a site that the model does not have."""
    for intervention in interventions:
        for site in sorted(intervention.sites - model.sites.keys()):
            raise UnknownName(f"site of {model.name}", site, model.sites)


def mean_pool(z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images channels"]:
    """Means over positions, in float32 or wider."""
    return z.mean(1, dtype=torch.promote_types(z.dtype, torch.float32))


def activations(
    model: Model,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    change: Tap | None = None,
    batch: int = 32,
    pool: Pooling = mean_pool,
) -> dict[Site, Float[Tensor, "samples channels"]]:
    """What each site puts out after `change`, a row an image; steps of a few-step model are further images.

    Only what `pool` makes of it is kept, never whole maps.
    """
    gathered: dict[Site, list[Tensor]] = {site: [] for site in model.sites}
    complete = False

    def tap(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        z = z if change is None else change(site, z)
        means = pool(z)
        if not complete:  # when blocks are computed again for gradients, what is kept here would keep all of them alive
            gathered[site].append(means)
        return z

    for start in range(0, len(prompts), batch):
        model.trace(prompts[start : start + batch], seeds[start : start + batch], tap)
    complete = True
    return {site: torch.cat(parts) for site, parts in gathered.items()}
