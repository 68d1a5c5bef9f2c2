"""The training loop of all networks: resumable to the bit, with averaged weights and a log.

Under torch.distributed it runs on several devices.
"""

import json
import math
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from htbench.core import content, distributed
from htbench.core.errors import Refused
from htbench.core.phase import phase


class TrainingTask(Protocol):
    """A network with a loss per step; `is_hidden_matrix` is true for the weights that Muon updates.

    A distributed process returns the loss of its share of a step, scaled so that the mean over
    processes is the loss of the step.
    """

    @property
    def network(self) -> nn.Module: ...
    def loss(self, step: int) -> Tensor: ...
    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one training run; with the code they determine the weights."""

    steps: int
    batch: int
    seed: int
    rate: float = 1e-3
    """AdamW's learning rate, for biases and heads."""
    embedding_rate: float | None = None
    """AdamW's learning rate for embeddings, few of which occur in a step; None: `rate`."""
    matrix_rate: float = 1e-2
    """Muon's learning rate."""
    warmup: int = 100
    average: float = 0.998
    """Decay of the exponential moving average of the weights, which is the result."""
    cooldown: float = 0.5
    """Share of the steps, at the end, over which the learning rates fall linearly to 0."""

    def rate_factor(self, step: int) -> float:
        """Factor of the learning rate at `step`: up over `warmup` steps, to 0 over `cooldown`."""
        return min(1.0, (step + 1) / self.warmup) * min(
            1.0, (1 - step / self.steps) / self.cooldown
        )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class Trainer:
    """Trains a task by its recipe, from the last checkpoint in `folder`; None: without checkpoints.

    Of several distributed processes only rank 0 reads and writes the folder.
    """

    def __init__(self, task: TrainingTask, recipe: Recipe, folder: Path | None) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        named = [
            (name, weight)
            for name, weight in task.network.named_parameters()
            if weight.requires_grad
        ]
        hidden = [weight for name, weight in named if task.is_hidden_matrix(name, weight)]
        tables = {
            module.weight for module in task.network.modules() if isinstance(module, nn.Embedding)
        }
        others = [
            weight
            for name, weight in named
            if not task.is_hidden_matrix(name, weight) and weight not in tables
        ]
        groups: list[dict[str, object]] = [{"params": others, "top": recipe.rate}]
        if tables:
            embeddings = [weight for _, weight in named if weight in tables]
            top = recipe.rate if recipe.embedding_rate is None else recipe.embedding_rate
            groups.append({"params": embeddings, "top": top})
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        ]
        if hidden:
            matrices = [{"params": hidden, "top": recipe.matrix_rate}]
            self.optimisers.append(
                torch.optim.Muon(matrices, weight_decay=0.0, adjust_lr_fn="original")
            )
        self.weights = [weight for _, weight in named]
        self.average = [weight.detach().clone() for weight in self.weights]
        self.step, self.seconds = 0, 0.0

    def run(
        self,
        *,
        save_every: float = 60.0,
        log_every: int = 25,
        log: Callable[[str], None] = _to_stderr,
    ) -> None:
        """Train to the end, from the last checkpoint if there is one.

        A checkpoint is written every `save_every` seconds of training, and a line of the log every
        `log_every` steps.
        """
        folder = self.folder if distributed.is_rank_0() else None
        if self.folder:
            self._resume(self.folder / "checkpoint.pt")
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        smooth: Tensor | None = None
        saved = self.seconds
        while self.step < self.recipe.steps:
            began = time.perf_counter()
            with phase("train"):
                loss = self._train_step(self.step).double()
                smooth = loss if smooth is None else torch.lerp(smooth, loss, 0.03)
                self.step += 1
                is_logged = self.step % log_every == 0
                is_saved = self.seconds - saved >= save_every or self.step == self.recipe.steps
                if is_logged or is_saved:  # other steps do not wait for the device
                    value = smooth.item()
            self.seconds += time.perf_counter() - began
            if is_logged and distributed.is_rank_0():
                pace = self.seconds / self.step
                line = {"step": self.step, "loss": round(value, 5), "seconds": round(self.seconds)}
                if folder:
                    with (folder / "curve.jsonl").open("a") as file:
                        file.write(json.dumps(line) + "\n")
                left = (self.recipe.steps - self.step) * pace / 60
                log(
                    f"step {self.step}/{self.recipe.steps}  loss {value:.4f}  "
                    f"{pace:.2f} s/step  {left:.0f} min left"
                )
            if folder and is_saved:
                self._save(folder / "checkpoint.pt")
                saved = self.seconds

    def use_average(self) -> None:
        """Copy the averaged weights to the network."""
        with torch.no_grad():
            for weight, average in zip(self.weights, self.average, strict=True):
                weight.copy_(average)

    @property
    def device(self) -> str:
        """Name and number of the devices that the training runs on."""
        return distributed.describe_devices(str(self.weights[0].device))

    @property
    def record(self) -> dict[str, object]:
        """The recipe and the cost of the training."""
        return {
            **asdict(self.recipe),
            "steps": self.step,
            "seconds": round(self.seconds),
            "device": self.device,
            "torch": torch.__version__,
        }

    def export(self, path: Path, *, after: Mapping[str, object] | None = None) -> None:
        """Write the averaged weights in half precision, with the recipe and the cost.

        `after` is the record of the training that this one continued.
        """
        names = [
            name for name, weight in self.task.network.named_parameters() if weight.requires_grad
        ]
        tensors = {
            name: average.detach().half().contiguous().cpu()
            for name, average in zip(names, self.average, strict=True)
        }
        record = {**self.record, "after": after} if after else self.record
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(serialise(tensors, metadata={"recipe": json.dumps(record)}))

    def _train_step(self, step: int) -> Tensor:
        """Take one step and return its loss."""
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = group["top"] * self.recipe.rate_factor(step)
        loss = self.task.loss(step)
        self.task.network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.detach()
        distributed.average(
            [value, *(weight.grad for weight in self.weights if weight.grad is not None)]
        )
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        decay = min(self.recipe.average, (step + 1) / (step + 50))
        torch._foreach_lerp_(self.average, [weight.detach() for weight in self.weights], 1 - decay)
        return value

    def _save(self, path: Path) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.task.network.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with content.replacing(path) as fresh, fresh.open("wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # a full disk, in torch's words
                    raise error.__context__ from None
                raise

    def _resume(self, path: Path) -> None:
        device = self.weights[0].device if distributed.world_size() == 1 else "cpu"

        def read() -> dict[str, Any] | None:
            return _read_checkpoint(path, device) if path.exists() else None

        state = distributed.from_rank_0(read)
        if state is None:
            return
        try:
            self.task.network.load_state_dict(state["weights"])
            for average, saved in zip(self.average, state["average"], strict=True):
                average.copy_(saved)
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise _damaged(path, error) from None
        if not (0 <= self.step <= self.recipe.steps and 0 <= self.seconds < math.inf):
            raise _damaged(path, ValueError(f"step {self.step} of {self.recipe.steps}"))


def _read_checkpoint(path: Path, device: torch.device | str) -> dict[str, Any]:
    """The state in a checkpoint, which is read as data: no code in it is run."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise _damaged(path, error) from None
    if not isinstance(state, dict):
        raise _damaged(path, ValueError("it is no table"))
    return state


def _damaged(path: Path, error: Exception) -> Refused:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return Refused(
        f"checkpoint {str(path)[:300]!r} is damaged: {reason}",
        remedy="Delete it: the same command then trains from the start.",
    )
