"""Several concepts of one method at once."""

import pytest
import torch
from kit.toy import MAPS, TOKENS

from htbench.core.errors import UsageError
from htbench.play.combine import combine
from htbench.steering.intervention import Affine, Interpolate, Intervention, Rewrite

Z = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))


def _affine(seed: int, *, site: str = TOKENS) -> Affine:
    scale, shift = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed))
    return Affine({site: scale}, {site: shift})


def test_affine_maps_add_up_whatever_their_order() -> None:
    first, second = _affine(1), _affine(2)
    expected = Z + 0.5 * (first.scale[TOKENS] * Z + first.shift[TOKENS] - Z)
    expected = expected - 2 * (second.scale[TOKENS] * Z + second.shift[TOKENS] - Z)
    for parts in ([(first, 0.5), (second, -2.0)], [(second, -2.0), (first, 0.5)]):
        change, strength = combine(parts)
        torch.testing.assert_close(change.apply(TOKENS, Z, strength=strength), expected)


def test_a_map_acts_alone_at_sites_that_the_other_lacks() -> None:
    here, there = _affine(1), _affine(2, site=MAPS)
    change, strength = combine([(here, 0.5), (there, 1.0)])
    torch.testing.assert_close(
        change.apply(TOKENS, Z, strength=strength), here.apply(TOKENS, Z, strength=0.5)
    )


def test_one_that_acts_alone_is_returned_as_it_is() -> None:
    lemon = _affine(1)
    assert combine([(lemon, 0.5), (_affine(2), 0.0)]) == (lemon, 0.5)


def test_nothing_that_acts_is_the_identity() -> None:
    change, strength = combine([(_affine(1), 0.0)])
    assert (type(change), strength) == (Intervention, 0.0)


def test_prompts_ask_for_one_concept_after_the_other() -> None:
    lemon = Rewrite(more="{prompt} with lemon", less="{prompt} without lemon")
    red = Rewrite(more="{prompt}, in red", less="{prompt}, not in red")
    change, strength = combine([(lemon, 1.0), (red, -1.0)])
    assert change.prompts("cat", strength=strength) == {"cat with lemon, not in red": 1.0}


def test_others_steer_towards_one_concept_at_a_time() -> None:
    lemon, red = Interpolate(template="{prompt} with lemon"), Interpolate(template="red {prompt}")
    with pytest.raises(UsageError, match="one concept at a time"):
        combine([(lemon, 1.0), (red, 1.0)])
