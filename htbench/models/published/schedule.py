"""Timesteps of a scheduler, set as the pipelines of each family set them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor


def set_listed(scheduler: Any, timesteps: Sequence[float], *, side: int, device: str) -> None:
    """The timesteps as they are listed, for latents of any number of rows."""
    scheduler.set_timesteps(timesteps=list(timesteps), device=device)


def set_shifted(
    scheduler: Any, timesteps: Sequence[float], *, device: str, mu: float | None = None
) -> None:
    """The timesteps after the shift in the scheduler's settings; `mu` is its exponent.

    Given as `timesteps`, the scheduler would shift the noise levels and not the timesteps.
    """
    scale = scheduler.config.num_train_timesteps
    scheduler.set_timesteps(sigmas=[step / scale for step in timesteps], device=device, mu=mu)


def set_by_size(scheduler: Any, timesteps: Sequence[float], *, side: int, device: str) -> None:
    """The timesteps after a shift whose exponent is linear in the number of an image's tokens.

    A token is of 2 x 2 latents, of which there are `side` rows and columns.

    Settings without dynamic shifting have a shift of their own, and the exponent is not used.
    """
    config = scheduler.config
    fewest, most = config.base_image_seq_len, config.max_image_seq_len
    slope = (config.max_shift - config.base_shift) / (most - fewest)
    mu = (side // 2) ** 2 * slope + (config.base_shift - slope * fewest)
    set_shifted(scheduler, timesteps, device=device, mu=mu)


def evenly_spaced(steps: int) -> Sequence[float]:
    """Timesteps from 1000 to 1000 / steps, before a shift."""
    levels: list[float] = np.linspace(1000.0, 1000.0 / steps, steps).tolist()
    return levels


def left_to_scheduler(steps: int) -> Sequence[float]:
    """No timesteps: the scheduler chooses them by their number."""
    return ()


def visited(scheduler: Any) -> Iterable[Tensor]:
    """The timesteps at which the denoiser is asked, in order."""
    # The list of SCM ends with the time that its last step arrives at.
    is_scm = type(scheduler).__name__ == "SCMScheduler"
    timesteps: Iterable[Tensor] = scheduler.timesteps[:-1] if is_scm else scheduler.timesteps
    return timesteps
