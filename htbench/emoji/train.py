"""`python -m htbench.emoji.train --stage generator|clip-a|clip-b`: makes the embedded models' weights from nothing."""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from htbench.emoji import scenes
from htbench.emoji.generator import Generator
from htbench.emoji.icons import FOLDER
from htbench.emoji.sampling import draw_batch
from htbench.emoji.training import Recipe, Task, Trainer


class GeneratorTask:
    """Plain regression: the composer is a perfect teacher, so image = f(noise, caption) needs no diffusion."""

    def __init__(self, recipe: Recipe, device: torch.device, *, compiled: bool) -> None:
        self.network = Generator().to(device)
        self.recipe, self.device = recipe, device
        if compiled:
            self.network.transformer.compile()

    def loss(self, step: int) -> Tensor:
        batch = draw_batch(self.recipe.seed, step, self.recipe.batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            words = self.network.encode([scene.caption() for scene in batch.scenes])
            image = self.network(batch.latents.to(self.device), words)
        error = image.float() - batch.pixels.to(self.device)
        return error.abs().mean() + error.square().mean()

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        outside = ("embed", "shared", "proj_out", "scale_shift", "relative", "adaln", "caption_projection")
        return weight.ndim == 2 and not any(part in name for part in outside)


RECIPES = {"generator": Recipe(steps=5000, batch=64, seed=1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=RECIPES, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/train"), help="folder that an interrupted run continues from")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the finished weights go")
    parser.add_argument("--compile", action="store_true", help="compile the network: a minute to start, a quarter faster")
    given = parser.parse_args()
    recipe = RECIPES[given.stage]
    if given.steps:
        recipe = Recipe(**{**vars(recipe), "steps": given.steps})
    (FOLDER / "vocabulary.txt").write_text("".join(f"{word}\n" for word in scenes.words()), encoding="utf-8")
    torch.manual_seed(recipe.seed)
    task: Task = GeneratorTask(recipe, torch.device(given.device), compiled=given.compile)
    trainer = Trainer(task, recipe, given.checkpoints / given.stage)
    trainer.run()
    trainer.export(given.out / f"{given.stage}.safetensors")


if __name__ == "__main__":
    main()
