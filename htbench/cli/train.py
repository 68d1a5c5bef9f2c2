"""`htbench train`: the training of an amortised method."""

import os
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import (
    RUNS_DIR,
    ConceptSetName,
    Device,
    MethodCard,
    ModelName,
    ModelOption,
    Weights,
    choose_model,
)
from htbench.core import reading, registry
from htbench.core.errors import UsageError, check_installed

_TOML = re.compile(r"[0-9+\-\"'\[{].*|true|false|nan|inf", re.DOTALL)
"""Values that are TOML; all others are words, such as `text` and `blocks.*`."""


def train(
    method: MethodCard,
    model: ModelName = "emoji",
    weights: Weights = None,
    model_option: ModelOption = None,
    concept_set: ConceptSetName = "emoji",
    concepts: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Concepts of the set to learn from: train, dev, test, or ids separated by commas.",
        ),
    ] = "train",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Use only the first N concepts.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Setting of the method: steps=2000. Repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for learning.")] = 0,
    device: Device = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File for what is learnt; a card is written beside it.",
            show_default="in runs/train",
        ),
    ] = None,
    checkpoints: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder that an interrupted training continues from."),
    ] = RUNS_DIR / "train" / "checkpoints",
) -> None:
    """Train a method that learns from many concepts. The same command again continues where it
    stopped.

    On several GPUs: torchrun --nproc-per-node 8 -m htbench train METHOD
    """
    from htbench.steering import baseline, concept

    card = baseline.load_card(method)
    if setting:
        card = card.with_settings(dict(map(_setting, setting)))
    source = choose_model(model, weights, model_option)
    selected = concept.load(concept_set, model=model).select(concepts)[:limit]
    name = registry.own_name("models", model)
    path = out or RUNS_DIR / "train" / f"{card.name}-{name}.safetensors"
    if path.suffix == ".toml":
        raise UsageError(
            f"--out {str(path)!r} is where the card goes",
            remedy=f"Write it as --out {path.with_suffix('.safetensors')}",
        )
    if path.is_dir():
        raise UsageError(f"--out {str(path)!r} is a folder", remedy="Name a file in it.")
    check_installed("torch")  # before a folder is made
    _create_folders(path.parent, checkpoints)

    from rich.console import Console

    from htbench.core import distributed
    from htbench.steering import artifact

    artifact.trainable_method(card)
    title = f"{card.name} learns from {len(selected)} concepts"
    with (
        distributed.init(device) as own_device,
        Console(stderr=True, quiet=not distributed.is_rank_0()).status(title),
    ):
        loaded = source.load(own_device)
        files = artifact.train(
            card, loaded, selected, seed=seed, checkpoints=checkpoints, path=path
        )
        if distributed.is_rank_0():
            steering_file, card_file = map(os.path.relpath, (files.steering, files.card))
            typer.echo(f"{steering_file}\n{card_file}")
            words = ["--model", model, *(["--weights", weights] if weights else [])]
            words += [word for option in model_option or () for word in ("--model-option", option)]
            typer.echo(f"Use it: htbench run {shlex.join([*words, '--method', card_file])}")


def _setting(text: str) -> tuple[str, object]:
    """Name and value of `name=value`; a value that is not TOML is a word."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals):
        raise UsageError(
            f"--set {text[:60]!r} is not a setting", remedy="Write it as --set steps=2000"
        )
    if not _TOML.fullmatch(value):
        return name, value
    try:
        table = reading.parse_toml(f"value = {value}")
    except reading.Malformed as error:
        raise UsageError(
            f"--set {text[:60]!r} is not a setting: {error}",
            remedy="Write numbers, lists and quotes as in TOML.",
        ) from None
    if len(table) > 1:
        raise UsageError(f"--set {text[:60]!r} is more than one setting", remedy="Repeat --set.")
    return name, table["value"]


def _create_folders(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot write {str(folder)!r}: {error.strerror}",
                remedy="Give another --out or --checkpoints.",
            ) from None
