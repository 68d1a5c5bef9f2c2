"""Interventions: changes to prompts or activations, as values to apply, save and load."""

import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, Self

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.core import content, reading
from htbench.core.errors import Missing, Refused, UsageError
from htbench.core.types import Digest, Site
from htbench.steering.layout import Layout
from htbench.steering.packing import pack, unpack


class Intervention:
    """The identity, and the base of all interventions: a subclass overrides `prompts` or `apply`.

    An intervention is a change of a model's prompts or activations that adds one concept. It does
    not hold a strength: that is given when it is applied. Strength 0 changes no bit, 1 is the full
    change, and below 0 steers away from the concept.
    """

    kind: ClassVar[str] = "none"
    """Name of the class in files; a subclass without one is named by its module and class name."""
    sites: frozenset[Site] = frozenset()
    """The sites at which `apply` changes activations."""

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        """Prompts to generate from instead of `prompt`, with the weights of their encodings.

        The image is made from the weighted sum of the encodings; weights sum to 1, and may be
        negative.
        """
        return {prompt: 1.0}

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        """The output of `site` that replaces `z`, of equal shape and dtype; `z` is not modified."""
        return z

    def begin(self) -> "Apply":
        """`apply` for the images of one run: a gate overrides it, to remember what it decided."""
        return self.apply

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors by `part/site` and settings from which `restore` makes an equal intervention."""
        return {}, {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        """The intervention with this state."""
        return cls(**settings)

    def __getstate__(self) -> dict[str, object]:
        """The attributes for a pickle, which would hold all of a tensor for each part of it."""
        return {name: _whole(value) for name, value in vars(self).items()}


def _whole(value: object) -> object:
    """A tensor, or a table of tensors, of which none is a part of a larger one."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, Tensor) and value.untyped_storage().nbytes() > value.nbytes:
        return value.clone()
    return value


class Apply(Protocol):
    """`Intervention.apply`, or a function like it."""

    def __call__(
        self, site: Site, z: Float[Tensor, "images positions channels"], /, *, strength: float
    ) -> Float[Tensor, "images positions channels"]: ...


class Rewrite(Intervention):
    """Prompting: replaces the prompt by one that asks for the concept.

    The size of the strength does not matter, only its sign.

    Args:
        more: the template at positive strength; `{prompt}` stands for the prompt.
        less: the template at negative strength.
    """

    kind = "rewrite"

    def __init__(self, *, more: str, less: str) -> None:
        self.more, self.less = more, less

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        if strength == 0:
            return {prompt: 1.0}
        return {(self.more if strength > 0 else self.less).replace("{prompt}", prompt): 1.0}

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"more": self.more, "less": self.less}


class Interpolate(Intervention):
    """Interpolation between the encodings of the prompt and of one that asks for the concept.

    At strength `s` their weights are `1 - s` and `s`; below 0 and above 1 it extrapolates.

    Args:
        template: the prompt that asks for the concept; `{prompt}` stands for the prompt.
    """

    kind = "interpolate"

    def __init__(self, *, template: str) -> None:
        self.template = template

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        target = self.template.replace("{prompt}", prompt)
        weights = {prompt: 1.0 - strength, target: strength} if target != prompt else {prompt: 1.0}
        return {words: weight for words, weight in weights.items() if weight != 0}

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"template": self.template}


PerChannel = Mapping[Site, Float[Tensor, " channels"]]
"""A number per channel at each site."""


