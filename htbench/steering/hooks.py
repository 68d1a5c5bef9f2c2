"""Forward hooks: taps on the outputs of torch modules; no other file registers hooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.core.errors import UnknownName
from htbench.core.phase import phase
from htbench.core.types import Site, SiteInfo
from htbench.steering.intervention import (
    Affine,
    Apply,
    Intervention,
    at_strength,
    scale_and_shift,
)
from htbench.steering.layout import Layout, union
from htbench.steering.model import Model, Tap

Pooling = Callable[[Float[Tensor, "images positions channels"]], Float[Tensor, "samples channels"]]
"""From a site's output to the samples that maps are fitted on, image by image."""


class SteeredModules:
    """Modules of a model at its sites, whose outputs pass through a tap while one is attached.

    Each module has one forward hook, registered here for good. Without a tap it changes nothing.
    One batch runs at a time.

    Args:
        modules: the module of each site, in the order of firing.
        sites: those sites, and maybe others.
        compiled_on: the device on which a compiled network runs these modules; None: nowhere. Such
            a network knows the gains and offsets of affine maps alone; see `runs_compiled`.
    """

    def __init__(
        self,
        modules: Mapping[Site, nn.Module],
        sites: Mapping[Site, SiteInfo],
        *,
        compiled_on: str | None = None,
    ) -> None:
        self._layout = Layout.of({site: sites[site].channels for site in modules})
        self._compiled_on = compiled_on
        self._tap: Tap | None = None
        self._fired: set[Site] = set()
        self._rows: tuple[Tensor, Tensor] | None = None
        for site, module in modules.items():
            module.register_forward_hook(self._hook(site, sites[site].channel_axis))

    @property
    def runs_compiled(self) -> bool:
        """True if a compiled network does what the attached tap says: affine maps or nothing."""
        return self._rows is not None

    @contextmanager
    def attach(self, tap: Tap) -> Iterator[None]:
        """While inside, every module's output passes through `tap`.

        Raises:
            RuntimeError: if another tap is attached; and on a normal exit, if a site never fired,
                which is not checked of a compiled network.
        """
        if self._tap is not None:
            raise RuntimeError("a tap is attached already: a model runs one batch at a time")
        self._fired.clear()
        if isinstance(tap, Steering):
            tap.restart()
        if (
            (device := self._compiled_on)
            and isinstance(tap, Steering)
            and not tap.others
            and not torch.is_grad_enabled()
        ):
            with phase("install"):
                self._rows = tap.gains_and_offsets(self._layout, device)
        compiled = self.runs_compiled
        try:
            with self.reattach(tap):
                yield
        finally:
            self._rows = None
        if not compiled and (silent := set(self._layout.sites) - self._fired):
            raise RuntimeError(f"sites that never fired: {', '.join(sorted(silent))}")

    @contextmanager
    def reattach(self, tap: Tap) -> Iterator[None]:
        """While inside, outputs pass through `tap` again: a block is recomputed for gradients."""
        before, self._tap = self._tap, tap
        try:
            yield
        finally:
            self._tap = before

    def _hook(self, site: Site, axis: int) -> Callable[[nn.Module, object, Tensor], Tensor | None]:
        span = self._layout.spans[site]
        start, stop = span.start, span.stop

        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
            # A compiled network is compiled once for all taps, so it reads tensors alone.
            if torch.compiler.is_compiling():
                if self._rows is None:
                    return None
                gain, offset = (_beside_channels(x[..., start:stop], axis) for x in self._rows)
                return _scale_and_shift(output, axis, gain, offset)
            if self._tap is None:
                return None
            self._fired.add(site)
            if isinstance(self._tap, Steering):
                return self._tap(site, output, axis)
            return _through(self._tap, site, output, axis)

        return hook


def _through(tap: Tap, site: Site, output: Tensor, axis: int) -> Tensor:
    """The output of a module of any shape after `tap`, which gets positions and channels."""
    z = output.flatten(2).transpose(1, 2) if axis == 1 else output
    z = z if z.ndim == 3 else z.flatten(1, -2)
    result = tap(site, z)
    if result.shape != z.shape:
        shapes = f"{tuple(result.shape)}, not {tuple(z.shape)}"
        raise RuntimeError(f"the tap of {site} returned a tensor of another shape: {shapes}")
    if result is z:
        return output
    if z is output:
        return result
    return (result if axis == -1 else result.transpose(1, 2)).reshape(output.shape)


def _scale_and_shift(output: Tensor, axis: int, gain: Tensor, offset: Tensor) -> Tensor:
    """One operation on a module's output, with its channels where they are.

    Gain and offset are of shape (images, 1, channels) for tokens, whose `axis` is -1, and of
    (images, channels, 1, 1) for maps.
    """
    if output.ndim == gain.ndim:
        return scale_and_shift(output, gain, offset)
    z = output.flatten(1, -2) if axis == -1 else output.flatten(2)[..., None]
    return scale_and_shift(z, gain, offset).view_as(output)


