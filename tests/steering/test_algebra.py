"""Algebra of maps, against applying one after another."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from htbench.core.errors import Refused, UsageError
from htbench.core.types import Site
from htbench.steering.algebra import average, compose, invert, join
from htbench.steering.intervention import Affine, LowRank

A, B, C = Site("a"), Site("b"), Site("c")
Z = torch.randn(2, 3, 4)


def _affine(seed: int, *sites: Site) -> Affine:
    random = torch.Generator().manual_seed(seed)
    return Affine(
        {site: 1 + torch.rand(4, generator=random) for site in sites},
        {site: torch.randn(4, generator=random) for site in sites},
    )


def _apply(change: Affine, site: Site, z: Tensor = Z) -> Tensor:
    return change.apply(site, z, strength=1.0)


@pytest.mark.parametrize("site", [A, B, C])
def test_composed_maps_apply_the_first_one_first(site: Site) -> None:
    first, second = _affine(1, A, B), _affine(2, B, C)
    torch.testing.assert_close(
        _apply(compose(first, second), site), _apply(second, site, _apply(first, site))
    )


@pytest.mark.parametrize("calculate", [compose, lambda *maps: average(maps)])
def test_flat_maps_calculate_as_maps_site_by_site(calculate: Callable[..., Affine]) -> None:
    changes = _affine(1, A, B, C), _affine(2, C, A), _affine(3, B)
    whole = calculate(*changes)
    for site in (A, B, C):
        own = [
            Affine({site: change.scale[site]}, {site: change.shift[site]})
            if site in change.sites
            else Affine({site: torch.ones(4)}, {site: torch.zeros(4)})
            for change in changes
        ]
        torch.testing.assert_close(calculate(*own).maps, whole.maps[:, whole.layout.spans[site]])


def test_the_order_of_composition_matters() -> None:
    first, second = _affine(1, A), _affine(2, A)
    assert not torch.allclose(_apply(compose(first, second), A), _apply(compose(second, first), A))


def test_nothing_composed_is_nothing() -> None:
    assert not compose().sites


def test_an_inverse_undoes_its_map() -> None:
    change = _affine(1, A, B)
    torch.testing.assert_close(_apply(invert(change), A, _apply(change, A)), Z)


def test_a_map_that_loses_a_channel_cannot_be_inverted() -> None:
    with pytest.raises(Refused, match=r"channel 1 of site 'a' is scaled by 0\.0005"):
        invert(Affine({A: torch.tensor([1.0, 5e-4])}, {A: torch.zeros(2)}))


@pytest.mark.parametrize("site", [A, B])
def test_an_average_moves_by_the_mean_of_what_each_moves(site: Site) -> None:
    parts = [_affine(1, A), _affine(2, A, B)]
    torch.testing.assert_close(
        _apply(average(parts), site), torch.stack([_apply(part, site) for part in parts]).mean(0)
    )


def test_nothing_has_no_average() -> None:
    with pytest.raises(UsageError, match="no maps"):
        average([])


@pytest.mark.parametrize("calculate", [compose, invert, lambda change: average([change])])
def test_a_map_with_a_support_cannot_be_calculated_with(calculate: object) -> None:
    supported = Affine(
        {A: torch.ones(1)}, {A: torch.ones(1)}, low={A: torch.zeros(1)}, high={A: torch.ones(1)}
    )
    with pytest.raises(UsageError, match="support"):
        calculate(supported)


def test_parts_of_one_class_join() -> None:
    parts = [
        LowRank({site: torch.randn(4, 2)}, {site: torch.randn(2, 4)}, {site: torch.randn(4)})
        for site in (A, B)
    ]
    joined = join(parts)
    assert joined.sites == {A, B}
    torch.testing.assert_close(joined.apply(B, Z, strength=0.5), parts[1].apply(B, Z, strength=0.5))