class Affine(Intervention):
    r"""One affine map per site and channel, the same at every position.

    .. math:: T_s(z) = z + s (w z + b - z) = (1 + s (w - 1)) z + s b

    at strength `s`, with scale `w` and shift `b`. It is calculated in float32, or in float64 for
    `z` of float64, and rounded once: `htbench.steering.hooks.steer` gives the same bits. All sites
    are in one tensor, `maps`, of shape (2, channels) in the order of `layout`.

    Args:
        scale: `w`; its sites are those of the intervention.
        shift: `b`, for the same sites.
        low: least value that is changed, per channel, for the same sites; None: no limit.
        high: greatest value that is changed; given together with `low`.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations.
        2024. https://arxiv.org/abs/2410.23054
    """

    kind = "affine"

    def __init__(
        self,
        scale: PerChannel,
        shift: PerChannel,
        *,
        low: PerChannel | None = None,
        high: PerChannel | None = None,
    ) -> None:
        self.layout = Layout.of({site: values.shape[-1] for site, values in scale.items()})
        self.sites = frozenset(self.layout.sites)
        self.maps = _pair(self.layout, scale, shift)
        self.limits = _pair(self.layout, low or {}, high or {}) if low or high else None

    @staticmethod
    def from_flat(maps: Float[Tensor, "2 channels"], layout: Layout) -> "Affine":
        """The map with these scales (first row) and shifts (second row), which are not copied."""
        change = Affine({}, {})
        change.maps, change.layout, change.sites = maps, layout, frozenset(layout.sites)
        return change

    @property
    def scale(self) -> dict[Site, Float[Tensor, " channels"]]:
        """`w` by site: views of the first row of `maps`."""
        return self.layout.split(self.maps[0])

    @property
    def shift(self) -> dict[Site, Float[Tensor, " channels"]]:
        """`b` by site: views of the second row of `maps`."""
        return self.layout.split(self.maps[1])

    @property
    def has_support(self) -> bool:
        """True if the map has limits, outside of which it changes nothing."""
        return self.limits is not None

    def over(self, layout: Layout) -> Float[Tensor, "2 channels"]:
        """Scales and shifts in another layout, those of the identity at sites without a map.

        The identity's shift is -0.0, which added to a number changes no bit of it.
        """
        if layout == self.layout:
            return self.maps
        own, identity = self.layout.split(self.maps), self.maps.new_tensor([[1.0], [-0.0]])
        return torch.cat(
            [
                own[site] if site in own else identity.expand(2, width)
                for site, width in zip(layout.sites, layout.widths, strict=True)
            ],
            -1,
        )

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.sites or strength == 0:
            return z
        span = self.layout.spans[site]
        scale, shift = self.maps[:, span].to(z.device)
        moved = scale_and_shift(z, *at_strength(scale, shift, strength))
        if self.limits is None:
            return moved
        low, high = self.limits[:, span].to(z.device)
        return torch.where((z >= low) & (z <= high), moved, z)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        low, high = ({}, {}) if self.limits is None else map(self.layout.split, self.limits)
        return _flatten(scale=self.scale, shift=self.shift, low=low, high=high), {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        scale, shift, low, high = (
            _unflatten(tensors, name) for name in ("scale", "shift", "low", "high")
        )
        if not all(tensor.ndim == 1 and tensor.is_floating_point() for tensor in tensors.values()):
            raise ValueError("its parts do not match")
        return cls(scale, shift, low=low, high=high)


def _pair(layout: Layout, first: PerChannel, second: PerChannel) -> Float[Tensor, "2 channels"]:
    """Two numbers per channel of a layout, as the rows of one tensor.

    Raises:
        UsageError: if one of them is of other sites or channels.
    """
    shapes = {site: (width,) for site, width in zip(layout.sites, layout.widths, strict=True)}
    if not _shapes(first) == _shapes(second) == shapes:
        raise UsageError("the parts of an affine map do not match in sites and channels")
    if not layout.sites:
        return torch.empty(2, 0)
    parts = [values[site] for values in (first, second) for site in layout.sites]
    return torch.cat(parts).view(2, -1)


def at_strength(
    scale: Float[Tensor, "*rows channels"],
    shift: Float[Tensor, "*rows channels"],
    strength: float | Float[Tensor, "*rows 1"],
) -> tuple[Float[Tensor, "*rows channels"], Float[Tensor, "*rows channels"]]:
    """Gain and offset of an affine map at a strength: `1 + s (w - 1)` and `s b`, in float32."""
    return 1 + strength * (scale.float() - 1), strength * shift.float()


def scale_and_shift(
    z: Float[Tensor, "images ..."], gain: Float[Tensor, "..."], offset: Float[Tensor, "..."]
) -> Float[Tensor, "images ..."]:
    """`gain * z + offset` in the wider of the number formats, rounded once to that of `z`.

    Every affine map goes through this one operation: a product and a sum would round otherwise.
    Gain and offset are on the device of `z`, in float32, and of a shape that broadcasts to its own.

    Rounded to bfloat16 or float16 first, they would give another result for a third of all values,
    more than one unit in the last place away for one in twenty, and thousands where product and
    offset cancel; so they stay in float32, and the operation mixes formats.
    """
    if gain.dtype == z.dtype:
        return torch.addcmul(offset, gain, z)
    if torch.is_grad_enabled():
        return torch.addcmul(offset, gain, z).to(z.dtype)
    # A GPU rounds as it writes, so no copy in float32 is made. It has no gradient.
    return torch.addcmul(offset, gain, z, out=torch.empty_like(z))


def as_in_file(matrices: Mapping[Site, Tensor]) -> dict[Site, Tensor]:
    """The matrices as they lie in a file: products of transposed ones round differently."""
    return {site: each.contiguous() for site, each in matrices.items()}


class LowRank(Intervention):
    r"""One affine map per site with a full matrix, identity plus low rank, the same everywhere.

    .. math:: T_s(z) = z + s (z D U + b)

    at strength `s`, for row vectors `z` of channels, calculated in float32 and rounded once.

    Args:
        down: `D`, of shape (channels, rank), by site.
        up: `U`, of shape (rank, channels), for the same sites.
        shift: `b`, for the same sites.
    """

    kind = "low-rank"

    def __init__(
        self,
        down: Mapping[Site, Float[Tensor, "channels rank"]],
        up: Mapping[Site, Float[Tensor, "rank channels"]],
        shift: PerChannel,
    ) -> None:
        self.down, self.up, self.shift = as_in_file(down), as_in_file(up), dict(shift)
        self.sites = frozenset(self.shift)

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.shift or strength == 0:
            return z
        down, up, shift = (part[site].to(z.device) for part in (self.down, self.up, self.shift))
        return (z + strength * ((z.float() @ down) @ up + shift)).to(z.dtype)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return _flatten(down=self.down, up=self.up, shift=self.shift), {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        down, up, shift = (_unflatten(tensors, name) for name in ("down", "up", "shift"))
        if (
            _shapes(down) != {site: shape[::-1] for site, shape in _shapes(up).items()}
            or down.keys() != shift.keys()
            or any(tensor.shape[1:] != shift[site].shape for site, tensor in up.items())
        ):
            raise ValueError("its parts do not match")
        return cls(down, up, shift)


class OnMeans(Intervention):
    r"""Another intervention, applied to means over positions: all positions are shifted alike.

    .. math:: T_s(z)_i = z_i + U_s(\bar z) - \bar z

    for positions `i` of an image, their mean `\bar z` and the other intervention `U`. Differences
    between the positions of an image stay as they are, whatever the scales of `U`. The mean and
    the sum are calculated in float32, and rounded once.

    Args:
        change: the other intervention; its sites are those of this one.
        sites: those of its sites at which it is applied to means, at others to each position; None:
            all of them.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations.
        2024. https://arxiv.org/abs/2410.23054 (its code does so with the maps of a UNet)
    """

    kind = "on-means"

    def __init__(self, change: Intervention, *, sites: Iterable[Site] | None = None) -> None:
        self.change = change
        self.sites = change.sites
        self.on_means = change.sites if sites is None else frozenset(sites)

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.on_means or strength == 0:
            return self.change.apply(site, z, strength=strength)
        mean = z.mean(1, keepdim=True, dtype=torch.promote_types(z.dtype, torch.float32))
        return (z + (self.change.apply(site, mean, strength=strength) - mean)).to(z.dtype)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        tensors, settings = self.change.state()
        marks = _flatten(**{"on-means": {site: torch.zeros(0) for site in self.on_means}})
        return tensors | marks, settings | {"change": kind_of(type(self.change))}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        sites = _unflatten(tensors, "on-means").keys()
        change = class_of(settings["change"]).restore(
            {name: each for name, each in tensors.items() if not name.startswith("on-means/")},
            {name: each for name, each in settings.items() if name != "change"},
        )
        if not sites <= change.sites:
            raise ValueError("its parts do not match")
        return cls(change, sites=sites)


class ModelIdentity(Protocol):
    """The part of `htbench.steering.model.Model` that identifies a model."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> Digest: ...


@checked(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class InterventionOrigin:
    """The origin of an intervention, as its file records it."""

    model: str
    revision: Digest
    method: str = ""
    """Name of the method's card."""
    concept: str = ""
    """Id of the concept."""
    seed: int = 0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Wall-clock seconds of fitting it."""


_SETTINGS = TypeAdapter(dict[str, str])
_ORIGIN = TypeAdapter(InterventionOrigin)
_BEFORE_SHORT_NAMES = {
    "htbench.intervention:Intervention": "none",
    "htbench.intervention:Rewrite": "rewrite",
    "htbench.intervention:Interpolate": "interpolate",
    "htbench.intervention:Affine": "affine",
    "htbench.intervention:LowRank": "low-rank",
}
"""Names of the classes in files of version 0.1.0; read for one release."""


def save(
    intervention: Intervention, path: Path, *, origin: InterventionOrigin | None = None
) -> None:
    """Write an intervention of any class to the safetensors file `path`.

    All its tensors of one number format are one flat tensor there. The metadata hold their shapes,
    the class, settings, sites and digest, and the `origin` if that is given: then `load` can refuse
    it for another model.
    """
    tensors, settings = intervention.state()
    stored, shapes = pack(tensors)
    metadata = {
        "kind": kind_of(type(intervention)),
        "settings": json.dumps(settings),
        "sites": json.dumps(sorted(intervention.sites)),
        "shapes": json.dumps(shapes),
    }
    metadata |= {"origin": json.dumps(asdict(origin))} if origin else {}
    metadata["digest"] = _digest(stored, metadata)
    content.write_whole(path, serialise(stored, metadata=metadata))


def load(path: Path, *, model: ModelIdentity | None = None) -> Intervention:
    """The intervention that `save` wrote to `path`; no code is imported for it.

    Args:
        path: the file.
        model: the model that is to be steered; None: the file's origin is not checked.

    Raises:
        Refused: if the file is damaged, names an unknown class, or was made for another model.
    """
    try:
        tensors, metadata = _read_whole(path)
        restored = class_of(metadata["kind"]).restore(
            unpack(tensors, metadata.get("shapes")),
            _SETTINGS.validate_python(reading.parse_json(metadata["settings"])),
        )
        origin = _origin(metadata)
    except _ERRORS as error:
        raise _unreadable(path, error) from None
    if model and origin and (origin.model, origin.revision) != (model.name, model.revision):
        raise Refused(
            f"intervention {str(path)!r} was learnt for model {origin.model!r} "
            f"({origin.revision}), this is {model.name!r} ({model.revision})",
            remedy="Learn it anew for this model.",
        )
    return restored


def read_origin(path: Path) -> InterventionOrigin | None:
    """The origin of the intervention at `path`; None if its file has none."""
    try:
        return _origin(_read(path)[1])
    except _ERRORS as error:
        raise _unreadable(path, error) from None


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of the intervention at `path`, of any class, also of a plug-in that is not here.

    Raises:
        Refused: if the file is damaged, or its content does not have its digest.
    """
    try:
        metadata = _read_whole(path)[1]
        _origin(metadata)
    except _ERRORS as error:
        raise _unreadable(path, error) from None
    return metadata


def _origin(metadata: Mapping[str, str]) -> InterventionOrigin | None:
    if "origin" not in metadata:
        return None
    return _ORIGIN.validate_python(reading.parse_json(metadata["origin"]))


_ERRORS = (
    SafetensorError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    OSError,
    UsageError,
    Missing,
)
"""Errors that a damaged file leads to."""


def _unreadable(path: Path, error: Exception) -> Refused:
    problem = reading.first_problem(error) if isinstance(error, ValidationError) else str(error)
    return Refused(
        f"intervention {str(path)[:300]!r} cannot be read: {' '.join(problem.split())[:300]}",
        remedy="Delete the file to learn it again.",
    )


def kind_of(of: type[Intervention]) -> str:
    """The name of a class in files: its own short name, or its module and class name."""
    short: str = vars(of).get("kind", "")
    return short or f"{of.__module__}:{of.__qualname__}"


def class_of(kind: str) -> type[Intervention]:
    """The class named `kind` in files: one of ours, or of a plug-in imported for its card.

    Nothing that a file names is imported: anybody may have written it.

    Raises:
        ValueError: if there is none.
    """
    for module in _MODULES:
        importlib.import_module(module)
    classes = {kind_of(subclass): subclass for subclass in _with_subclasses(Intervention)}
    name = _BEFORE_SHORT_NAMES.get(kind, kind)
    if name not in classes:
        raise ValueError(
            f"there is no intervention {kind[:200]!r} among {', '.join(sorted(classes))}"
        )
    return classes[name]


_MODULES = ("htbench.steering.gates", "htbench.steering.spatial")
"""Modules with further classes of ours; they import this one, so it loads them when it reads."""


def _with_subclasses(of: type[Intervention]) -> Iterator[type[Intervention]]:
    yield of
    for subclass in of.__subclasses__():
        yield from _with_subclasses(subclass)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    reading.find_file(path, noun="intervention")
    with safe_open(path, framework="pt") as file:
        # Copies, since products of matrices in a mapped file can round differently.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, dict(file.metadata() or {})


def _read_whole(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file, which must have its digest."""
    tensors, metadata = _read(path)
    rest = {name: value for name, value in metadata.items() if name != "digest"}
    if metadata["digest"] != _digest(tensors, rest):
        raise ValueError("its content does not have its digest")
    return tensors, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Digest:
    text = json.dumps(metadata, sort_keys=True).encode()
    return Digest(hashlib.sha256(text + serialise(dict(sorted(tensors.items())))).hexdigest()[:16])


def _flatten(**parts: Mapping[Site, Tensor]) -> dict[str, Tensor]:
    return {
        f"{part}/{site}": tensor
        for part, tensors in parts.items()
        for site, tensor in tensors.items()
    }


def _unflatten(tensors: dict[str, Tensor], name: str) -> dict[Site, Tensor]:
    return {
        Site(key.removeprefix(f"{name}/")): tensor
        for key, tensor in tensors.items()
        if key.startswith(f"{name}/")
    }


def _shapes(tensors: Mapping[Site, Tensor]) -> dict[Site, tuple[int, ...]]:
    return {site: tuple(tensor.shape) for site, tensor in tensors.items()}
