"""Maps in files: read, calculated with as in memory, and refused where that is not possible."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.core.types import Digest, Site
from htbench.steering import intervention, map_files
from htbench.steering.intervention import (
    Affine,
    Intervention,
    InterventionOrigin,
    OnMeans,
    Rewrite,
)
from htbench.steering.map_files import MapFile

SITE = Site("a")
Z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


def affine(seed: int) -> Affine:
    random = torch.Generator().manual_seed(seed)
    return Affine(
        {SITE: 1 + torch.rand(4, generator=random)}, {SITE: torch.randn(4, generator=random)}
    )


def saved(folder: Path, name: str, change: Intervention, *, model: str = "toy") -> MapFile:
    path = folder / f"{name}.safetensors"
    origin = InterventionOrigin(model=model, revision=Digest("1"), concept=name)
    intervention.save(change, path, origin=origin)
    return MapFile.read(path)


def act(change: Intervention, z: Tensor = Z) -> Tensor:
    return change.apply(SITE, z, strength=1.0)


@pytest.mark.parametrize("kind", [lambda maps: maps, OnMeans])
def test_composed_files_act_as_one_after_the_other(tmp_path: Path, kind: type[OnMeans]) -> None:
    first, second = kind(affine(1)), kind(affine(2))
    files = [saved(tmp_path, "snow", first), saved(tmp_path, "sepia", second)]
    map_files.compose(files, tmp_path / "both.safetensors")
    both = intervention.load(tmp_path / "both.safetensors")
    torch.testing.assert_close(act(both), act(second, act(first)))
    assert MapFile.read(tmp_path / "both.safetensors").name == "snow then sepia"


@pytest.mark.parametrize("kind", [lambda maps: maps, OnMeans])
def test_an_inverted_file_undoes_the_maps(tmp_path: Path, kind: type[OnMeans]) -> None:
    change = kind(affine(1))
    map_files.invert(saved(tmp_path, "snow", change), tmp_path / "back.safetensors")
    torch.testing.assert_close(
        act(intervention.load(tmp_path / "back.safetensors"), act(change)), Z
    )


def test_an_averaged_file_is_halfway(tmp_path: Path) -> None:
    files = [saved(tmp_path, name, affine(k)) for k, name in enumerate(("snow", "sepia"))]
    map_files.average(files, tmp_path / "between.safetensors")
    halfway = (act(affine(0)) + act(affine(1))) / 2
    torch.testing.assert_close(act(intervention.load(tmp_path / "between.safetensors")), halfway)


def test_the_strongest_sites_are_those_that_change_most(tmp_path: Path) -> None:
    scale = {Site(name): torch.ones(4) for name in "ab"}
    shift = {Site("a"): torch.full((4,), 3.0), Site("b"): torch.full((4,), 5.0)}
    file = saved(tmp_path, "snow", Affine(scale, shift))
    assert file.strongest_sites(1) == [("b", 5.0)]


def test_maps_for_different_models_are_refused(tmp_path: Path) -> None:
    files = [saved(tmp_path, name, affine(1), model=name) for name in ("one", "other")]
    with pytest.raises(Refused, match="different models: one, other"):
        map_files.compose(files, tmp_path / "both.safetensors")
    assert not (tmp_path / "both.safetensors").exists()


def test_maps_on_means_and_on_positions_do_not_mix(tmp_path: Path) -> None:
    files = [saved(tmp_path, "snow", affine(1)), saved(tmp_path, "sepia", OnMeans(affine(2)))]
    with pytest.raises(UsageError, match="means over positions"):
        map_files.average(files, tmp_path / "both.safetensors")


def test_maps_that_are_not_affine_are_read_but_not_calculated_with(tmp_path: Path) -> None:
    file = saved(tmp_path, "prompt", Rewrite(more="{prompt} in snow", less="{prompt}"))
    assert (file.name, file.is_affine) == ("prompt", False)
    with pytest.raises(Refused, match="'rewrite', which is not affine"):
        map_files.invert(file, tmp_path / "back.safetensors")
    assert not (tmp_path / "back.safetensors").exists()


def test_a_missing_file_is_told_with_the_nearest(tmp_path: Path) -> None:
    saved(tmp_path, "snow", affine(1))
    with pytest.raises(UnknownName, match=r"did you mean .*snow\.safetensors"):
        MapFile.read(tmp_path / "show.safetensors")
