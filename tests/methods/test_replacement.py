"""Ways to put a concept in the place of another of its kind."""

import pytest
import torch
from kit.toy import TOKENS, Toy

from htbench.core.errors import UnknownName
from htbench.steering import baseline
from htbench.steering.concept import Concept
from htbench.steering.directed import between
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import Method, fitting_images
from htbench.steering.omission import Exchange
from htbench.steering.pair import replace

SOURCES = ("a panda", "a house", "two boats", "a tree")
KITE, ROD = (
    Concept(
        id=f"thing/{text}",
        kind="thing",
        text=f"with {text}",
        template=f"{{prompt}} with {text}",
        sources=SOURCES,
    )
    for text in ("a kite", "a rod")
)
KITE_TO_ROD = replace(KITE, ROD)


def learnt(name: str, concept: Concept) -> Intervention:
    method: Method = baseline.load_method(name)
    return method.train(Toy(), (), seed=0).towards(concept)


def test_a_swap_undoes_the_old_map_and_does_the_new_one() -> None:
    old, new, swap = (
        learnt(name, concept)
        for name, concept in (
            ("gaussian-ot", KITE),
            ("gaussian-ot", ROD),
            ("gaussian-ot@swap", KITE_TO_ROD),
        )
    )
    assert isinstance(old, Affine)
    width = old.shift[TOKENS].numel()
    z = torch.randn(2, 5, width, generator=torch.Generator().manual_seed(0))
    with_old = old.apply(TOKENS, z, strength=1.0)
    torch.testing.assert_close(
        swap.apply(TOKENS, with_old, strength=1.0), new.apply(TOKENS, z, strength=1.0)
    )


def test_a_direct_map_is_fitted_from_the_old_concept_to_the_new_one() -> None:
    (sources, _), (targets, _) = fitting_images(between(KITE_TO_ROD), 4, seed=0)
    assert sorted(sources) == sorted(KITE.targets)
    assert sorted(targets) == sorted(ROD.targets)


def test_a_direct_map_points_away_from_the_old_concept_and_towards_the_new_one() -> None:
    old, new, direct = (
        learnt(name, concept)
        for name, concept in (
            ("mean-shift", KITE),
            ("mean-shift", ROD),
            ("mean-shift@direct", KITE_TO_ROD),
        )
    )
    assert isinstance(old, Affine)
    assert isinstance(new, Affine)
    assert isinstance(direct, Affine)
    change = new.shift[TOKENS] - old.shift[TOKENS]
    assert torch.nn.functional.cosine_similarity(change, direct.shift[TOKENS], dim=0) > 0.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prompt", "a panda with a kite with a rod"),
        ("prompt@swap", "a panda with a rod"),
        ("prompt@instead", "a panda with a kite with a rod instead of a kite"),
    ],
)
def test_prompting_adds_words_exchanges_them_or_names_both(name: str, expected: str) -> None:
    change = learnt(name, KITE_TO_ROD)
    assert change.prompts("a panda with a kite", strength=1.0) == {expected: 1.0}


@pytest.mark.parametrize(("prompt", "strength"), [("a panda", 1.0), ("a panda with a kite", 0.0)])
def test_words_that_are_not_there_are_not_exchanged(prompt: str, strength: float) -> None:
    change = Exchange(old=KITE.template, new=ROD.template)
    assert change.prompts(prompt, strength=strength) == {prompt: 1.0}


def test_an_exchange_is_read_back_from_its_state() -> None:
    change = Exchange(old=KITE.template, new=ROD.template)
    assert Exchange.restore(*change.state()).state() == change.state()


@pytest.mark.parametrize("way", ["swap", "direct"])
def test_a_concept_that_replaces_none_has_the_map_of_the_method_itself(way: str) -> None:
    own, other = learnt("mean-shift", KITE), learnt(f"mean-shift@{way}", KITE)
    assert isinstance(own, Affine)
    assert isinstance(other, Affine)
    torch.testing.assert_close(own.maps, other.maps)


@pytest.mark.parametrize(
    "name", ["hypertransport@direct", "mean-shift@instead", "prompt@direct", "none@swap"]
)
def test_a_way_that_a_method_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match="no method"):
        baseline.load_card(name)
