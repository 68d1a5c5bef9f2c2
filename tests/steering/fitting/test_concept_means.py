"""Changes of mean activations, and the shifts that make them, on the toy model."""

from pathlib import Path

import pytest
import torch
from kit.toy import MAPS, TOKENS, Toy

from htbench.steering.concept import Concept, load
from htbench.steering.fitting import concept_means
from htbench.steering.fitting.concept_means import (
    make_changes,
    measure_changes,
    measure_neutral,
)
from htbench.steering.hooks import activations, steer

PROMPTS, SEEDS = ("a cat", "two dogs", "one bird"), (1, 2, 3)
CONCEPTS = load("emoji").splits["train"][:3]


def test_a_change_is_a_difference_of_means_with_the_same_seeds(lemon: Concept) -> None:
    model = Toy(steps=2)
    neutral = measure_neutral(model, PROMPTS, SEEDS)
    measured = measure_changes(model, [*CONCEPTS, lemon], neutral, folder=None).changes
    plain = activations(model, PROMPTS, SEEDS)
    asked = activations(model, [f"{prompt} with lemon" for prompt in PROMPTS], SEEDS)
    for site in model.sites:
        torch.testing.assert_close(measured[site][3], asked[site].mean(0) - plain[site].mean(0))


def test_the_changes_are_made_at_every_site(model: Toy) -> None:
    neutral = measure_neutral(model, PROMPTS, SEEDS)
    changes = {site: torch.randn(info.channels) for site, info in model.sites.items()}
    made = make_changes(model, neutral, changes)
    plain = activations(model, PROMPTS, SEEDS)
    steered = activations(model, PROMPTS, SEEDS, change=steer([made] * 3, [1.0] * 3))
    for site, change in changes.items():
        torch.testing.assert_close(steered[site].mean(0) - plain[site].mean(0), change)


def test_a_site_that_is_left_out_is_not_shifted(model: Toy) -> None:
    neutral = measure_neutral(model, PROMPTS, SEEDS)
    made = make_changes(model, neutral, {MAPS: torch.ones(model.sites[MAPS].channels)})
    assert made.sites == {MAPS}
    torch.testing.assert_close(made.shift[MAPS], torch.ones(model.sites[MAPS].channels))


def test_several_steps_share_the_mean_of_what_each_lacked() -> None:
    model = Toy(steps=2)
    neutral = measure_neutral(model, PROMPTS, SEEDS)
    change = torch.linspace(-1, 1, model.sites[TOKENS].channels)
    made = make_changes(model, neutral, {TOKENS: change})
    first = Toy(steps=1)
    at_first = make_changes(first, measure_neutral(first, PROMPTS, SEEDS), {TOKENS: change})
    arriving = activations(model, PROMPTS, SEEDS, change=steer([at_first] * 3, [1.0] * 3))
    second = arriving[TOKENS].view(2, 3, -1)[1].mean(0) - at_first.shift[TOKENS]
    lacked = neutral.means[TOKENS][1] + change - second
    torch.testing.assert_close(made.shift[TOKENS], (change + lacked) / 2)


def test_means_are_measured_once(
    model: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neutral = measure_neutral(model, PROMPTS, SEEDS)
    measure_changes(model, CONCEPTS[:2], neutral, folder=tmp_path / "means")
    first = measure_changes(model, CONCEPTS, neutral, folder=tmp_path / "means")
    monkeypatch.setattr(concept_means, "_means_by_step", None)
    second = measure_changes(model, CONCEPTS, neutral, folder=tmp_path / "means")
    assert len([*(tmp_path / "means").iterdir()]) == 3
    assert first.seconds == second.seconds > 0
    assert all(torch.equal(first.changes[site], second.changes[site]) for site in model.sites)


def test_other_seeds_are_measured_anew(model: Toy, tmp_path: Path) -> None:
    for seeds in (SEEDS, (4, 5, 6)):
        neutral = measure_neutral(model, PROMPTS, seeds)
        measure_changes(model, CONCEPTS, neutral, folder=tmp_path)
    assert len([*tmp_path.iterdir()]) == 6
