"""Pairs of concepts by the sum or the sequence of what a method does for each."""

import pytest
import torch
from kit.toy import TOKENS, Toy

from htbench.core.errors import UnknownName, UsageError
from htbench.steering import baseline
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.intervention import Affine
from htbench.steering.method import Method
from htbench.steering.pair import pair_up

SOURCES = ("a panda", "a house", "two boats", "a tree")
KITE, FOG = (
    Concept(id=f"{kind}/{text}", kind=kind, text=text, template=template, sources=SOURCES)
    for kind, text, template in (
        ("thing", "with a kite", "{prompt} with a kite"),
        ("weather", "in fog", "{prompt}, in fog"),
    )
)
SET = ConceptSet(
    name="mine",
    version="1",
    licence="",
    about="",
    splits={"train": (), "dev": (), "test": (KITE, FOG)},
    prompts=("a cat",),
)
(BOTH,) = pair_up([KITE, FOG], SET)


def fitted(name: str, concept: Concept) -> Affine:
    method: Method = baseline.load_method(name)
    change = method.train(Toy(), (), seed=0).towards(concept)
    assert isinstance(change, Affine)
    return change


def activations() -> torch.Tensor:
    width = fitted("mean-shift", FOG).shift[TOKENS].numel()
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_sum_adds_the_changes_of_both(strength: float) -> None:
    z, base = activations(), "gaussian-ot"
    changes = (fitted(base, each).apply(TOKENS, z, strength=strength) - z for each in (KITE, FOG))
    together = fitted(f"{base}@sum", BOTH).apply(TOKENS, z, strength=strength)
    torch.testing.assert_close(together, z + sum(changes))


def test_a_sequence_changes_what_the_first_map_has_left() -> None:
    z, base = activations(), "gaussian-ot"
    after = fitted(base, KITE).apply(TOKENS, z, strength=1.0)
    expected = fitted(base, FOG).apply(TOKENS, after, strength=1.0)
    together = fitted(f"{base}@sequence", BOTH).apply(TOKENS, z, strength=1.0)
    torch.testing.assert_close(together, expected)
    assert not torch.allclose(together, fitted(f"{base}@sum", BOTH).apply(TOKENS, z, strength=1.0))


def test_one_concept_has_the_map_of_the_method_itself() -> None:
    z = activations()
    one, other = (fitted(name, FOG) for name in ("mean-shift", "mean-shift@sum"))
    assert torch.equal(one.apply(TOKENS, z, strength=1.0), other.apply(TOKENS, z, strength=1.0))


def test_maps_that_have_a_support_make_no_map_together() -> None:
    with pytest.raises(UsageError, match="without a support"):
        fitted("linear-act-support@sum", BOTH)


@pytest.mark.parametrize("name", ["prompt@sum", "none@sequence", "mean-shift@product"])
def test_a_way_that_a_method_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match="no method"):
        baseline.load_card(name)


def test_the_two_ways_are_different_cards() -> None:
    digests = {baseline.load_card(f"mean-shift{way}").digest for way in ("", "@sum", "@sequence")}
    assert len(digests) == 3
