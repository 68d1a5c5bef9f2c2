"""Control methods that predict from maps of training concepts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.toy import TOKENS, Toy

from htbench.core.errors import Refused, UsageError
from htbench.methods.mean_of_maps import MeanOfMaps
from htbench.methods.nearest_concept import NearestConcept
from htbench.methods.regression import Regression
from htbench.methods.ridge import RidgeRegression
from htbench.steering import intervention, steering_file
from htbench.steering.baseline import load_card
from htbench.steering.concept import Concept, load
from htbench.steering.fitting import map_bank
from htbench.steering.fitting.map_bank import load_or_fit
from htbench.steering.intervention import Affine
from htbench.steering.method import load_or_train


@pytest.fixture
def several() -> list[Concept]:
    return [*load("emoji").splits["train"][:4]]


def _maps(change: object) -> torch.Tensor:
    assert isinstance(change, Affine)
    return torch.cat([change.scale[TOKENS], change.shift[TOKENS]])


def test_a_training_concept_is_nearest_to_itself(model: Toy, several: list[Concept]) -> None:
    maps = load_or_fit("mean-shift", model, several, seed=0, folder=None)
    change = NearestConcept(base="mean-shift").train(model, several, seed=0).towards(several[2])
    torch.testing.assert_close(
        _maps(change), torch.cat([maps.scale[TOKENS][2], maps.shift[TOKENS][2]])
    )


def test_the_mean_of_maps_is_the_same_for_every_concept(model: Toy, several: list[Concept]) -> None:
    steering = MeanOfMaps(base="mean-shift").train(model, several, seed=0)
    maps = load_or_fit("mean-shift", model, several, seed=0, folder=None)
    torch.testing.assert_close(
        _maps(steering.towards(several[0])),
        torch.cat([maps.scale[TOKENS].mean(0), maps.shift[TOKENS].mean(0)]),
    )
    assert steering.training.encoders == ()


def test_ridge_is_least_squares_with_an_intercept_and_a_penalty() -> None:
    rng = np.random.default_rng(0)
    known, wanted, maps = rng.normal(size=(6, 3)), rng.normal(size=3), rng.normal(size=(6, 2))
    centred = known - known.mean(0)
    penalty = 0.5 * (centred**2).sum(1).mean()
    slopes = np.linalg.solve(
        centred.T @ centred + penalty * np.eye(3), centred.T @ (maps - maps.mean(0))
    )
    weights = RidgeRegression(ridge=0.5).weights(torch.tensor(known), torch.tensor(wanted))
    np.testing.assert_allclose(
        weights.numpy() @ maps, maps.mean(0) + (wanted - known.mean(0)) @ slopes, rtol=1e-5
    )


def test_a_bank_is_fitted_once(
    model: Toy, several: list[Concept], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RidgeRegression(base="mean-shift").train(
        model, several, seed=0, folder=tmp_path / "own"
    )
    monkeypatch.setattr(map_bank, "save", None)
    second = MeanOfMaps(base="mean-shift").train(
        model, several, seed=0, folder=tmp_path / "another"
    )
    assert first.bank.seconds == second.bank.seconds > 0
    assert torch.equal(first.bank.shift[TOKENS], second.bank.shift[TOKENS])


def test_an_interrupted_bank_goes_on(model: Toy, several: list[Concept], tmp_path: Path) -> None:
    load_or_fit("mean-shift", model, several[:2], seed=0, folder=tmp_path / "own")
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("bank/*.safetensors")}
    load_or_fit("mean-shift", model, several, seed=0, folder=tmp_path / "own")
    assert len(kept) == 2
    assert len([*tmp_path.glob("bank/*.safetensors")]) == 4
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


def test_what_fitting_the_bank_took_is_training(model: Toy, several: list[Concept]) -> None:
    steering = NearestConcept(base="mean-shift").train(model, several, seed=0)
    assert steering.training.seconds >= steering.bank.seconds > 0
    assert steering.training.concepts == tuple(concept.id for concept in several)


def test_one_bank_serves_every_control(model: Toy, several: list[Concept], tmp_path: Path) -> None:
    NearestConcept(base="mean-shift").train(model, several, seed=0).save(tmp_path / "bank")
    direct = RidgeRegression(base="mean-shift").train(model, several, seed=0).towards(several[1])
    loaded = (
        RidgeRegression(base="mean-shift")
        .load(model, tmp_path / "bank", seed=0)
        .towards(several[1])
    )
    torch.testing.assert_close(_maps(loaded), _maps(direct))


def test_a_bank_with_tensors_per_site_is_still_read(
    model: Toy, several: list[Concept], tmp_path: Path
) -> None:
    trained = NearestConcept(base="mean-shift").train(model, several, seed=0)
    trained.save(tmp_path / "bank")
    record = steering_file.read(tmp_path / "bank", map_bank.MapBankRecord).record
    parts = {"scale": trained.bank.scale, "shift": trained.bank.shift}
    tensors = {
        f"{part}/{site}": maps for part, by_site in parts.items() for site, maps in by_site.items()
    }
    steering_file.write(tmp_path / "old", {**tensors, "known": trained.bank_embeddings}, record)
    loaded = NearestConcept(base="mean-shift").load(model, tmp_path / "old", seed=0)
    assert torch.equal(loaded.bank.maps, trained.bank.maps)


def test_a_bank_of_another_model_is_refused(
    model: Toy, several: list[Concept], tmp_path: Path
) -> None:
    NearestConcept(base="mean-shift").train(model, several, seed=0).save(tmp_path / "bank")
    model.revision = type(model.revision)("0" * 16)
    with pytest.raises(Refused, match="another model"):
        NearestConcept(base="mean-shift").load(model, tmp_path / "bank", seed=0)


def test_a_bank_is_made_of_affine_maps(model: Toy, several: list[Concept]) -> None:
    with pytest.raises(UsageError, match="'bures-ot' does not learn affine maps"):
        load_or_fit("bures-ot", model, several, seed=0, folder=None)


def test_regression_comes_near_the_maps_it_is_fitted_to(model: Toy, several: list[Concept]) -> None:
    learnt = Regression(
        base="mean-shift",
        steps=60,
        concepts=4,
        rate=1e-2,
        width=32,
        rank=4,
        noise=0.0,
        learn_from="text",
    ).train(model, several, seed=0)
    maps = load_or_fit("mean-shift", model, several, seed=0, folder=None)
    wanted = torch.stack([maps.shift[TOKENS][k] for k in range(4)])
    got = torch.stack([learnt.towards(concept).shift[TOKENS] for concept in several])
    assert (got - wanted).square().mean() < 0.5 * wanted.square().mean()


def test_maps_in_a_bank_say_where_they_come_from(
    model: Toy, several: list[Concept], tmp_path: Path
) -> None:
    load_or_fit("mean-shift", model, several[:1], seed=0, folder=tmp_path / "own")
    (path,) = tmp_path.glob("bank/*.safetensors")
    origin = intervention.read_origin(path)
    assert origin is not None
    assert (origin.model, origin.method, origin.concept) == ("toy", "mean-shift", several[0].id)


def test_what_is_learnt_twice_makes_the_same_images_however_long_it_took(
    model: Toy, several: list[Concept], tmp_path: Path
) -> None:
    made = [
        load_or_train(
            load_card("mean-of-maps").with_settings({"base": "mean-shift"}),
            model,
            several,
            folder=tmp_path / name,
            seed=0,
        )
        for name in "ab"
    ]
    assert made[0].digest == made[1].digest
    assert made[0].steering.training.seconds != made[1].steering.training.seconds
