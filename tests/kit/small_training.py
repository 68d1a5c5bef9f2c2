"""A training of milliseconds."""

import torch
from torch import Tensor, nn

from htbench.steering.fitting.trainer import Recipe


class Regression:
    """A small task whose batches depend on the step alone."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))

    def batch(self, step: int) -> Tensor:
        return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))

    def error(self, x: Tensor) -> Tensor:
        return (self.network(x) - x[:, :2] * 3).square().mean()

    def loss(self, step: int) -> Tensor:
        return self.error(self.batch(step))

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return name == "2.weight" and weight.ndim == 2


RECIPE = Recipe(steps=60, batch=16, seed=0, warmup=5, rate=3e-2)
