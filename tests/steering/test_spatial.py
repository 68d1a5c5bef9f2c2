"""Maps with a shift per position, against their formula and Linear-AcT."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.toy import DEPTH, MAPS, SIDE, TOKENS, Toy

from htbench.core.errors import Refused, UsageError
from htbench.core.types import Site
from htbench.methods.linear_act import LinearAct
from htbench.methods.linear_act_spatial import LinearActSpatial, spatial_map
from htbench.steering import intervention, map_files
from htbench.steering.concept import Concept
from htbench.steering.hooks import steer
from htbench.steering.intervention import Affine
from htbench.steering.map_files import MapFile
from htbench.steering.spatial import Spatial, invert

A = Site("a")


def random_map(positions: int = 5, rank: int = 2) -> Spatial:
    draw = torch.Generator().manual_seed(positions)
    scale, shift = 1 + torch.rand(3, generator=draw), torch.randn(3, generator=draw)
    where = torch.randn(positions, rank, generator=draw)
    added = torch.randn(rank, 3, generator=draw)
    return Spatial(Affine({A: scale}, {A: shift}), {A: where}, {A: added})


@pytest.mark.parametrize("strength", [-1.0, 0.5, 2.0])
def test_each_position_has_its_own_shift(strength: float) -> None:
    change, z = random_map(), torch.randn(2, 5, 3)
    parts = (
        change.maps.scale[A],
        change.maps.shift[A],
        change.where[A],
        change.added[A],
        z,
    )
    scale, shift, where, added, x = (part.double().numpy() for part in parts)
    table = np.einsum("pr,rc->pc", where, added)
    expected = x + strength * (scale * x + shift + table - x)
    result = change.apply(A, z, strength=strength).double().numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_its_inverse_undoes_it() -> None:
    change, z = random_map(), torch.randn(2, 5, 3)
    there = change.apply(A, z, strength=1.0)
    torch.testing.assert_close(
        invert(change).apply(A, there, strength=1.0), z, rtol=1e-4, atol=1e-5
    )


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="for 5 positions at site 'a', this image has 7"):
        random_map().apply(A, torch.randn(1, 7, 3), strength=1.0)


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    change, z = random_map(), torch.randn(2, 5, 3)
    intervention.save(change, tmp_path / "map")
    back = intervention.load(tmp_path / "map")
    assert type(back) is Spatial
    assert torch.equal(back.apply(A, z, strength=0.7), change.apply(A, z, strength=0.7))


def test_parts_that_do_not_match_are_refused(tmp_path: Path) -> None:
    change = random_map()
    intervention.save(Spatial(change.maps, change.where, {A: torch.ones(3, 3)}), tmp_path / "map")
    with pytest.raises(Refused, match="parts do not match"):
        intervention.load(tmp_path / "map")


def test_files_are_inverted_and_not_composed(tmp_path: Path) -> None:
    path, undone = tmp_path / "snow.safetensors", tmp_path / "not.safetensors"
    change, z = random_map(), torch.randn(2, 5, 3)
    intervention.save(change, path)
    file = MapFile.read(path)
    map_files.invert(file, undone)
    torch.testing.assert_close(
        intervention.load(undone).apply(A, change.apply(A, z, strength=1.0), strength=1.0),
        z,
        rtol=1e-4,
        atol=1e-5,
    )
    with pytest.raises(Refused, match="not composed or averaged"):
        map_files.compose([file, file], tmp_path / "both.safetensors")


def test_a_map_of_full_rank_brings_the_mean_of_each_position_to_the_target() -> None:
    a, b = torch.randn(9, 4, 3), torch.randn(7, 4, 3) * 2 + torch.randn(4, 3)
    moved = spatial_map(A, a, b, rank=3).apply(A, a, strength=1.0)
    torch.testing.assert_close(moved.mean(0), b.mean(0), rtol=1e-4, atol=1e-4)


def test_a_map_of_low_rank_leaves_the_least_that_its_rank_can() -> None:
    a, b = torch.randn(9, 6, 5), torch.randn(9, 6, 5)
    full, low = (spatial_map(A, a, b, rank=rank) for rank in (5, 2))
    table = (full.where[A] @ full.added[A]).double().numpy()
    left = table - (low.where[A] @ low.added[A]).double().numpy()
    sizes = np.linalg.svd(table, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(left), np.linalg.norm(sizes[2:]), rtol=1e-4)


def test_the_first_site_has_the_map_of_linear_act(model: Toy, lemon: Concept) -> None:
    spatial = LinearActSpatial(samples=8).fit(model, lemon, seed=0)
    plain = LinearAct(samples=8).fit(model, lemon, seed=0)
    assert isinstance(spatial, Spatial)
    assert isinstance(plain, Affine)
    torch.testing.assert_close(spatial.maps.scale[TOKENS], plain.scale[TOKENS])
    torch.testing.assert_close(spatial.maps.shift[TOKENS], plain.shift[TOKENS])
    assert {site: tuple(each.shape) for site, each in spatial.where.items()} == {
        TOKENS: (SIDE**2, 4),
        MAPS: (SIDE**2, 4),
    }


def test_positions_of_feature_maps_are_steered_in_a_mixed_batch(model: Toy, lemon: Concept) -> None:
    change = LinearActSpatial(samples=8).fit(model, lemon, seed=0)
    push = Affine({MAPS: torch.ones(DEPTH)}, {MAPS: torch.ones(DEPTH)})
    z = torch.randn(3, SIDE**2, DEPTH)
    tap = steer([change, push, change], [1.0, 1.0, 0.0])
    expected = torch.cat([change.apply(MAPS, z[:1], strength=1.0), z[1:2] + 1, z[2:]])
    torch.testing.assert_close(tap(MAPS, z), expected)
