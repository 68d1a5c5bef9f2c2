"""Forward hooks: attach taps to torch modules and remove them; no other file registers hooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.core.errors import UnknownName
from htbench.core.phase import phase
from htbench.core.types import Site, SiteInfo
from htbench.steering.intervention import Affine, Intervention, at_strength, scale_and_shift
from htbench.steering.layout import union
from htbench.steering.model import Model, Tap

Pooling = Callable[[Float[Tensor, "images positions channels"]], Float[Tensor, "samples channels"]]
"""From a site's output to the samples that maps are fitted on, image by image."""


@contextmanager
def attach(
    modules: Mapping[Site, nn.Module], sites: Mapping[Site, SiteInfo], tap: Tap
) -> Iterator[None]:
    """While inside, each module's output passes through `tap`; hooks are removed on every exit.

    Raises:
        RuntimeError: on a normal exit, if a site never fired.
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
        tokens = output.flatten(2).transpose(1, 2)
        result = tap(site, tokens)
        return output if result is tokens else result.transpose(1, 2).reshape(output.shape)

    return hook


def find_candidate_sites(
    network: nn.Module, prefix: str, run: Callable[[], object]
) -> dict[Site, SiteInfo]:
    """Modules of `network` that can be sites, in the order of firing, named after `prefix`.

    They are those whose output, while `run` runs, is of tokens (3 axes) or maps (4 axes).
    """
    sites: dict[Site, SiteInfo] = {}

    def record(site: Site) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim in (3, 4):
                axis = 1 if output.ndim == 4 else -1
                sites.setdefault(site, SiteInfo(channels=output.shape[axis], channel_axis=axis))

        return hook

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name:
                hook = record(Site(f"{prefix}.{name}"))
                stack.callback(module.register_forward_hook(hook).remove)
        run()
    return sites


def steer(interventions: Sequence[Intervention], strengths: Sequence[float]) -> Tap:
    """The tap that applies to each image of a batch its own intervention at its own strength.

    Affine maps of all images are one fused operation per site, with the bits of `Affine.apply`. An
    image that is not steered has gain 1 and offset -0.0, which preserve every bit.
    """
    affine = {
        k: change
        for k, change in enumerate(interventions)
        if type(change) is Affine and change.sites and not change.has_support and strengths[k] != 0
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
                tables.update(_gains_and_offsets(affine, strengths, z.device))
        return scale_and_shift(z, *tables[site]) if site in tables else z

    return tap


def _gains_and_offsets(
    affine: Mapping[int, Affine], strengths: Sequence[float], device: torch.device
) -> dict[Site, tuple[Tensor, Tensor]]:
    """Gain and offset, with a row per image, at each site that any of the maps acts on.

    All sites are calculated at once: the maps are gathered, copied to the device, and multiplied
    by their strengths as one tensor.
    """
    distinct = list({id(change): change for change in affine.values()}.values())
    layout = union(*(change.layout for change in distinct))
    source = distinct[0].maps.device
    identity = torch.tensor([[1.0], [-0.0]], device=source).expand(2, layout.channels)
    maps = torch.stack(
        [*(change.over(layout).to(source, torch.float32) for change in distinct), identity]
    ).to(device)
    index = {id(change): k for k, change in enumerate(distinct)}
    rows = torch.tensor(
        [index[id(affine[k])] if k in affine else len(distinct) for k in range(len(strengths))],
        device=device,
    )
    amounts = torch.tensor(
        [strengths[k] if k in affine else 0.0 for k in range(len(strengths))],
        dtype=torch.float32,
        device=device,
    )[:, None, None]
    scales, shifts = torch.split(maps[rows], 1, 1)
    gains, offsets = map(layout.split, at_strength(scales, shifts, amounts))
    return {site: (gains[site], offsets[site]) for site in layout.sites}


def check_sites(model: Model, interventions: Sequence[Intervention]) -> None:
    """Raise `UnknownName` if an intervention acts on a site that the model does not have."""
    for intervention in interventions:
        for site in sorted(intervention.sites - model.sites.keys()):
            raise UnknownName(f"site of {model.name}", site, model.sites)


BATCH = 32
"""Images that `activations` runs at a time, without gradients."""


def mean_pool(z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images channels"]:
    """Means over positions, in float32 or wider."""
    return z.mean(1, dtype=torch.promote_types(z.dtype, torch.float32))


def activations(
    model: Model,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    change: Tap | None = None,
    batch: int = BATCH,
    pool: Pooling = mean_pool,
) -> dict[Site, Float[Tensor, "samples channels"]]:
    """Activations at all sites of `model`, pooled, with one row per image by default.

    Each step of a few-step model adds rows, as if it were further images: `samples` is the number
    of images times steps, and times positions if `pool` keeps several. Only what `pool` returns is
    kept, never whole maps. Gradients are recorded unless PyTorch's gradient mode is off.

    Args:
        model: the model to run.
        prompts: one per image.
        seeds: seeds of the initial noise, one per prompt.
        change: a tap applied to a site's output before it is pooled and passed on; None: none.
        batch: images at a time.
        pool: from (images, positions, channels) to (samples, channels); the mean over positions.
    """
    gathered: dict[Site, list[Tensor]] = {site: [] for site in model.sites}
    complete = False

    def tap(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        z = z if change is None else change(site, z)
        # Blocks that are computed again for gradients would all be kept alive by what is kept here.
        if not complete:
            gathered[site].append(pool(z))
        return z

    for start in range(0, len(prompts), batch):
        model.trace(prompts[start : start + batch], seeds[start : start + batch], tap)
    complete = True
    return {
        site: parts[0] if len(parts) == 1 else torch.cat(parts) for site, parts in gathered.items()
    }
