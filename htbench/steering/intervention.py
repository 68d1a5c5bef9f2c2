"""Interventions: what a method has learnt, as a value that can be applied, saved and loaded."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.core.errors import Refused
from htbench.core.types import Digest, Site


class Intervention:
    """Does nothing; what does something overrides `prompts` or `apply`, and strength 0 never changes anything."""

    kind: ClassVar[str] = "none"
    """What files call the class; a subclass that has none of its own is called by its module and name."""
    sites: frozenset[Site] = frozenset()
    """Where `apply` does something."""

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        """Prompts to generate from instead of `prompt`, with the weight of each one's encoding; weights sum to 1."""
        return {prompt: 1.0}

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        """What the site shall put out instead of `z`, which is not written to."""
        return z

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors, named `part/site`, and settings, from which `restore` makes an equal intervention."""
        return {}, {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        """The intervention with this state."""
        return cls(**settings)


class Rewrite(Intervention):
    """Asks for the concept in the prompt: `more` at positive strength, `less` at negative; `{prompt}` stands for the prompt."""

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
    """Walks, at strength `s`, from the encoded prompt to the one that asks for the concept and beyond: weights `1 - s` and `s`."""

    kind = "interpolate"

    def __init__(self, *, template: str) -> None:
        self.template = template

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        there = self.template.replace("{prompt}", prompt)
        weights = {prompt: 1.0 - strength, there: strength} if there != prompt else {prompt: 1.0}
        return {words: weight for words, weight in weights.items() if weight != 0}

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"template": self.template}


PerChannel = Mapping[Site, Float[Tensor, " channels"]]


class Affine(Intervention):
    r"""One affine map a channel and site: `z + s * (scale * z + shift - z)` at strength `s`, for every position alike.

    With `low` and `high`, given for the same sites, a value outside `[low, high]` of its channel is left alone.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
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
        self.scale, self.shift, self.low, self.high = (
            dict(scale),
            dict(shift),
            dict(low or {}),
            dict(high or {}),
        )
        self.sites = frozenset(self.scale)

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.scale or strength == 0:
            return z
        moved = z + (strength * ((self.scale[site] - 1) * z.float() + self.shift[site])).to(z.dtype)
        if site not in self.low:
            return moved
        return torch.where((z >= self.low[site]) & (z <= self.high[site]), moved, z)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return _flatten(scale=self.scale, shift=self.shift, low=self.low, high=self.high), {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        scale, shift, low, high = (
            _unflatten(tensors, name) for name in ("scale", "shift", "low", "high")
        )
        if (
            _shapes(scale) != _shapes(shift)
            or _shapes(low) != _shapes(high)
            or (low and _shapes(low) != _shapes(scale))
        ):
            raise ValueError("its parts do not match")
        return cls(scale, shift, low=low, high=high)


class LowRank(Intervention):
    r"""A full matrix a site, as identity plus low rank: `z + s * ((z @ down) @ up + shift)` at strength `s`, for every position alike."""

    kind = "low-rank"

    def __init__(
        self,
        down: Mapping[Site, Float[Tensor, "channels rank"]],
        up: Mapping[Site, Float[Tensor, "rank channels"]],
        shift: PerChannel,
    ) -> None:
        self.down, self.up, self.shift = dict(down), dict(up), dict(shift)
        self.sites = frozenset(self.shift)

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        if site not in self.shift or strength == 0:
            return z
        return z + (
            strength * ((z.float() @ self.down[site]) @ self.up[site] + self.shift[site])
        ).to(z.dtype)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return _flatten(down=self.down, up=self.up, shift=self.shift), {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        down, up, shift = (_unflatten(tensors, name) for name in ("down", "up", "shift"))
        if (
            _shapes(down) != {site: shape[::-1] for site, shape in _shapes(up).items()}
            or down.keys() != shift.keys()
        ):
            raise ValueError("its parts do not match")
        return cls(down, up, shift)


class ModelIdentity(Protocol):
    """What an intervention is learnt for: a `htbench.steering.model.Model`."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> Digest: ...


@dataclass(frozen=True, kw_only=True)
class InterventionOrigin:
    """Where an intervention comes from; kept in its file."""

    model: str
    revision: Digest
    method: str = ""
    """Name of the card."""
    concept: str = ""
    seed: int = 0
    seconds: float = 0.0
    """What learning it took."""


_BEFORE_SHORT_NAMES = {
    "htbench.intervention:Intervention": "none",
    "htbench.intervention:Rewrite": "rewrite",
    "htbench.intervention:Interpolate": "interpolate",
    "htbench.intervention:Affine": "affine",
    "htbench.intervention:LowRank": "low-rank",
}
"""What files of version 0.1.0 call the classes; read for one release."""


def save(
    intervention: Intervention, path: Path, *, origin: InterventionOrigin | None = None
) -> None:
    """Write an intervention of any class as safetensors, with its sites, its digest and where it comes from."""
    tensors, settings = intervention.state()
    stored = {
        name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()
    } or {"none": torch.zeros(0)}
    metadata = {
        "kind": _kind(type(intervention)),
        "settings": json.dumps(settings),
        "sites": json.dumps(sorted(intervention.sites)),
    }
    metadata |= {"origin": json.dumps(asdict(origin))} if origin else {}
    path.write_bytes(serialise(stored, metadata={**metadata, "digest": _digest(stored, metadata)}))


def load(path: Path, *, model: ModelIdentity | None = None) -> Intervention:
    """The intervention that was saved at `path`.

    Raises:
        Refused: if the file is damaged, names no known class, or was learnt for another model than `model`.
    """
    try:
        tensors, metadata = _read(path)
        if metadata["digest"] != _digest(
            tensors, {name: value for name, value in metadata.items() if name != "digest"}
        ):
            raise ValueError("its content does not have its digest")
        restored = _class(metadata["kind"]).restore(
            {name: tensor for name, tensor in tensors.items() if name != "none"},
            json.loads(metadata["settings"]),
        )
        origin = (
            InterventionOrigin(**json.loads(metadata["origin"])) if "origin" in metadata else None
        )
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise Refused(
            f"intervention {str(path)!r} cannot be read: {error}",
            remedy="Delete the file to learn it again.",
        ) from None
    if model and origin and (origin.model, origin.revision) != (model.name, model.revision):
        raise Refused(
            f"intervention {str(path)!r} was learnt for model {origin.model!r} ({origin.revision}), this is {model.name!r} ({model.revision})",
            remedy="Learn it anew for this model.",
        )
    return restored


def read_origin(path: Path) -> InterventionOrigin | None:
    """Where the intervention at `path` comes from; None if its file does not say."""
    try:
        metadata = _read(path)[1]
        return (
            InterventionOrigin(**json.loads(metadata["origin"])) if "origin" in metadata else None
        )
    except (SafetensorError, TypeError, ValueError, OSError) as error:
        raise Refused(
            f"intervention {str(path)!r} cannot be read: {error}",
            remedy="Delete the file to learn it again.",
        ) from None


def _kind(of: type[Intervention]) -> str:
    """What files call a class of interventions: its own short name, or where it is defined."""
    short: str = vars(of).get("kind", "")
    return short or f"{of.__module__}:{of.__qualname__}"


def _class(kind: str) -> type[Intervention]:
    """The class that files call `kind`: one of ours, or of a plug-in that was imported for its card; nothing is imported for a file.

    Raises:
        ValueError: if there is none.
    """
    classes = {_kind(each): each for each in _with_subclasses(Intervention)}
    name = _BEFORE_SHORT_NAMES.get(kind, kind)
    if name not in classes:
        raise ValueError(
            f"there is no intervention {kind[:200]!r} among {', '.join(sorted(classes))}"
        )
    return classes[name]


def _with_subclasses(of: type[Intervention]) -> Iterator[type[Intervention]]:
    yield of
    for each in of.__subclasses__():
        yield from _with_subclasses(each)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


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
