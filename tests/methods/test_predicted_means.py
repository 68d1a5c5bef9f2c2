"""Means that are predicted from a concept's embedding, on the toy model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kit.toy import TOKENS, Toy
from scipy.spatial.distance import cdist

from htbench.core.errors import Refused, UsageError
from htbench.methods.predicted_means import MeansPredictor, PredictedMeans
from htbench.steering import baseline
from htbench.steering.concept import Concept, load
from htbench.steering.hooks import activations, steer
from htbench.steering.method import fitting_images

TRAIN, WANTED = load("emoji").splits["train"][:6], load("emoji").splits["dev"][0]
WORDLESS = replace(WANTED, text="", template="", sources=())


@pytest.fixture
def trained(model: Toy) -> MeansPredictor:
    return PredictedMeans(samples=4).train(model, TRAIN, seed=0)


def test_the_prediction_solves_the_penalised_system_of_the_training_concepts(
    model: Toy, trained: MeansPredictor
) -> None:
    prompts, seeds = fitting_images(TRAIN[0], 4, seed=0)[0]
    asked = [
        activations(model, [concept.target(prompt) for prompt in prompts], seeds)[TOKENS].mean(0)
        for concept in TRAIN
    ]
    changes = torch.stack(asked) - activations(model, prompts, seeds)[TOKENS].mean(0)
    known = trained.encoder.texts([concept.text for concept in TRAIN]).double()
    new = trained.encoder.texts([WANTED.text]).double()
    width, penalty = trained.regression.width, trained.regression.penalty
    system = np.ones((7, 7))
    system[:6, :6] = np.exp(-cdist(known, known, "sqeuclidean") / (2 * width**2))
    system[:6, :6] += penalty * np.eye(6)
    system[6, 6] = 0
    right = np.concatenate([changes.double(), np.zeros((1, changes.shape[1]))])
    solution = np.linalg.solve(system, right)
    predicted = np.exp(-cdist(new, known, "sqeuclidean") / (2 * width**2)) @ solution[:6]
    np.testing.assert_allclose(
        trained.predict(WANTED)[TOKENS], predicted[0] + solution[6], rtol=1e-4, atol=1e-5
    )


def test_predicted_changes_are_reached_on_the_neutral_images(
    model: Toy, trained: MeansPredictor
) -> None:
    prompts, seeds = fitting_images(TRAIN[0], 4, seed=0)[0]
    tap = steer([trained.towards(WANTED)] * 4, [1.0] * 4)
    steered, plain = (
        activations(model, prompts, seeds, change=tap),
        activations(model, prompts, seeds),
    )
    for site, change in trained.predict(WANTED).items():
        torch.testing.assert_close(steered[site].mean(0) - plain[site].mean(0), change)


def test_reference_images_are_read_whatever_the_words(model: Toy) -> None:
    trained = PredictedMeans(samples=4, condition="image").train(model, TRAIN, seed=0)
    with_words, without = trained.predict(WANTED), trained.predict(WORDLESS)
    torch.testing.assert_close(with_words[TOKENS], without[TOKENS])


def test_training_concepts_without_references_are_embedded_from_images_of_the_model(
    model: Toy,
) -> None:
    bare = [replace(concept, references=()) for concept in TRAIN]
    method = PredictedMeans(samples=4, condition="image")
    inputs = method.train(model, bare, seed=0).regression.inputs
    assert inputs.shape[0] == len(bare)
    torch.testing.assert_close(inputs.norm(dim=1), torch.ones(len(bare), dtype=inputs.dtype))


def test_what_the_training_cost_and_read_is_recorded(trained: MeansPredictor) -> None:
    assert trained.training.concepts == tuple(concept.id for concept in TRAIN)
    assert trained.training.encoders == ("emoji-clip-a",)
    assert trained.training.seconds > 0


def test_text_and_image_cards_share_the_means(model: Toy, tmp_path: Path) -> None:
    for number, condition in enumerate(("text", "image")):
        method = PredictedMeans(samples=4, condition=condition)
        method.train(model, TRAIN, seed=0, folder=tmp_path / str(number))
    assert len([*(tmp_path / "means").iterdir()]) == len(TRAIN)


def test_a_saved_predictor_predicts_the_same(
    model: Toy, trained: MeansPredictor, tmp_path: Path
) -> None:
    trained.save(tmp_path / "file")
    loaded = PredictedMeans(samples=4).load(model, tmp_path / "file", seed=0)
    assert loaded.training == trained.training
    assert torch.equal(loaded.towards(WANTED).shift[TOKENS], trained.towards(WANTED).shift[TOKENS])


@pytest.mark.parametrize(
    ("method", "revision", "what"),
    [
        (PredictedMeans(condition="image"), None, "another modality: text, this is image"),
        (PredictedMeans(), "0" * 16, "another model"),
    ],
)
def test_a_predictor_of_something_else_is_refused(
    method: PredictedMeans,
    revision: str | None,
    what: str,
    model: Toy,
    trained: MeansPredictor,
    tmp_path: Path,
) -> None:
    trained.save(tmp_path / "file")
    model.revision = revision or model.revision
    with pytest.raises(Refused, match=what):
        method.load(model, tmp_path / "file", seed=0)


def test_a_damaged_file_is_refused_in_one_line(
    model: Toy, trained: MeansPredictor, tmp_path: Path
) -> None:
    trained.save(tmp_path / "file")
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:500])
    with pytest.raises(Refused, match="cannot be read") as caught:
        PredictedMeans().load(model, tmp_path / "file", seed=0)
    assert "\n" not in str(caught.value)


def test_a_concept_without_words_is_refused_where_words_are_read(trained: MeansPredictor) -> None:
    with pytest.raises(UsageError, match="has no words"):
        trained.towards(WORDLESS)


def test_one_concept_is_too_few(model: Toy, lemon: Concept) -> None:
    with pytest.raises(UsageError, match="many concepts, not 1"):
        PredictedMeans().train(model, [lemon], seed=0)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [("samples", 0, "samples.*not '0'"), ("kernel", "cubic", "kernel.*not 'cubic'")],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: str, value: object, says: str) -> None:
    card = baseline.load_card("predicted-means").with_settings({setting: value})
    with pytest.raises(UsageError, match=says):
        baseline.load_method(card)
