"""Operators at which a process waits for its device."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

_WAIT = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "unique_dim"}


class Waits(TorchDispatchMode):
    """Counts, while inside, operators whose result the processor reads: a GPU is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        self.count += func.overloadpacket.__name__ in _WAIT
        return func(*args, **(kwargs or {}))
