"""Interventions: what a method has learnt, as a value that can be applied, saved and loaded."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.errors import Refused
from htbench.types import Site


class Intervention:
    """Does nothing; what does something overrides `prompts` or `apply`, and strength 0 never changes anything."""

    sites: frozenset[Site] = frozenset()
    """Where `apply` does something."""

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        """Prompts to generate from instead of `prompt`, with the weight of each one's encoding; weights sum to 1."""
        return {prompt: 1.0}

    def apply(self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float) -> Float[Tensor, "images positions channels"]:
        """What the site shall put out instead of `z`, which is not written to."""
        return z

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and settings from which `restore` makes an equal intervention."""
        return {}, {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        """The intervention with this state."""
        return cls(**settings)


class Rewrite(Intervention):
    """Asks for the concept in the prompt: `more` at positive strength, `less` at negative; `{prompt}` stands for the prompt."""

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

    def __init__(self, *, template: str) -> None:
        self.template = template

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        there = self.template.replace("{prompt}", prompt)
        weights = {prompt: 1.0 - strength, there: strength} if there != prompt else {prompt: 1.0}
        return {words: weight for words, weight in weights.items() if weight != 0}

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"template": self.template}


class Affine(Intervention):
    r"""One affine map a channel and site: `z + s * (scale * z + shift - z)` at strength `s`, for every position alike.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
    """

    def __init__(self, scale: Mapping[Site, Float[Tensor, " channels"]], shift: Mapping[Site, Float[Tensor, " channels"]]) -> None:
        self.scale, self.shift = dict(scale), dict(shift)
        self.sites = frozenset(self.scale)

    def apply(self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float) -> Float[Tensor, "images positions channels"]:
        if site not in self.scale or strength == 0:
            return z
        return z + (strength * ((self.scale[site] - 1) * z.float() + self.shift[site])).to(z.dtype)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        parts = {"scale": self.scale, "shift": self.shift}
        return {f"{part}/{site}": tensor.detach() for part, tensors in parts.items() for site, tensor in tensors.items()}, {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        def part(name: str) -> dict[Site, Tensor]:
            return {Site(key.removeprefix(f"{name}/")): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}

        scale, shift = part("scale"), part("shift")
        if {site: tensor.shape for site, tensor in scale.items()} != {site: tensor.shape for site, tensor in shift.items()}:
            raise ValueError("scale and shift do not match")
        return cls(scale, shift)


def save(intervention: Intervention, path: Path) -> None:
    """Write an intervention of any class as safetensors."""
    tensors, settings = intervention.state()
    kind = type(intervention)
    stored = {name: tensor.contiguous().cpu().clone() for name, tensor in tensors.items()} or {"none": torch.zeros(0)}
    path.write_bytes(serialise(stored, metadata={"kind": f"{kind.__module__}:{kind.__qualname__}", "settings": json.dumps(settings)}))


def load(path: Path) -> Intervention:
    """The intervention that was saved at `path`.

    Raises:
        Refused: if the file is damaged or names no known class.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys() if name != "none"}  # noqa: SIM118
        module, _, name = metadata["kind"].partition(":")
        kind = getattr(importlib.import_module(module), name)
        if not issubclass(kind, Intervention):
            raise TypeError(f"{name} is not an intervention")
        restored: Intervention = kind.restore(tensors, json.loads(metadata["settings"]))
        return restored
    except (SafetensorError, KeyError, TypeError, ImportError, AttributeError, ValueError, OSError) as error:
        raise Refused(f"intervention {str(path)!r} cannot be read: {error}", remedy="Delete the file to learn it again.") from None
