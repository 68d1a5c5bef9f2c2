"""`python -m htbench.models.emoji.train --stage clip-a|generator|clip-b|hypertransport`: makes the
embedded world's weights in this order, from nothing or from those of another world (`--start`)."""

import argparse
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from htbench.core import device, registry
from htbench.core.errors import HtbenchError
from htbench.models.emoji import clip
from htbench.models.emoji.clip_training import ClipTask, unfused_attention, untrained_clip
from htbench.models.emoji.continuing import start_from
from htbench.models.emoji.generator_training import GeneratorTask, untrained_generator
from htbench.models.emoji.icons import WEIGHTS_FOLDER
from htbench.models.emoji.pretrained import restore
from htbench.models.emoji.worlds import SHIPPED
from htbench.steering import baseline, concept
from htbench.steering.fitting.trainer import Recipe, Trainer
from htbench.steering.method import Method
from htbench.steering.model import Model

FINISH_RECIPE = Recipe(
    steps=1500, batch=64, seed=4, rate=2e-4, embedding_rate=2e-3, matrix_rate=2e-3, cooldown=1.0
)
"""The last steps of the generator, with CLIP `a` as critic."""
RECIPES = {
    "clip-a": Recipe(
        steps=800, batch=256, seed=2, embedding_rate=2e-3, matrix_rate=2e-2, cooldown=0.3
    ),
    "generator": Recipe(steps=10000, batch=64, seed=1, embedding_rate=1e-2, cooldown=0.5),
    "clip-b": Recipe(
        steps=5000, batch=256, seed=3, embedding_rate=2e-3, matrix_rate=2e-2, cooldown=0.3
    ),
}


CONTINUED_FINISH_RECIPE = replace(FINISH_RECIPE, steps=700)
CONTINUED_RECIPES = {
    "clip-a": replace(RECIPES["clip-a"], steps=1000, seed=5, cooldown=0.5),
    "generator": replace(RECIPES["generator"], steps=3400, seed=6, rate=5e-4, matrix_rate=7e-3),
    "clip-b": replace(RECIPES["clip-b"], steps=2000, seed=7, cooldown=0.5),
}
"""Recipes that continue from trained weights of another world (`--start`)."""


def train_generator(
    recipe: Recipe,
    finish: Recipe,
    device: torch.device,
    checkpoints: Path,
    out: Path,
    *,
    start: Path | None = None,
    compiled: bool,
) -> None:
    """Train the generator on pixels, then with CLIP `a`, whose weights are in `out`, as critic.

    It starts from nothing, or from the weights in `start`, and then with the later mix of scenes.
    """
    critic = clip.build("clip-a")
    restore(critic, "clip-a", out)
    network = untrained_generator()
    before = start_from(network, "generator", start) if start else None
    if compiled:
        network.transformer.compile()
    task = GeneratorTask(network, recipe, device, late_from=0.0 if start else 0.5)
    drawing = Trainer(task, recipe, checkpoints / "generator")
    drawing.run()
    drawing.use_average()
    task = GeneratorTask(network, finish, device, critic=critic)
    finishing = Trainer(task, finish, checkpoints / "generator-finish")
    finishing.run()
    drawn = {**drawing.record, "after": before} if before else drawing.record
    finishing.export(out / "generator.safetensors", after=drawn)


def train_hypertransport(
    device: str, checkpoints: Path, out: Path | None, steps: int | None
) -> None:
    """Train HyperTransport on the train concepts by its card, and write it to `out`.

    None: to where the card's trained weights are shipped.
    """
    card = baseline.load_card("hypertransport")
    method: Method = baseline.load_method(card.with_settings({"steps": steps}) if steps else card)
    model: Model = registry.load("models", "emoji")(device)
    steering = method.train(
        model, concept.load("emoji").splits["train"], seed=0, folder=checkpoints
    )
    shipped = card.artifacts["emoji"]
    steering.save(out / shipped.name if out else shipped)


def main() -> None:
    """Run one stage; an error is two lines on stderr and an exit code, as in `htbench`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=[*RECIPES, "hypertransport"], required=True)
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=Path("runs/train"),
        help="folder that an interrupted run continues from",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="where the finished weights go and those of clip-a are; "
        "not given: where they are shipped",
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FOLDER",
        help="continue from the weights and the vocabulary in it, of another world; "
        "not for hypertransport",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network, unless it is hypertransport's: "
        "a minute to start, a quarter faster",
    )
    options = parser.parse_args()
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps {options.steps}: at least 1")
    if options.start and options.stage == "hypertransport":
        parser.error("--start: hypertransport is always trained from nothing")
    try:
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
        _train(
            options.stage,
            device.choose(options.device),
            options.checkpoints,
            options.out,
            options.steps,
            start=options.start,
            compiled=options.compile,
        )
    except HtbenchError as error:
        sys.stderr.write(f"{error}\n{error.remedy}\n")
        sys.exit(error.exit_code)


def _train(
    stage: str,
    device_name: str,
    checkpoints: Path,
    out: Path | None,
    steps: int | None,
    *,
    start: Path | None,
    compiled: bool,
) -> None:
    if stage == "hypertransport":
        train_hypertransport(device_name, checkpoints / stage, out, steps)
        return
    recipe = (CONTINUED_RECIPES if start else RECIPES)[stage]
    finish = CONTINUED_FINISH_RECIPE if start else FINISH_RECIPE
    if steps:
        recipe, finish = replace(recipe, steps=steps), replace(finish, steps=steps)
    words = "".join(f"{word}\n" for word in SHIPPED.vocabulary()).encode()
    target, torch_device = out or WEIGHTS_FOLDER, torch.device(device_name)
    # The digest of weights is taken together with the vocabulary beside them.
    for path in {folder / "vocabulary.txt" for folder in (WEIGHTS_FOLDER, target)}:
        if not (path.is_file() and path.read_bytes() == words):
            path.write_bytes(words)
    torch.manual_seed(recipe.seed)
    if stage == "generator":
        train_generator(
            recipe, finish, torch_device, checkpoints, target, start=start, compiled=compiled
        )
        return
    network = untrained_clip(stage)
    before = start_from(network, stage, start) if start else None
    with unfused_attention() if device_name == "cpu" else nullcontext():
        late_from = 0.0 if start else 1 / 3
        task = ClipTask(network, recipe, torch_device, late_from=late_from, compiled=compiled)
        trainer = Trainer(task, recipe, checkpoints / stage)
        trainer.run()
        trainer.export(target / f"{stage}.safetensors", after=before)


if __name__ == "__main__":
    main()
