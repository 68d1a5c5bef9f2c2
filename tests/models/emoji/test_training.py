"""The recipes of the embedded models on a few small batches: equal weights, also after a stop."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from open_clip import CLIP
from torch import Tensor

from htbench.core.errors import Missing
from htbench.models.emoji import clip, train
from htbench.models.emoji.clip_training import ClipTask, unfused_attention, untrained_clip
from htbench.models.emoji.generator import Generator
from htbench.models.emoji.generator_training import (
    GeneratorTask,
    perceptual_distance,
    untrained_generator,
)
from htbench.models.emoji.icons import WEIGHTS_FOLDER
from htbench.models.emoji.initial_words import initial_word_vectors
from htbench.models.emoji.pretrained import recipe, restore
from htbench.models.emoji.sampling import sample_batch
from htbench.models.emoji.train import train_generator
from htbench.models.emoji.vocabulary import token_ids
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.fitting.trainer import Recipe, Trainer, TrainingTask

CPU = torch.device("cpu")
RECIPE = Recipe(steps=5, batch=6, seed=1, warmup=2)


def eye() -> CLIP:
    network = clip.build("clip-a")
    restore(network, "clip-a")
    network.visual.output_tokens = True
    return network


TASKS: dict[str, Callable[[], TrainingTask]] = {
    "generator": lambda: GeneratorTask(untrained_generator(), RECIPE, CPU),
    "generator-finish": lambda: GeneratorTask(untrained_generator(), RECIPE, CPU, critic=eye()),
    "clip-a": lambda: ClipTask(untrained_clip("clip-a"), RECIPE, CPU, compiled=False),
    "clip-b": lambda: ClipTask(untrained_clip("clip-b"), RECIPE, CPU, compiled=False),
}


def trained(stage: str, folder: Path | None) -> list[Tensor]:
    torch.manual_seed(RECIPE.seed)
    trainer = Trainer(TASKS[stage](), RECIPE, folder)
    trainer.run(save_every=0, log_every=5, log=lambda _: None)
    return trainer.average


class Stopped(Exception):
    pass


def stopped_at_step_3(stage: str, folder: Path) -> None:
    def stop(line: str) -> None:
        raise Stopped

    torch.manual_seed(RECIPE.seed)
    with pytest.raises(Stopped):
        Trainer(TASKS[stage](), RECIPE, folder).run(save_every=0, log_every=3, log=stop)


@pytest.mark.parametrize("stage", TASKS)
def test_a_recipe_twice_gives_the_same_weights(stage: str) -> None:
    assert all(
        torch.equal(first, second)
        for first, second in zip(trained(stage, None), trained(stage, None), strict=True)
    )


@pytest.mark.parametrize("stage", TASKS)
def test_a_recipe_stopped_in_the_middle_gives_the_same_weights(stage: str, tmp_path: Path) -> None:
    stopped_at_step_3(stage, tmp_path)
    assert all(
        torch.equal(first, second)
        for first, second in zip(trained(stage, tmp_path), trained(stage, None), strict=True)
    )


def test_a_generator_says_both_how_it_learnt_to_draw_and_how_it_was_finished(
    tmp_path: Path,
) -> None:
    for name in ("clip-a.safetensors", "vocabulary.txt"):
        (tmp_path / name).write_bytes((WEIGHTS_FOLDER / name).read_bytes())
    train_generator(
        RECIPE, replace(RECIPE, steps=3), CPU, tmp_path / "checkpoints", tmp_path, compiled=False
    )
    restore(Generator(), "generator", tmp_path)
    made = recipe("generator", tmp_path)
    assert made["steps"] == 3
    assert made["after"]["steps"] == RECIPE.steps


def test_stages_build_on_each_other_in_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "RECIPES", dict.fromkeys(train.RECIPES, RECIPE))
    monkeypatch.setattr(train, "FINISH_RECIPE", RECIPE)
    for stage in ("clip-a", "generator"):
        monkeypatch.setattr(
            "sys.argv",
            [
                "train",
                "--stage",
                stage,
                "--steps",
                "1",
                "--out",
                str(tmp_path / "own"),
                "--checkpoints",
                str(tmp_path),
            ],
        )
        train.main()
    restore(Generator(), "generator", tmp_path / "own")


def test_a_stage_that_lacks_another_names_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train", "--stage", "generator", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        train.main()
    assert stop.value.code == Missing.exit_code
    assert capsys.readouterr().err.splitlines()[1:] == [
        "Make them: python -m htbench.models.emoji.train --stage clip-a"
    ]


def test_hypertransport_can_be_trained_for_fewer_steps_into_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, Path]] = []

    class Told:
        def __init__(self, card: Card) -> None:
            self.steps = card.settings["steps"]

        def train(self, *_: object, **__: object) -> "Told":
            return self

        def save(self, path: Path) -> None:
            asked.append((self.steps, path))

    monkeypatch.setattr(baseline, "load_method", Told)
    monkeypatch.setattr(
        "sys.argv", ["train", "--stage", "hypertransport", "--steps", "7", "--out", str(tmp_path)]
    )
    train.main()
    assert asked == [(7, tmp_path / "hypertransport-emoji.safetensors")]


def test_true_images_are_not_strange_and_those_in_another_order_are() -> None:
    true = sample_batch(seed=1, step=0, size=4).pixels
    assert perceptual_distance(eye(), true, true).item() == pytest.approx(0, abs=1e-5)
    assert 0.5 < perceptual_distance(eye(), true.roll(1, 0), true).item() <= 4


def test_every_word_of_a_noun_starts_from_its_drawings() -> None:
    words, vectors = initial_word_vectors(32, parts=2)
    assert len(words) == len(vectors) == len(set(words.tolist()))
    assert {"panda", "alarm", "clock"} <= {
        word for word, number in token_ids().items() if number in words.tolist()
    }
    assert vectors.shape[1] == 4 * 32
    assert vectors.square().mean().sqrt().item() == pytest.approx(1, rel=1e-3)


def test_unfused_attention_gives_the_same_and_is_undone_after_an_exception() -> None:
    fused = torch.nn.functional.scaled_dot_product_attention
    q, k, v = torch.randn(3, 2, 4, 5, 8, generator=torch.Generator().manual_seed(0))
    with unfused_attention():
        unfused = torch.nn.functional.scaled_dot_product_attention
    torch.testing.assert_close(unfused(q, k, v), fused(q, k, v))
    assert unfused is not fused
    with pytest.raises(KeyError), unfused_attention():
        raise KeyError
    assert torch.nn.functional.scaled_dot_product_attention is fused
