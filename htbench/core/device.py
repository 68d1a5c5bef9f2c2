"""Devices that models run on."""

from typing import TYPE_CHECKING

from htbench.core.errors import Missing, UnknownName

if TYPE_CHECKING:
    from torch import Tensor, autocast, device

_OUT_OF_MEMORY_TEXTS = ("not enough memory", "can't allocate memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory ran out.

    CUDA has an error of its own for it; on a CPU, PyTorch raises a RuntimeError with these words.
    """
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in _OUT_OF_MEMORY_TEXTS)
    )


def choose(name: str | None) -> str:
    """The device `name`; for None the GPU if there is one, else the CPU, as without torch.

    Raises:
        UnknownName: if it is not the name of a device.
        Missing: if this machine has no such GPU.
    """
    try:
        import torch
    except ModuleNotFoundError:
        if name in (None, "cpu"):
            return "cpu"
        raise

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index or "0").isdecimal():
        raise UnknownName("device", name, ["cpu", "cuda", "cuda:0", "cuda:1"])
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise Missing(
            f"no device {name!r}: {torch.cuda.device_count()} GPUs can be used",
            remedy="Leave --device out to run on what there is.",
        )
    return name


def send(tensor: "Tensor", target: "device") -> "Tensor":
    """A tensor of the CPU on the device `target`, without waiting for that device's queue."""
    if target.type == "cpu":
        return tensor
    return tensor.pin_memory().to(target, non_blocking=True)


ROOM = 0.25
"""Share of a GPU's free memory that data for many steps may take."""


def keep_near(tensor: "Tensor", target: "device") -> "Tensor":
    """A tensor of the CPU where the device `target` reads it soonest: on it if there is `ROOM`.

    Otherwise it is in pinned memory of the host, which a GPU copies from without being waited for.
    """
    import torch

    if target.type == "cpu":
        return tensor
    free, _ = torch.cuda.mem_get_info(target)
    return tensor.to(target) if tensor.nbytes <= ROOM * free else tensor.pin_memory()


def autocast_bfloat16(device: str, *, enabled: bool = True) -> "autocast":
    """Matrix products in bfloat16 while inside, on a device that has instructions for it.

    A processor without them emulates bfloat16, and took 35 times as long as in float32; there,
    products stay in float32.
    """
    import torch

    kind = torch.device(device).type
    has_instructions = kind != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(kind, torch.bfloat16, enabled=enabled and has_instructions)
