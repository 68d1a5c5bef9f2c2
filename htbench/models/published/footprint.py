"""What a published generator asks of a device, found without weights, memory or a GPU: its work is done on tensors without numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from htbench.models.published import adapter
from htbench.models.published.preset import Options, Preset, architecture
from htbench.models.published.prompts import Words
from htbench.steering.fitting.end_to_end import distance, mapped
from htbench.steering.hooks import activations
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network of a generator."""

    name: str
    parameters: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What work asks of a device."""

    work: str
    images: int
    flop: int
    """Floating-point operations: a multiplication and an addition are two."""
    peak: int
    """Bytes of weights and activations at the worst moment, without the allocator's own overhead and without text encoders."""


class Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While inside, counts operations and the bytes of tensors that they make, on top of those that `held` already holds.

    PyTorch's own counters cannot do this: that of operations hangs on to what is computed again for gradients, that of memory to frozen weights.
    """

    def __init__(self, *held: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop = self.peak = self._now = 0
        self._seen = WeakIdKeyDictionary()
        for module in held:
            for tensor in (*module.parameters(), *module.buffers()):
                self._see(tensor)

    def __torch_dispatch__(self, func: Any, types: object, args: Sequence[object] = (), kwargs: dict[str, object] | None = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._see, made)
        if count := flop_registry.get(func.overloadpacket):
            self.flop += count(*args, **(kwargs or {}), out_val=made)
        return made

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()  # views share it
        if storage in self._seen:
            return
        size = storage.nbytes()
        self._seen[storage] = size
        self._now += size
        self.peak = max(self.peak, self._now)
        finalize(storage, self._lose, size)

    def _lose(self, size: int) -> None:
        self._now -= size


class Sketch:
    """A generator whose tensors have shapes and no numbers; nothing that it makes can be looked at. All of it is on the device, nothing compiled."""

    def __init__(self, preset: Preset, options: Options) -> None:
        options = replace(options, offload=False, compile=False)
        parts = adapter.assemble(preset, options, "meta")
        words = architecture(preset.family)
        dtype = next(parts.network.parameters()).dtype
        encoders = [adapter.text_encoder(config, dtype, "meta")[0] for config in words["text_encoders"]]
        self.parts = [_part("denoiser", parts.network), _part("decoder", parts.vae), *(_part("text encoder", encoder) for encoder in encoders)]
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        with self._mode:
            for network in (parts.network, parts.vae):
                _move(network)
        self._held = parts.network, parts.vae
        stand_ins: dict[str, Any] = {"scheduler": _Scheduler(preset.timesteps), "prompts": _Prompts(words["words"], dtype)}
        self._model = adapter.Distilled(preset, options, "cpu", replace(parts, **stand_ins))

    def images(self, count: int) -> Needs:
        """Making so many images together."""
        requests = [Request(prompt="", seed=seed, intervention=Intervention(), strength=0.0) for seed in range(count)]
        return self._needs("images", count, lambda: self._model.render(requests))

    def lineas(self, count: int) -> Needs:
        """A step of LinEAS on so many images, with gradients of all of them at once."""
        sites = self._model.sites

        def step() -> None:
            scale, shift = ({site: torch.zeros(info.channels, requires_grad=True) for site, info in sites.items()} for _ in range(2))
            wanted = {site: torch.empty(count, info.channels) for site, info in sites.items()}
            reached = activations(self._model, [""] * count, range(count), change=mapped(scale, shift), batch=count)
            distance(reached, wanted, tuple(sites)).backward()  # type: ignore[no-untyped-call]

        return self._needs("LinEAS step", count, step)

    def _needs(self, work: str, images: int, does: Callable[[], object]) -> Needs:
        with self._mode, Tally(*self._held) as tally:
            does()
        return Needs(work=work, images=images, flop=tally.flop, peak=tally.peak)


@dataclass(frozen=True)
class _Scheduler:
    """Steps of the right shape."""

    steps: tuple[int, ...]

    @property
    def timesteps(self) -> list[Tensor]:
        return [torch.tensor(float(step)) for step in self.steps]

    def step(self, answer: Tensor, timestep: Tensor, latents: Tensor, **_: object) -> tuple[Tensor]:
        return (latents - answer,)


@dataclass(frozen=True)
class _Prompts:
    """Encoded prompts of the right shape."""

    shapes: Mapping[str, Sequence[int]]
    dtype: torch.dtype

    def mixed(self, mixtures: Sequence[object]) -> Words:
        made = {name: torch.empty(len(mixtures), *shape, dtype=self.dtype) for name, shape in self.shapes.items()}
        return Words(**made, mask=None if "pooled" in made else torch.ones(len(mixtures), self.shapes["states"][0], dtype=torch.bool))


def _part(name: str, network: nn.Module) -> Part:
    parameters = list(network.parameters())
    return Part(name=name, parameters=sum(each.numel() for each in parameters), bytes=sum(each.nbytes for each in parameters))


def _move(network: nn.Module) -> None:
    """Take a network from `meta` to where new tensors are made; `Module.to_empty` cannot take it to tensors without numbers."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