def _beside_channels(rows: Float[Tensor, "images 1 channels"], axis: int) -> Tensor:
    """A number per image and channel in the shape that goes with a channel axis."""
    return rows if axis == -1 else rows.transpose(1, 2)[..., None]


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


@dataclass(kw_only=True, eq=False)
class Steering:
    """The tap that `steer` makes; it also takes a module's output as it is, with its axis."""

    strengths: Sequence[float]
    """One per image."""
    affine: Mapping[int, Affine]
    """Affine maps without limits, by the number of the image that they act on."""
    others: Mapping[int, Intervention]
    """Other interventions, which are applied image by image."""
    _begun: dict[int, Apply] = field(default_factory=dict, init=False)
    """`begin` of each of `others`, in the present run."""
    _rows: tuple[Tensor, Tensor] | None = field(default=None, init=False)
    """Gains and offsets of all sites, from the first of them on."""
    _tables: dict[int, dict[Site, tuple[Tensor, Tensor]]] = field(default_factory=dict, init=False)
    """Views of `_rows` by channel axis and site."""

    def __call__(self, site: Site, output: Tensor, axis: int = -1) -> Tensor:
        """The output that the rest of the network gets; `axis` is that of the channels, 1 or -1."""
        if self.others and any(site in change.sites for change in self.others.values()):
            output = _through(self._one_by_one, site, output, axis)
        if not self.affine:
            return output
        if axis not in self._tables:
            self._tables[axis] = self._table(axis, output.device)
        pair = self._tables[axis].get(site)
        return output if pair is None else _scale_and_shift(output, axis, *pair)

    def restart(self) -> None:
        """Begin a new run, in which gates decide anew."""
        self._begun.clear()

    def gains_and_offsets(
        self, layout: Layout, device: str | torch.device
    ) -> tuple[Float[Tensor, "images 1 channels"], Float[Tensor, "images 1 channels"]]:
        """Gain and offset of each image in `layout`, which has all sites of the affine maps.

        All sites are calculated at once: the maps are gathered, copied to the device, and
        multiplied by their strengths as one tensor.
        """
        distinct = list({id(change): change for change in self.affine.values()}.values())
        source = distinct[0].maps.device if distinct else device
        identity = _copy(torch.tensor([[1.0], [-0.0]]), source).expand(2, layout.channels)
        maps = torch.stack(
            [*(change.over(layout).to(source, torch.float32) for change in distinct), identity]
        )
        index = {id(change): k for k, change in enumerate(distinct)}
        images = range(len(self.strengths))
        rows = [index[id(self.affine[k])] if k in self.affine else len(distinct) for k in images]
        strengths = [self.strengths[k] if k in self.affine else 0.0 for k in images]
        amounts = _copy(torch.tensor(strengths, dtype=torch.float32), device)[:, None, None]
        chosen = _copy(maps, device)[_copy(torch.tensor(rows), device)]
        scales, shifts = torch.split(chosen, 1, 1)
        return at_strength(scales, shifts, amounts)

    def _table(self, axis: int, device: torch.device) -> dict[Site, tuple[Tensor, Tensor]]:
        """Gain and offset at each site that any of the maps acts on, shaped for a channel axis."""
        with phase("install"):
            layout = union(*(change.layout for change in self.affine.values()))
            self._rows = self._rows or self.gains_and_offsets(layout, device)
            gains, offsets = (
                torch.split(_beside_channels(rows, axis), list(layout.widths), axis)
                for rows in self._rows
            )
        return dict(zip(layout.sites, zip(gains, offsets, strict=True), strict=True))

    def _one_by_one(
        self, site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        self._begun = self._begun or {k: change.begin() for k, change in self.others.items()}
        rows = [
            self._begun[k](site, row, strength=self.strengths[k]) if k in self._begun else row
            for k, row in enumerate(z[:, None])
        ]
        return torch.cat(rows)


def _copy(values: Tensor, device: str | torch.device) -> Tensor:
    """`values` on a device; one that is a GPU need not finish its queued work before."""
    if values.device == torch.device(device):
        return values
    return values.to(device, non_blocking=values.device.type == "cpu")


def steer(interventions: Sequence[Intervention], strengths: Sequence[float]) -> Steering:
    """The tap that applies to each image of a batch its own intervention at its own strength.

    Affine maps of all images are one fused operation per site, with the bits of `Affine.apply`. An
    image that is not steered has gain 1 and offset -0.0, which preserve every bit.
    """
    active = {
        k: change for k, change in enumerate(interventions) if change.sites and strengths[k] != 0
    }
    affine = {
        k: change
        for k, change in active.items()
        if type(change) is Affine and not change.has_support
    }
    others = {k: change for k, change in active.items() if k not in affine}
    return Steering(strengths=strengths, affine=affine, others=others)


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
