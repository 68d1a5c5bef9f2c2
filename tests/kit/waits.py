"""Operators at which a process waits for its device."""

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest import mock

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_WAIT = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "unique_dim"}


class Waits(TorchDispatchMode):
    """Counts, while inside, operators whose result the processor reads: a GPU is waited for.

    Lists of whole numbers do not count: they are drawn on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        of_list = Tensor.tolist

        def tolist(tensor: Tensor) -> Any:
            self.count += tensor.is_floating_point()
            return of_list(tensor)

        self._patches.enter_context(mock.patch.object(Tensor, "tolist", tolist))
        super().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._patches.close()

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        self.count += func.overloadpacket.__name__ in _WAIT
        return func(*args, **(kwargs or {}))
