"""Artifacts: the trained steering of an amortised method, as a file with a card that names it."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from htbench.core import content, distributed, locks
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
    with _locked(folder, noun=f"the training of {card.name!r} in {str(folder)[:300]!r}"):
        finished = folder / "finished"
        is_finished = distributed.from_rank_0(lambda: _is_whole(finished, method, model, seed))
        steering = None if is_finished else method.train(model, concepts, seed=seed, folder=folder)
        if distributed.is_rank_0():
            if steering:
                with content.replacing(finished) as fresh:
                    steering.save(fresh)
            _write(path, finished, card, model.name)
    return ArtifactFiles(steering=path, card=path.with_suffix(".toml"))


@contextmanager
def _locked(folder: Path, *, noun: str) -> Iterator[None]:
    """Hold the lock of a training's folder, in the one process that writes it."""
    if distributed.is_rank_0():
        with locks.locked(folder, noun=noun, activity="done", wait=0.0):
            yield
    else:
        yield


def _is_whole(finished: Path, method: Method, model: Model, seed: int) -> bool:
    """True if an earlier training left a file that can be read; a damaged one is told of."""
    if not finished.exists():
        return False
    try:
        method.load(model, finished, seed=seed)
    except Exception as error:  # a method of one's own may raise anything for a damaged file
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        sys.stderr.write(
            f"htbench: the result of an earlier training is damaged, it is trained on: {reason}\n"
        )
        return False
    return True


def _write(path: Path, finished: Path, card: Card, model: str) -> None:
    """Write a finished steering to `path` and its card beside it, both whole."""
    noun = f"{str(path)[:300]!r}"
    with locks.acquire(
        path.with_name(f".{path.name}.lock"), noun=noun, activity="written", wait=60
    ):
        with content.replacing(path) as fresh:
            shutil.copyfile(finished, fresh)
        content.write_whole(path.with_suffix(".toml"), _card_text(card, model, path))


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
    tables: dict[str, Mapping[str, object]] = {
        "settings": card.settings,
        "artifacts": {model: path.name},
    }
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
