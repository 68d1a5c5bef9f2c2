"""Memory and FLOP of a published generator, from a run on fake tensors, which have no data.

It needs no weights, memory or GPU.
"""

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
from htbench.models.published.prompts import PromptEmbeds, whole_mask
from htbench.steering.fitting.end_to_end import EndToEnd, Targets
from htbench.steering.intervention import Intervention
from htbench.steering.layout import Layout
from htbench.steering.model import Request


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """The size of one network of a generator."""

    name: str
    parameters: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Operations and memory of a task."""

    work: str
    images: int
    flop: int
    """Floating-point operations: a multiplication and an addition are two."""
    peak: int
    """Greatest number of bytes of weights, activations and copies in another layout at one time,
    without text encoders and the overhead of the allocator."""


class FootprintCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While inside, counts operations and the bytes of tensors, beside those of `resident` modules.

    PyTorch's own counters cannot do this: the one of operations does not release blocks that are
    recomputed for gradients, the one of memory does not release frozen weights.
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
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._add_storage, result)
        self.peak = max(self.peak, self._current + _layout_copies(func, args, result))
        if count := flop_registry.get(func.overloadpacket):
            self.flop += count(*args, **(kwargs or {}), out_val=result)
        return result

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


def _layout_copies(func: Any, args: Sequence[Any], result: Any) -> int:
    """Bytes of the copies in another layout that a GPU makes during an operation.

    cuDNN's convolutions on tensor cores read and write channels last, and copy what is not;
    PyTorch's group normalisation reads channels first, as fake tensors know of its output.
    """
    aten = torch.ops.aten
    if func is aten.native_group_norm.default:
        return 0 if args[0].is_contiguous() else int(args[0].nbytes)
    if func is aten.convolution.default:
        maps = [args[0], result]
    elif func is aten.convolution_backward.default:
        maps = [args[0], result[0]]
    else:
        return 0
    return sum(
        part.nbytes
        for part in maps
        if part is not None
        and part.ndim == 4
        and not part.is_contiguous(memory_format=torch.channels_last)
    )


class FakeModel:
    """A generator on fake tensors, which have shapes but no data: its images have no content.

    All of it is on the device and nothing is compiled, whatever the options.
    """

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
            "scheduler": _FakeScheduler(preset.timesteps or tuple(range(preset.steps))),
            "prompts": _FakePromptCache(words["words"], dtype),
        }
        self._model = adapter.FewStepModel(preset, options, "cpu", replace(parts, **stand_ins))

    def generation(self, count: int) -> Footprint:
        """The footprint of generating `count` images in one batch."""
        requests = [
            Request(prompt="", seed=seed, intervention=Intervention(), strength=0.0)
            for seed in range(count)
        ]
        return self._measure("images", count, lambda: self._model.render(requests))

    def lineas_step(self, count: int) -> Footprint:
        """The footprint of a step of LinEAS on `count` images, with gradients of all at once."""
        layout = Layout.of({site: info.channels for site, info in self._model.sites.items()})

        def step() -> None:
            maps = torch.zeros(1, 2, layout.channels, requires_grad=True)
            samples = count * self._model.preset.step_count
            targets = Targets(samples=torch.empty(samples, layout.channels), rest=torch.zeros(()))
            EndToEnd().backward(self._model, ([""] * count, [*range(count)]), targets, maps, layout)

        return self._measure("LinEAS step", count, step)

    def _measure(self, work: str, images: int, run: Callable[[], object]) -> Footprint:
        with self._mode, FootprintCounter(*self._resident) as counter:
            run()
        return Footprint(work=work, images=images, flop=counter.flop, peak=counter.peak)


@dataclass(frozen=True)
class _FakeScheduler:
    """A scheduler whose steps only have the right shape."""

    steps: tuple[float, ...]

    @property
    def timesteps(self) -> list[Tensor]:
        return [torch.tensor(float(step)) for step in self.steps]

    def step(self, answer: Tensor, timestep: Tensor, latents: Tensor, **_: object) -> tuple[Tensor]:
        return (latents - answer,)


@dataclass(frozen=True)
class _FakePromptCache:
    """A prompt cache whose embeddings only have the right shape."""

    shapes: Mapping[str, Sequence[int]]
    dtype: torch.dtype

    def encode(self, mixtures: Sequence[object]) -> PromptEmbeds:
        count = len(mixtures)
        tensors = {
            name: torch.empty(count, *shape, dtype=self.dtype)
            for name, shape in self.shapes.items()
            if name != "mask"
        }
        return PromptEmbeds(**tensors, mask=whole_mask(self.shapes, count))


def _network_size(name: str, network: nn.Module) -> NetworkSize:
    parameters = list(network.parameters())
    return NetworkSize(
        name=name,
        parameters=sum(parameter.numel() for parameter in parameters),
        bytes=sum(parameter.nbytes for parameter in parameters),
    )


def _to_fake(network: nn.Module) -> None:
    """Replace the tensors of a network on `meta` by fake ones; `Module.to_empty` cannot do that."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty_strided(parameter.shape, parameter.stride(), dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(empty, requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
