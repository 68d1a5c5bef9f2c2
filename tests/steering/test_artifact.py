"""Artifacts of trained methods, and the cards that name them."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from kit.toy import Toy
from safetensors.torch import load_file

from htbench.core import content, locks
from htbench.core.errors import UsageError
from htbench.steering import artifact, baseline
from htbench.steering.artifact import ArtifactFiles
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.fitting.trainer import Trainer
from htbench.steering.intervention import Intervention
from htbench.steering.method import load_or_train
from htbench.steering.model import Model, Tap
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Knows how often it was taught."""

    lessons: int
    training: Training = field(default_factory=Training)

    def towards(self, concept: Concept) -> Intervention:
        return Intervention()

    def save(self, path: Path) -> None:
        path.write_text(str(self.lessons))


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """Takes a note of each lesson, and falls asleep in the first if it is `tired`."""

    pace: float = 1e-5
    words: tuple[str, ...] = ()
    tired: bool = False

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path
    ) -> Counted:
        notes = folder / f"notes-{content.digest([repr(self), seed])}"
        taken = notes.read_text() if notes.exists() else ""
        notes.write_text(taken + "|")
        if self.tired and not taken:
            raise KeyboardInterrupt
        return Counted(lessons=len(taken) + 1)

    def load(self, model: Model, path: Path, *, seed: int) -> Counted:
        return Counted(lessons=int(path.read_text()))


def card(**settings: object) -> Card:
    return Card(
        name="pupil",
        method="tests.steering.test_artifact:Pupil",
        summary='Says "hello"\nin two lines.',
        settings=settings,
        bibtex="@misc{x}",
        reads=("text", "image"),
    )


def train(folder: Path, lemon: Concept, *, seed: int = 0, **settings: object) -> ArtifactFiles:
    return artifact.train(
        card(**settings),
        Toy(),
        [lemon],
        seed=seed,
        checkpoints=folder / "checkpoints",
        path=folder / "pupil-toy.safetensors",
    )


def lessons(made: ArtifactFiles, folder: Path) -> int:
    steering = load_or_train(
        baseline.load_card(str(made.card)), Toy(), [], folder=folder, seed=0
    ).steering
    assert isinstance(steering, Counted)
    return steering.lessons


def test_what_was_trained_is_used_by_its_card(tmp_path: Path, lemon: Concept) -> None:
    assert lessons(train(tmp_path, lemon), tmp_path) == 1


def test_the_card_is_the_old_one_with_another_name_and_the_file(
    tmp_path: Path, lemon: Concept
) -> None:
    settings = {"pace": 1e-7, "words": ["é", 'a "quote"']}
    written = baseline.load_card(str(train(tmp_path, lemon, **settings).card))
    wanted = card(**settings).model_copy(
        update={"name": "pupil-toy", "artifacts": {"toy": tmp_path / "pupil-toy.safetensors"}}
    )
    assert written.model_dump() == wanted.model_dump()


def test_the_card_moves_with_its_file(tmp_path: Path, lemon: Concept) -> None:
    assert tomllib.loads(train(tmp_path, lemon).card.read_text())["artifacts"] == {
        "toy": "pupil-toy.safetensors"
    }


def test_the_same_training_is_done_once(tmp_path: Path, lemon: Concept) -> None:
    train(tmp_path, lemon)
    assert lessons(train(tmp_path, lemon), tmp_path) == 1


def test_an_interrupted_training_goes_on_where_it_stopped(tmp_path: Path, lemon: Concept) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lemon, tired=True)
    assert lessons(train(tmp_path, lemon, tired=True), tmp_path) == 2


