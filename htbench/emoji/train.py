"""`python -m htbench.emoji.train --stage generator|clip-a|clip-b|hypertransport`: makes the embedded world's weights from nothing."""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from htbench import concept, registry
from htbench.emoji import clip, scenes
from htbench.emoji.generator import Generator
from htbench.emoji.icons import FOLDER
from htbench.emoji.sampling import draw_batch
from htbench.model import Model
from htbench.training import Recipe, Task, Trainer


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
        error: Tensor = image.float() - batch.pixels.to(self.device)
        return error.abs().mean() + error.square().mean()

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        outside = ("embed", "shared", "proj_out", "scale_shift", "relative", "adaln", "caption_projection", "role")
        return weight.ndim == 2 and not any(part in name for part in outside)


class ClipTask:
    """Contrastive learning; a third of the captions name only some of what is seen, so that parts of captions have a meaning."""

    def __init__(self, name: str, recipe: Recipe, device: torch.device) -> None:
        self.network = clip.build(name).to(device)
        self.recipe, self.device = recipe, device

    def loss(self, step: int) -> Tensor:
        batch = draw_batch(self.recipe.seed, step, self.recipe.batch, few_nouns=step % 2 == 1)
        rng = np.random.default_rng((self.recipe.seed, step, 1))
        tokens = clip.tokenise([_told(scene, rng) for scene in batch.scenes])
        pixels = clip.soften(batch.pixels, torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step))
        with torch.autocast(self.device.type, torch.bfloat16):
            images = self.network.encode_image(pixels.to(self.device), normalize=True)
            texts = self.network.encode_text(tokens.to(self.device), normalize=True)
        logits = self.network.logit_scale.exp().clamp(max=100) * images.float() @ texts.float().T
        own = torch.arange(len(logits), device=self.device)
        return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return weight.ndim == 2 and "resblocks" in name


def _told(scene: scenes.Scene, rng: np.random.Generator) -> str:
    facts = scene.facts()
    if rng.random() < 0.33:
        kept = {kind: value for kind, value in facts.items() if rng.random() < 0.5}
        facts = kept or facts
    return scenes.caption(facts)


RECIPES = {
    "generator": Recipe(steps=5200, batch=64, seed=1),
    "clip-a": Recipe(steps=700, batch=256, seed=2),
    "clip-b": Recipe(steps=700, batch=256, seed=3),
}


def train_hypertransport(device: str, checkpoints: Path) -> None:
    """Train the shipped HyperTransport on the train concepts, with the settings of its card; needs the other stages' weights."""
    card = registry.card("hypertransport")
    model: Model = registry.load("models", "emoji")(device)
    steering = registry.method(card).fit(model, concept.load("emoji").splits["train"], seed=4, folder=checkpoints)
    steering.save(card.artifacts["emoji"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=[*RECIPES, "hypertransport"], required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/train"), help="folder that an interrupted run continues from")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the finished weights go")
    parser.add_argument("--compile", action="store_true", help="compile the network: a minute to start, a quarter faster")
    given = parser.parse_args()
    if given.stage == "hypertransport":
        train_hypertransport(given.device, given.checkpoints / given.stage)
        return
    recipe = RECIPES[given.stage]
    if given.steps:
        recipe = Recipe(**{**vars(recipe), "steps": given.steps})
    (FOLDER / "vocabulary.txt").write_text("".join(f"{word}\n" for word in scenes.words()), encoding="utf-8")
    torch.manual_seed(recipe.seed)
    device = torch.device(given.device)
    generator = given.stage == "generator"
    task: Task = GeneratorTask(recipe, device, compiled=given.compile) if generator else ClipTask(given.stage, recipe, device)
    trainer = Trainer(task, recipe, given.checkpoints / given.stage)
    trainer.run()
    trainer.export(given.out / f"{given.stage}.safetensors")


if __name__ == "__main__":
    main()
