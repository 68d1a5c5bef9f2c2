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
from htbench.models.published.preset import LoadOptions, Preset, architecture
from htbench.models.published.prompts import PromptEmbeds
from htbench.steering.fitting.end_to_end import affine_tap, distance
from htbench.steering.hooks import activations
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """One network of a generator."""

    name: str
    parameters: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What work asks of a device."""

    work: str
    images: int
    flop: int
    """Floating-point operations: a multiplication and an addition are two."""
    peak: int
    """Bytes of weights and activations at the worst moment, without the allocator's own overhead and without text encoders."""


class FootprintCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While inside, counts operations and the bytes of tensors that they make, on top of those that `held` already holds.

    PyTorch's own counters cannot do this: that of operations hangs on to what is computed again for gradients, that of memory to frozen weights.
    """

    def __init__(self, *resident: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop = self.peak = self._current = 0
        self._storages = WeakIdKeyDictionary()
        for module in resident:
            for tensor in (*module.parameters(), *module.buffers()):
                self._add_storage(tensor)

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._add_storage, made)
        if count := flop_registry.get(func.overloadpacket):
            self.flop += count(*args, **(kwargs or {}), out_val=made)
        return made

    def _add_storage(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()  # views share it
        if storage in self._storages:
            return
        size = storage.nbytes()
        self._storages[storage] = size
        self._current += size
        self.peak = max(self.peak, self._current)
        finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._current -= size


class FakeModel:
    """A generator whose tensors have shapes and no numbers; nothing that it makes can be looked at. All of it is on the device, nothing compiled."""

    def __init__(self, preset: Preset, options: LoadOptions) -> None:
        options = replace(options, offload=False, compile=False)
        parts = adapter.assemble(preset, options, "meta")
        words = architecture(preset.family)
        dtype = next(parts.network.parameters()).dtype
        encoders = [
            adapter.random_text_encoder(config, dtype, "meta")[0]
            for config in words["text_encoders"]
        ]
        self.networks = [
            _network_size("denoiser", parts.network),
            _network_size("decoder", parts.vae),
            *(_network_size("text encoder", encoder) for encoder in encoders),
        ]
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        with self._mode:
            for network in (parts.network, parts.vae):
                _to_fake(network)
        self._resident = parts.network, parts.vae
        stand_ins: dict[str, Any] = {
            "scheduler": _FakeScheduler(preset.timesteps),
            "prompts": _FakePromptCache(words["words"], dtype),
        }
        self._model = adapter.FewStepModel(preset, options, "cpu", replace(parts, **stand_ins))

    def generation(self, count: int) -> Footprint:
        """Making so many images together."""
        requests = [
            Request(prompt="", seed=seed, intervention=Intervention(), strength=0.0)
            for seed in range(count)
        ]
        return self._measure("images", count, lambda: self._model.render(requests))

    def lineas_step(self, count: int) -> Footprint:
        """A step of LinEAS on so many images, with gradients of all of them at once."""
        sites = self._model.sites

        def step() -> None:
            scale, shift = (
                {
                    site: torch.zeros(info.channels, requires_grad=True)
                    for site, info in sites.items()
                }
                for _ in range(2)
            )
            wanted = {site: torch.empty(count, info.channels) for site, info in sites.items()}
            reached = activations(
                self._model,
                [""] * count,
                range(count),
                change=affine_tap(scale, shift),
                batch=count,
            )
            distance(reached, wanted, tuple(sites)).backward()  # type: ignore[no-untyped-call]

        return self._measure("LinEAS step", count, step)

    def _measure(self, work: str, images: int, does: Callable[[], object]) -> Footprint:
        with self._mode, FootprintCounter(*self._resident) as tally:
            does()
        return Footprint(work=work, images=images, flop=tally.flop, peak=tally.peak)


@dataclass(frozen=True)
class _FakeScheduler:
    """Steps of the right shape."""

    steps: tuple[int, ...]

    @property
    def timesteps(self) -> list[Tensor]:
        return [torch.tensor(float(step)) for step in self.steps]

    def step(self, answer: Tensor, timestep: Tensor, latents: Tensor, **_: object) -> tuple[Tensor]:
        return (latents - answer,)


@dataclass(frozen=True)
class _FakePromptCache:
    """Encoded prompts of the right shape."""

    shapes: Mapping[str, Sequence[int]]
    dtype: torch.dtype

    def encode(self, mixtures: Sequence[object]) -> PromptEmbeds:
        made = {
            name: torch.empty(len(mixtures), *shape, dtype=self.dtype)
            for name, shape in self.shapes.items()
        }
        return PromptEmbeds(
            **made,
            mask=None
            if "pooled" in made
            else torch.ones(len(mixtures), self.shapes["states"][0], dtype=torch.bool),
        )


def _network_size(name: str, network: nn.Module) -> NetworkSize:
    parameters = list(network.parameters())
    return NetworkSize(
        name=name,
        parameters=sum(each.numel() for each in parameters),
        bytes=sum(each.nbytes for each in parameters),
    )


def _to_fake(network: nn.Module) -> None:
    """Take a network from `meta` to where new tensors are made; `Module.to_empty` cannot take it to tensors without numbers."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(
                module,
                name,
                nn.Parameter(
                    torch.empty(parameter.shape, dtype=parameter.dtype), requires_grad=False
                ),
            )
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
