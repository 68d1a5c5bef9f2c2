"""Interventions of several edits, against formulas written out in NumPy."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from htbench.core.errors import UsageError
from htbench.core.types import Site
from htbench.steering.combined import Combined, Part, apply_edits, combine, inverse, largest_gain
from htbench.steering.concept import Concept
from htbench.steering.edits import Combine, Edit, Edits
from htbench.steering.intervention import (
    Affine,
    Interpolate,
    Intervention,
    LowRank,
    OnMeans,
    Rewrite,
)

SITE = Site("a")
RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(size=(2, 3, 4))
SCALES, SHIFTS = RANDOM.uniform(0.5, 2, (2, 4)), RANDOM.normal(size=(2, 4))
STRENGTHS = (1.0, -0.5)


def affine(k: int, **limits: float) -> Affine:
    low_and_high = {name: {SITE: torch.full((4,), value)} for name, value in limits.items()}
    scale, shift = (torch.tensor(values[k]).float() for values in (SCALES, SHIFTS))
    return Affine({SITE: scale}, {SITE: shift}, **low_and_high)


def moved(z: np.ndarray, k: int) -> np.ndarray:
    """The activations after map `k` at its strength."""
    return z + STRENGTHS[k] * (SCALES[k] * z + SHIFTS[k] - z)


def moved_on_means(z: np.ndarray, k: int) -> np.ndarray:
    mean = z.mean(1, keepdims=True)
    return z + moved(mean, k) - mean


def parts(changes: Sequence[Intervention]) -> list[Part]:
    pairs = zip(changes, STRENGTHS, strict=True)
    return [Part(intervention=change, strength=strength) for change, strength in pairs]


def act(part: Part) -> np.ndarray:
    z = torch.tensor(Z, dtype=torch.float32)
    return part.intervention.apply(SITE, z, strength=part.strength).numpy()


KINDS = [(affine, moved), (lambda k: OnMeans(affine(k)), moved_on_means)]


@pytest.mark.parametrize(("change", "oracle"), KINDS)
def test_a_sum_adds_the_changes_of_each_alone(change, oracle) -> None:
    made = act(combine(parts([change(0), change(1)]), "sum"))
    expected = Z + (oracle(Z, 0) - Z) + (oracle(Z, 1) - Z)
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("change", "oracle"), KINDS)
def test_a_sequence_changes_what_the_one_before_left(change, oracle) -> None:
    made = act(combine(parts([change(0), change(1)]), "sequence"))
    np.testing.assert_allclose(made, oracle(oracle(Z, 0), 1), rtol=1e-4, atol=1e-5)


def test_affine_maps_together_are_one_affine_map() -> None:
    assert type(combine(parts([affine(0), affine(1)]), "sum").intervention) is Affine
    support = parts([affine(0), affine(1, low=-1.0, high=1.0)])
    assert type(combine(support, "sum").intervention) is Combined


def test_a_part_alone_keeps_its_bits_and_no_part_is_no_change() -> None:
    change = affine(0)
    idle = Part(intervention=affine(1), strength=0.0)
    alone = combine([Part(intervention=change, strength=0.5), idle], "sum")
    assert (alone.intervention, alone.strength) == (change, 0.5)
    assert combine([idle], "sum").strength == 0


def test_half_precision_is_rounded_once() -> None:
    z = torch.tensor(Z).bfloat16()
    changes = [OnMeans(affine(0)), OnMeans(affine(1))]
    made = Combined(parts(changes), "sum").apply(SITE, z, strength=1.0)
    wide = Combined(parts(changes), "sum").apply(SITE, z.float(), strength=1.0)
    assert torch.equal(made, wide.bfloat16())


def removal(change: Intervention, lemon: Concept, **choice: str) -> Part:
    edits = Edits.of(
        [Edit(removed=lemon)], combine="sum", remove_by=choice.get("remove_by", "inverse")
    )
    return apply_edits(edits, {lemon.id: change}, 1.0)


@pytest.mark.parametrize("change", [affine(0), OnMeans(affine(0)), OnMeans(affine(0), sites=[])])
def test_removal_by_the_inverse_undoes_the_maps(change: Intervention, lemon: Concept) -> None:
    part = removal(change, lemon)
    steered = change.apply(SITE, torch.tensor(Z), strength=1.0)
    back = part.intervention.apply(SITE, steered, strength=part.strength)
    np.testing.assert_allclose(back.numpy(), Z, atol=1e-5)


def test_removal_by_a_negative_strength_is_the_same_intervention(lemon: Concept) -> None:
    change = affine(0)
    part = removal(change, lemon, remove_by="negative")
    assert (part.intervention, part.strength) == (change, -1.0)


@pytest.mark.parametrize(
    "change",
    [
        affine(0, low=-1.0, high=1.0),
        LowRank({SITE: torch.ones(4, 1)}, {SITE: torch.ones(1, 4)}, {SITE: torch.ones(4)}),
    ],
)
def test_maps_without_an_exact_inverse_are_refused(change: Intervention) -> None:
    with pytest.raises(UsageError, match="only affine maps without a support") as caught:
        inverse(change)
    assert "--remove-by negative" in caught.value.remedy


@pytest.mark.parametrize("change", [affine(0), OnMeans(affine(0))])
def test_the_largest_gain_of_an_inverse_is_told(change: Intervention) -> None:
    assert largest_gain(change) == pytest.approx(1 / SCALES[0].min())


def test_a_replacement_removes_one_concept_and_adds_the_other(lemon: Concept) -> None:
    cherry = Concept(id="cherry", kind="", text="with cherry", template="{prompt} with cherry")
    edits = Edits(edits=(Edit(added=cherry, removed=lemon),), combine="sequence")
    made = act(apply_edits(edits, {lemon.id: affine(0), cherry.id: affine(1)}, 1.0))
    without = (Z - SHIFTS[0]) / SCALES[0]
    np.testing.assert_allclose(made, SCALES[1] * without + SHIFTS[1], rtol=1e-3, atol=1e-4)


SEPIA = Rewrite(more="{prompt}, sepia style", less="{prompt} without sepia style")
LEMON = Rewrite(more="{prompt} with lemon", less="{prompt} without lemon")


@pytest.mark.parametrize("how", ["sum", "sequence"])
def test_prompting_joins_the_words(how: Combine) -> None:
    both = Combined([Part(intervention=each, strength=1.0) for each in (LEMON, SEPIA)], how)
    assert both.prompts("cat", strength=1.0) == {"cat with lemon, sepia style": 1.0}


def test_prompting_leaves_out_removed_words_or_asks_against_them(lemon: Concept) -> None:
    change = removal(LEMON, lemon).intervention
    assert change.prompts("cat with lemon", strength=1.0) == {"cat": 1.0}
    assert change.prompts("cat", strength=1.0) == {"cat without lemon": 1.0}
    assert change.prompts("cat", strength=-1.0) == {"cat with lemon": 1.0}


def test_interpolated_encodings_add_up_in_a_sum() -> None:
    changes = [Interpolate(template=f"{{prompt}} {word}") for word in ("a", "b")]
    both = Combined([Part(intervention=each, strength=0.25) for each in changes], "sum")
    assert both.prompts("cat", strength=1.0) == {"cat": 0.5, "cat a": 0.25, "cat b": 0.25}
    in_turn = Combined(both.parts, "sequence")
    assert in_turn.prompts("cat", strength=1.0) == {
        "cat": 0.75**2,
        "cat a": 0.25 * 0.75,
        "cat b": 0.75 * 0.25,
        "cat a b": 0.25**2,
    }


def test_removal_from_interpolated_encodings_goes_to_the_prompt_without_the_words(
    lemon: Concept,
) -> None:
    change = removal(Interpolate(template="{prompt} with lemon"), lemon).intervention
    assert change.prompts("cat with lemon", strength=0.25) == {"cat with lemon": 0.75, "cat": 0.25}


def test_a_combination_is_not_kept_in_a_file() -> None:
    with pytest.raises(UsageError, match="not kept in a file"):
        Combined(parts([affine(0), affine(1)]), "sum").state()
