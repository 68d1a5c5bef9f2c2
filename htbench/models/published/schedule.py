"""Timesteps of a scheduler, set as the pipelines of each family set them."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor


def set_listed(scheduler: Any, timesteps: Sequence[float], *, size: int, device: str) -> None:
    """The timesteps as they are listed, for images of any size."""
    scheduler.set_timesteps(timesteps=list(timesteps), device=device)


def set_shifted(
    scheduler: Any, timesteps: Sequence[float], *, device: str, mu: float | None = None
) -> None:
    """The timesteps after the shift in the scheduler's settings; `mu` is its exponent.

    Given as `timesteps`, the scheduler would shift the noise levels and not the timesteps.
    """
    scale = scheduler.config.num_train_timesteps
    scheduler.set_timesteps(sigmas=[step / scale for step in timesteps], device=device, mu=mu)


def visited(scheduler: Any) -> Iterable[Tensor]:
    """The timesteps at which the denoiser is asked, in order."""
    # The list of SCM ends with the time that its last step arrives at.
    is_scm = type(scheduler).__name__ == "SCMScheduler"
    timesteps: Iterable[Tensor] = scheduler.timesteps[:-1] if is_scm else scheduler.timesteps
    return timesteps
