"""Other ways to steer away: inverse maps, maps fitted the other way round, and prompts."""

import pytest
import torch
from kit.toy import TOKENS, Toy

from htbench.core.errors import UnknownName
from htbench.core.types import Site
from htbench.steering import baseline
from htbench.steering.algebra import reflect, transform
from htbench.steering.concept import Concept
from htbench.steering.directed import reverse
from htbench.steering.gates import ImageGated, TokensGated
from htbench.steering.intervention import Affine
from htbench.steering.method import Method, fitting_images
from htbench.steering.omission import Omit

FOG = Concept(
    id="weather/fog",
    kind="weather",
    text="with fog",
    template="{prompt} with fog",
    sources=("a panda", "a house", "two boats", "a tree"),
)


def fitted(name: str) -> Affine:
    method: Method = baseline.load_method(name)
    change = method.train(Toy(), (), seed=0).towards(FOG)
    assert isinstance(change, Affine)
    return change


def test_a_reflected_map_does_at_minus_s_what_the_map_does_at_s() -> None:
    change = Affine({Site("a"): torch.tensor([0.5, 3.0])}, {Site("a"): torch.tensor([1.0, -2.0])})
    z = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    for strength in (-1.0, 0.3, 1.0):
        expected = change.apply(Site("a"), z, strength=strength)
        torch.testing.assert_close(
            reflect(change).apply(Site("a"), z, strength=-strength), expected
        )


def test_an_inverse_undoes_the_map_at_full_negative_strength() -> None:
    change, opposite = fitted("gaussian-ot"), fitted("gaussian-ot@inverse")
    z = torch.randn(2, 5, change.scale[TOKENS].numel(), generator=torch.Generator().manual_seed(0))
    there = change.apply(TOKENS, z, strength=1.0)
    torch.testing.assert_close(opposite.apply(TOKENS, there, strength=-1.0), z)


def test_a_pure_shift_is_its_own_inverse_at_negative_strength() -> None:
    torch.testing.assert_close(fitted("mean-shift").maps, fitted("mean-shift@inverse").maps)


def test_a_reversed_fit_has_sources_with_the_concept_and_targets_without_it() -> None:
    (sources, _), (targets, _) = fitting_images(reverse(FOG), 4, seed=0)
    assert all(prompt.endswith(" with fog") for prompt in sources)
    assert sorted(targets) == sorted(FOG.sources)


def test_a_reversed_mean_shift_points_away_from_the_concept() -> None:
    there, back = fitted("mean-shift").shift[TOKENS], fitted("mean-shift@reversed").shift[TOKENS]
    assert torch.nn.functional.cosine_similarity(there, back, dim=0) > 0.5


@pytest.mark.parametrize(
    ("change", "strength", "expected"),
    [
        (Omit(template="{prompt} with fog"), -1.0, "a panda"),
        (
            Omit(template="{prompt} with fog", negation="{prompt} without fog"),
            -2.0,
            "a panda without fog",
        ),
        (Omit(template="{prompt} with fog"), 1.0, "a panda with fog with fog"),
        (Omit(template="{prompt} with fog"), 0.0, "a panda with fog"),
        (Omit(template="{prompt} in fog"), -1.0, "a panda with fog"),
    ],
)
def test_words_are_left_out_where_the_template_put_them(
    change: Omit, strength: float, expected: str
) -> None:
    assert change.prompts("a panda with fog", strength=strength) == {expected: 1.0}


def test_prompting_has_a_prompt_without_the_words_and_one_that_negates_them() -> None:
    prompts = {
        way: baseline.load_method(f"prompt@{way}")
        .train(Toy(), (), seed=0)
        .towards(FOG)
        .prompts("a panda with fog", strength=-1.0)
        for way in ("inverse", "negated")
    }
    assert prompts == {"inverse": {"a panda": 1.0}, "negated": {"a panda without fog": 1.0}}


def test_an_omission_is_read_back_from_its_state() -> None:
    change = Omit(template="{prompt}, in fog", negation="{prompt} without fog")
    assert Omit.restore(*change.state()).state() == change.state()


def test_a_card_of_another_way_changes_with_that_of_its_base() -> None:
    base = baseline.load_card("mean-shift")
    assert baseline.load_card("mean-shift@inverse").digest not in (
        base.digest,
        baseline.load_card("linear-act@inverse").digest,
        baseline.load_card("mean-shift@reversed").digest,
    )


@pytest.mark.parametrize("name", ["hypertransport@reversed", "prompt@reversed", "none@inverse"])
def test_a_way_that_a_method_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match="no method"):
        baseline.load_card(name)


def test_a_gate_stays_in_front_of_a_map_that_is_reflected() -> None:
    site = Site("a")
    change = Affine({site: torch.tensor([0.5, 3.0])}, {site: torch.tensor([1.0, -2.0])})
    gate = torch.tensor([1.0, 0.0, 0.0])
    z = torch.tensor([[[1.0, 2.0]], [[-1.0, 2.0]]])
    behind_gates = (
        ImageGated(change, gates={site: gate}),
        TokensGated(change, gates={site: gate}),
    )
    for gated in behind_gates:
        there = gated.apply(site, z, strength=1.0)
        opposite = transform(gated, reflect).apply(site, z, strength=-1.0)
        torch.testing.assert_close(opposite, there)
        assert torch.equal(opposite[1], z[1])


def test_a_gate_in_a_name_is_a_setting_of_the_method() -> None:
    own, gated = (baseline.load_card(f"mean-shift{way}") for way in ("", "@gated"))
    assert gated.settings == {**own.settings, "gate": "image"}
    assert baseline.load_method("gaussian-ot@gated-tokens").gate == "tokens"


def test_ways_follow_each_other() -> None:
    assert baseline.load_method("mean-shift@gated@reversed").base == "mean-shift@gated"


@pytest.mark.parametrize("name", ["prompt@gated", "hypertransport@gated"])
def test_what_cannot_stand_behind_a_gate_has_no_such_way(name: str) -> None:
    with pytest.raises(UnknownName, match="no method"):
        baseline.load_card(name)


def test_an_unknown_way_has_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="mean-shift@inverse"):
        baseline.load_card("mean-shift@invers")
