"""Artifacts: the trained steering of an amortised method, as a file with a card that names it."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core import content, distributed
from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.method import FitsEachConcept, Method
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class ArtifactFiles:
    """The paths of an artifact's two files."""

    steering: Path
    card: Path


def trainable_method(card: Card) -> Method:
    """The method of `card`, which must have a training that all concepts share.

    Raises:
        UsageError: if it fits each concept by itself.
    """
    method: Method = baseline.load_method(card)
    if isinstance(method, FitsEachConcept):
        raise UsageError(
            f"{card.name} has nothing to train: it fits each concept by itself",
            remedy=f"Use it as it is: htbench run --method {card.name}",
        )
    return method


def train(
    card: Card,
    model: Model,
    concepts: Sequence[Concept],
    *,
    seed: int,
    checkpoints: Path,
    path: Path,
) -> ArtifactFiles:
    """Train the method of `card` on `concepts`; write the steering to `path`, and a card beside it.

    An interrupted training resumes from its folder in `checkpoints`, which is named by a digest of
    everything that determines the result. Of several distributed processes only rank 0 writes.
    """
    method = trainable_method(card)
    folder = checkpoints / content.digest(
        [card.digest, model.revision, [concept.digest for concept in concepts], seed]
    )
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / "finished"
    beside = path.with_suffix(".toml")
    steering = (
        None
        if distributed.from_rank_0(finished.exists)
        else method.train(model, concepts, seed=seed, folder=folder)
    )
    if distributed.is_rank_0():
        if steering:
            with content.replacing(finished) as fresh:
                steering.save(fresh)
        shutil.copyfile(finished, path)
        beside.write_text(_card_text(card, model.name, path), encoding="utf-8")
    return ArtifactFiles(steering=path, card=beside)


def _card_text(card: Card, model: str, path: Path) -> str:
    code = (
        f"{card.code_file.resolve()}:{card.method.rpartition(':')[2]}"
        if card.code_file
        else card.method
    )
    renamed = card.model_copy(update={"name": path.stem, "method": code})
    fields = renamed.model_dump(
        mode="json", exclude={"settings", "artifacts"}, exclude_defaults=True
    )
    tables = {"settings": card.settings, "artifacts": {model: path.name}}
    lines = [f"{key} = {_to_toml(value)}" for key, value in fields.items()]
    for table, values in tables.items():
        lines += [
            "",
            f"[{table}]",
            *(f"{json.dumps(key)} = {_to_toml(value)}" for key, value in values.items()),
        ]
    return "\n".join(lines) + "\n"


def _to_toml(value: object) -> str:
    """A value of a card as TOML, whose strings, numbers and lists are those of JSON."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(key)} = {_to_toml(part)}" for key, part in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_to_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