class Mortal(Toy):
    """Breaks down after so many runs."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        self.lives -= 1
        if not self.lives:
            raise KeyboardInterrupt
        super().trace(prompts, seeds, tap)


def test_hypertransport_interrupted_ends_with_the_same_weights_as_undisturbed(
    tmp_path: Path, lemon: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "run", partialmethod(Trainer.run, save_every=0))
    small = baseline.load_card("hypertransport").with_settings(
        {"steps": 30, "targets": 2, "images": 2, "concepts": 2, "width": 8, "rank": 2}
    )
    concepts = [
        lemon,
        replace(lemon, id="companion/fig", text="with fig", template="{prompt} with fig"),
    ]

    def end(model: Toy, folder: Path) -> dict[str, torch.Tensor]:
        made = artifact.train(
            small,
            model,
            concepts,
            seed=0,
            checkpoints=folder,
            path=tmp_path / "steering.safetensors",
        )
        return load_file(made.steering)

    with pytest.raises(KeyboardInterrupt):
        end(Mortal(25), tmp_path / "disturbed")
    assert list((tmp_path / "disturbed").rglob("checkpoint.pt"))
    disturbed, calm = end(Toy(), tmp_path / "disturbed"), end(Toy(), tmp_path / "calm")
    assert disturbed.keys() == calm.keys()
    assert all(torch.equal(disturbed[name], calm[name]) for name in calm)


@pytest.mark.parametrize("change", [{"seed": 1}, {"pace": 0.5}])
def test_another_training_begins_anew(
    tmp_path: Path, lemon: Concept, change: dict[str, int]
) -> None:
    train(tmp_path, lemon)
    train(tmp_path, lemon, **change)
    assert [notes.read_text() for notes in (tmp_path / "checkpoints").rglob("notes-*")] == [
        "|",
        "|",
    ]


def test_a_method_that_fits_each_concept_has_nothing_to_train() -> None:
    with pytest.raises(
        UsageError, match="mean-shift has nothing to train: it fits each concept by itself"
    ):
        artifact.trainable_method(baseline.load_card("mean-shift"))


def test_code_beside_the_old_card_is_found_from_the_new_one(tmp_path: Path, lemon: Concept) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "own_pupil.py").write_text(Path(__file__).read_text())
    (tmp_path / "old" / "own.toml").write_text(
        'name = "own"\nmethod = "own_pupil:Pupil"\nsummary = "For tests."\n'
    )
    old = baseline.load_card(str(tmp_path / "old" / "own.toml"))
    made = artifact.train(
        old,
        Toy(),
        [lemon],
        seed=0,
        checkpoints=tmp_path / "checkpoints",
        path=tmp_path / "own-toy.safetensors",
    )
    assert baseline.load_method(baseline.load_card(str(made.card))) == baseline.load_method(old)


def test_a_damaged_result_is_told_of_and_trained_on(
    tmp_path: Path, lemon: Concept, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, lemon)
    (finished,) = (tmp_path / "checkpoints").glob("*/finished")
    finished.write_text("")
    assert lessons(train(tmp_path, lemon), tmp_path) == 2
    assert "the result of an earlier training is damaged" in capsys.readouterr().err


def test_a_second_training_of_the_same_is_told(tmp_path: Path, lemon: Concept) -> None:
    train(tmp_path, lemon)
    (finished,) = (tmp_path / "checkpoints").glob("*/finished")
    with (
        locks.locked(finished.parent, noun="it", activity="done"),
        pytest.raises(UsageError, match="is being done by another process"),
    ):
        train(tmp_path, lemon)


def test_a_card_by_a_relative_path_names_its_file_from_any_folder(
    tmp_path: Path, lemon: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, lemon)
    monkeypatch.chdir(tmp_path)
    card_ = baseline.load_card("pupil-toy.toml")
    monkeypatch.chdir("/")
    assert card_.artifact("toy") == tmp_path / "pupil-toy.safetensors"


def test_a_file_without_digests_that_a_card_names_is_not_verified_by_the_concepts_at_hand(
    tmp_path: Path, lemon: Concept
) -> None:
    made = train(tmp_path, lemon)
    shipped = load_or_train(
        baseline.load_card(str(made.card)), Toy(), [lemon], folder=tmp_path, seed=0
    )
    trained_here = load_or_train(card(), Toy(), [lemon], folder=tmp_path, seed=0)
    assert (shipped.training.concepts_digest, bool(trained_here.training.concepts_digest)) == (
        "",
        True,
    )
