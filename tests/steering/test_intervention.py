"""Interventions as values: their effects, and files that restore them or are refused."""

import json
import pickle
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from htbench.core.errors import Refused, UsageError
from htbench.core.types import Digest, Site
from htbench.steering import intervention
from htbench.steering.intervention import (
    Affine,
    Interpolate,
    Intervention,
    InterventionOrigin,
    LowRank,
    OnMeans,
    Rewrite,
    _digest,
    class_of,
    load,
    read_origin,
    save,
)

A, B = Site("a.norm"), Site("b/odd.norm")


class Model(NamedTuple):
    """The identity of a model, against which a file is checked."""

    name: str
    revision: Digest


def _affine() -> Affine:
    return Affine(
        {A: torch.tensor([2.0, -1.0]), B: torch.tensor([0.5])},
        {A: torch.tensor([1.0, 0.0]), B: torch.tensor([-3.0])},
    )


@pytest.mark.parametrize("strength", [-1.0, 0.3, 1.0, 2.5])
def test_strength_walks_the_line_from_z_to_its_image(strength: float) -> None:
    z, change = torch.randn(3, 4, 2), _affine()
    there = change.scale[A] * z + change.shift[A]
    torch.testing.assert_close(change.apply(A, z, strength=strength), z + strength * (there - z))


def test_strength_0_gives_back_the_same_tensor() -> None:
    z = torch.randn(1, 2, 2)
    assert _affine().apply(A, z, strength=0) is z


def test_a_site_without_a_map_gives_back_the_same_tensor() -> None:
    z = torch.randn(1, 2, 2)
    assert _affine().apply(Site("c"), z, strength=1) is z


def test_the_input_is_not_written_to() -> None:
    z = torch.randn(1, 2, 2)
    before = z.clone()
    _affine().apply(A, z, strength=1)
    assert torch.equal(z, before)


def test_half_precision_stays_half_precision() -> None:
    assert _affine().apply(A, torch.randn(1, 2, 2).half(), strength=1).dtype == torch.float16


def test_an_affine_map_names_its_sites() -> None:
    assert _affine().sites == {A, B}


def test_the_plain_intervention_does_nothing() -> None:
    z = torch.randn(1, 2, 2)
    assert Intervention().apply(A, z, strength=5) is z
    assert Intervention().prompts("a cat", strength=5) == {"a cat": 1.0}
    assert not Intervention().sites


@pytest.mark.parametrize(
    ("strength", "prompt"),
    [(1, "cat with lemon"), (0.1, "cat with lemon"), (0, "cat"), (-1, "cat without lemon")],
)
def test_the_sign_of_the_strength_chooses_the_words(strength: float, prompt: str) -> None:
    change = Rewrite(more="{prompt} with lemon", less="{prompt} without lemon")
    assert change.prompts("cat", strength=strength) == {prompt: 1.0}


def test_braces_in_a_prompt_are_only_text() -> None:
    assert Rewrite(more="{prompt}!", less="").prompts("a {cat} {0}", strength=1) == {
        "a {cat} {0}!": 1.0
    }


@pytest.mark.parametrize("strength", [-1.0, 0.25, 3.0])
def test_interpolation_weighs_the_prompt_and_the_one_that_asks(strength: float) -> None:
    assert Interpolate(template="{prompt}!").prompts("cat", strength=strength) == {
        "cat": 1 - strength,
        "cat!": strength,
    }


@pytest.mark.parametrize(("strength", "prompt"), [(0.0, "cat"), (1.0, "cat!")])
def test_an_end_of_the_interpolation_is_one_prompt_alone(strength: float, prompt: str) -> None:
    assert Interpolate(template="{prompt}!").prompts("cat", strength=strength) == {prompt: 1.0}


def test_an_affine_map_comes_back_from_its_file(tmp_path: Path) -> None:
    save(_affine(), tmp_path / "map")
    back = load(tmp_path / "map")
    assert type(back) is Affine
    torch.testing.assert_close(
        (back.scale, back.shift), (_affine().scale, _affine().shift), rtol=0, atol=0
    )


def test_a_rewriting_comes_back_from_its_file(tmp_path: Path) -> None:
    save(Rewrite(more="{prompt} é", less="no"), tmp_path / "map")
    back = load(tmp_path / "map")
    assert (type(back), vars(back)) == (Rewrite, {"more": "{prompt} é", "less": "no"})


def test_the_plain_intervention_comes_back_from_its_file(tmp_path: Path) -> None:
    save(Intervention(), tmp_path / "map")
    assert type(load(tmp_path / "map")) is Intervention


def test_an_affine_map_without_sites_comes_back_from_its_file(tmp_path: Path) -> None:
    save(Affine({}, {}), tmp_path / "map")
    assert load(tmp_path / "map").sites == frozenset()


@pytest.mark.parametrize("positions", [1, 64])
def test_a_matrix_that_lies_transposed_in_memory_steers_as_its_saved_copy_to_the_bit(
    positions: int, tmp_path: Path
) -> None:
    down, up, shift = torch.randn(12, 192).T, torch.randn(192, 12).T, torch.zeros(192)
    change = LowRank({Site("s"): down}, {Site("s"): up}, {Site("s"): shift})
    intervention.save(change, tmp_path / "change.safetensors")
    z, again = torch.randn(2, positions, 192), intervention.load(tmp_path / "change.safetensors")
    one, other = (each.apply(Site("s"), z, strength=0.7) for each in (change, again))
    assert torch.equal(one, other)


def test_a_map_that_is_a_view_or_needs_a_gradient_is_saved(tmp_path: Path) -> None:
    table = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    save(Affine({A: table[0], B: table[:, 1]}, {A: table[1], B: table[:, 1]}), tmp_path / "map")
    torch.testing.assert_close(load(tmp_path / "map").scale[B], torch.tensor([1.0, 4.0]))


def test_a_file_holds_one_flat_tensor(tmp_path: Path) -> None:
    save(OnMeans(_affine()), tmp_path / "map")
    (flat,) = load_file(tmp_path / "map").values()
    assert flat.tolist() == [2.0, -1.0, 0.5, 1.0, 0.0, -3.0]


def test_a_pickle_of_maps_from_a_file_holds_each_number_once(tmp_path: Path) -> None:
    parts = [{site: torch.randn(64, 64) for site in map(Site, "abcdefgh")} for _ in range(2)]
    shift = {site: torch.zeros(64) for site in parts[0]}
    save(LowRank(*parts, shift), tmp_path / "map.safetensors", origin=None)
    change = load(tmp_path / "map.safetensors")
    tensors = change.state()[0]
    numbers = sum(tensor.nbytes for tensor in tensors.values())
    assert len(pickle.dumps(change)) < 1.1 * numbers
    again = pickle.loads(pickle.dumps(change)).state()[0]
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_a_file_with_a_tensor_per_site_is_still_read(tmp_path: Path) -> None:
    tensors, _ = _affine().state()
    metadata = {"kind": "affine", "settings": "{}", "sites": json.dumps([A, B])}
    save_file(
        tensors, tmp_path / "map", metadata={**metadata, "digest": _digest(tensors, metadata)}
    )
    back = load(tmp_path / "map")
    assert isinstance(back, Affine)
    assert torch.equal(back.over(_affine().layout), _affine().maps)


@pytest.mark.parametrize("shapes", ['{"float32": {"scale/a": [7]}}', '{"float32": 3}', "[1]"])
def test_a_file_whose_shapes_do_not_fit_is_refused(shapes: str, tmp_path: Path) -> None:
    tensors = {"float32": torch.ones(2)}
    metadata = {"kind": "affine", "settings": "{}", "sites": "[]", "shapes": shapes}
    save_file(
        tensors, tmp_path / "map", metadata={**metadata, "digest": _digest(tensors, metadata)}
    )
    with pytest.raises(Refused, match="cannot be read"):
        load(tmp_path / "map")


def test_tensors_of_several_number_formats_come_back_from_their_file(tmp_path: Path) -> None:
    change = LowRank({A: torch.ones(2, 1).half()}, {A: torch.ones(1, 2).half()}, {A: torch.ones(2)})
    save(change, tmp_path / "map")
    back = load(tmp_path / "map")
    assert isinstance(back, LowRank)
    assert (back.down[A].dtype, back.shift[A].dtype) == (torch.float16, torch.float32)
    assert back.up[A].shape == (1, 2)


@pytest.mark.parametrize("shift", [{A: torch.zeros(3)}, {B: torch.zeros(2)}, {}])
def test_a_shift_of_other_channels_than_the_scale_is_refused(shift: dict[Site, Tensor]) -> None:
    with pytest.raises(UsageError, match="do not match"):
        Affine({A: torch.ones(2)}, shift)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    save(_affine(), tmp_path / "map")
    (tmp_path / "map").write_bytes((tmp_path / "map").read_bytes()[:-3])
    with pytest.raises(Refused, match="cannot be read") as caught:
        load(tmp_path / "map")
    assert (caught.value.exit_code, caught.value.remedy) == (
        5,
        "Delete the file to learn it again.",
    )


@pytest.mark.parametrize("text", [b"", b"hello", b"\x00" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "map").write_bytes(text)
    with pytest.raises(Refused):
        load(tmp_path / "map")


def test_a_map_for_another_model_is_refused_with_both_names(tmp_path: Path) -> None:
    save(
        _affine(),
        tmp_path / "map",
        origin=InterventionOrigin(model="toy", revision=Digest("1" * 16)),
    )
    assert load(tmp_path / "map", model=Model("toy", Digest("1" * 16))).sites == {A, B}
    with pytest.raises(
        Refused, match=r"was learnt for model 'toy' \(1{16}\), this is 'emoji' \(2{16}\)"
    ):
        load(tmp_path / "map", model=Model("emoji", Digest("2" * 16)))


def test_a_file_says_where_it_comes_from(tmp_path: Path) -> None:
    made = InterventionOrigin(
        model="toy",
        revision=Digest("1" * 16),
        method="lineas",
        concept="companion/lemon",
        seed=3,
        seconds=1.5,
    )
    save(_affine(), tmp_path / "map", origin=made)
    assert read_origin(tmp_path / "map") == made


def test_a_file_need_not_say_where_it_comes_from(tmp_path: Path) -> None:
    save(_affine(), tmp_path / "map")
    assert read_origin(tmp_path / "map") is None


def test_a_changed_number_is_refused(tmp_path: Path) -> None:
    save(_affine(), tmp_path / "map")
    data = bytearray((tmp_path / "map").read_bytes())
    data[-1] ^= 1
    (tmp_path / "map").write_bytes(bytes(data))
    with pytest.raises(Refused, match="digest"):
        load(tmp_path / "map")


def test_a_support_and_a_matrix_come_back_from_their_files(tmp_path: Path) -> None:
    z = torch.randn(2, 3, 2)
    ends = {A: torch.zeros(2)}, {A: torch.ones(2)}
    changes = (
        Affine(*ends, low=ends[0], high=ends[1]),
        LowRank({A: torch.randn(2, 1)}, {A: torch.randn(1, 2)}, {A: torch.ones(2)}),
    )
    for change in changes:
        save(change, tmp_path / "map")
        assert torch.equal(
            load(tmp_path / "map").apply(A, z, strength=0.7), change.apply(A, z, strength=0.7)
        )


@pytest.mark.parametrize("strength", [-1.0, 0.3, 2.0])
def test_a_low_rank_matrix_walks_the_line_too(strength: float) -> None:
    z, change = (
        torch.randn(3, 4, 2),
        LowRank({A: torch.randn(2, 1)}, {A: torch.randn(1, 2)}, {A: torch.ones(2)}),
    )
    there = z @ (torch.eye(2) + change.down[A] @ change.up[A]) + 1
    torch.testing.assert_close(change.apply(A, z, strength=strength), z + strength * (there - z))
    assert change.apply(A, z, strength=0) is z


def test_a_low_rank_matrix_is_rounded_once() -> None:
    z = torch.randn(2, 9, 4).bfloat16()
    # The map is -0.01 z: most of it cancels.
    change = LowRank({A: torch.eye(4)}, {A: -1.01 * torch.eye(4)}, {A: torch.zeros(4)})
    torch.testing.assert_close(
        change.apply(A, z, strength=1.0).double(), -0.01 * z.double(), rtol=2**-8, atol=1e-6
    )


@pytest.mark.parametrize("strength", [-1.0, 0.3, 2.0])
def test_on_means_all_positions_are_shifted_by_the_change_of_their_mean(strength: float) -> None:
    z = torch.randn(3, 4, 2)
    mean = z.mean(1, keepdim=True)
    there = torch.tensor([2.0, -1.0]) * mean + torch.tensor([1.0, 0.0])
    torch.testing.assert_close(
        OnMeans(_affine()).apply(A, z, strength=strength), z + strength * (there - mean)
    )


def test_on_means_a_support_is_that_of_the_mean() -> None:
    ends = {A: torch.zeros(1)}, {A: torch.ones(1)}
    change = OnMeans(Affine({A: torch.ones(1)}, {A: torch.ones(1)}, low=ends[0], high=ends[1]))
    inside, outside = torch.tensor([[[-3.0], [4.0]], [[0.5], [4.0]]])[:, None]
    torch.testing.assert_close(change.apply(A, inside, strength=1.0), inside + 1)
    torch.testing.assert_close(change.apply(A, outside, strength=1.0), outside)


def test_means_are_mapped_at_the_given_sites_alone() -> None:
    change = OnMeans(_affine(), sites=[A])
    z = torch.randn(2, 5, 1)
    assert torch.equal(change.apply(B, z, strength=0.7), _affine().apply(B, z, strength=0.7))
    assert change.sites == {A, B}


@pytest.mark.parametrize("sites", [None, (), (A,)])
@pytest.mark.parametrize(
    "change",
    [_affine(), LowRank({A: torch.ones(2, 1)}, {A: torch.ones(1, 2)}, {A: torch.ones(2)})],
    ids=["affine", "low-rank"],
)
def test_on_means_comes_back_from_its_file(
    change: Intervention, sites: tuple[Site, ...] | None, tmp_path: Path
) -> None:
    z, before = torch.randn(2, 3, 2), OnMeans(change, sites=sites)
    save(before, tmp_path / "map")
    back = load(tmp_path / "map")
    assert type(back) is OnMeans
    assert torch.equal(back.apply(A, z, strength=0.7), before.apply(A, z, strength=0.7))


def test_on_means_of_a_site_without_a_map_is_refused(tmp_path: Path) -> None:
    save(OnMeans(_affine(), sites=[Site("elsewhere")]), tmp_path / "map")
    with pytest.raises(Refused, match="parts do not match"):
        load(tmp_path / "map")


def test_outside_its_support_a_map_changes_nothing() -> None:
    z = torch.tensor([[[-0.5], [0.5], [1.5]]])
    change = Affine(
        {A: torch.full((1,), 2.0)},
        {A: torch.ones(1)},
        low={A: torch.zeros(1)},
        high={A: torch.ones(1)},
    )
    torch.testing.assert_close(
        change.apply(A, z, strength=1.0), torch.tensor([[[-0.5], [2.0], [1.5]]])
    )


METADATA = [
    None,
    {},
    {"kind": "htbench.intervention:Affine"},
    {"kind": "htbench.intervention:Rewrite", "settings": "{}"},
    {"kind": "htbench.intervention:Nothing", "settings": "{}"},
    {"kind": "htbench.nowhere:Affine", "settings": "{}"},
    {"kind": "pathlib:Path", "settings": "{}"},
    {"kind": "", "settings": "{}"},
    {"kind": "affine", "settings": "{"},
    {"kind": "htbench.intervention:Affine", "settings": "{"},
]


@pytest.mark.parametrize("metadata", METADATA)
def test_a_file_that_names_no_intervention_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"none": torch.zeros(0)}, tmp_path / "map", metadata=metadata)
    with pytest.raises(Refused):
        load(tmp_path / "map")


def test_a_file_of_an_unknown_kind_is_refused_by_name_and_imports_nothing(tmp_path: Path) -> None:
    save(Rewrite(more="", less=""), tmp_path / "map")
    tensors, metadata = (
        load_file(tmp_path / "map"),
        {"kind": "antigravity:Affine", "settings": "{}", "sites": "[]"},
    )
    save_file(
        tensors, tmp_path / "map", metadata={**metadata, "digest": _digest(tensors, metadata)}
    )
    with pytest.raises(Refused, match="no intervention 'antigravity:Affine' among"):
        load(tmp_path / "map")
    assert "antigravity" not in sys.modules


def test_kinds_that_there_are_stand_beside_an_unknown_one() -> None:
    with pytest.raises(ValueError, match="no intervention 'affin' among") as error:
        class_of("affin")
    for name in ("affine", "interpolate", "low-rank", "none", "on-means", "rewrite"):
        assert f" {name}" in str(error.value)


@pytest.mark.parametrize(
    "change", [Intervention(), Rewrite(more="a", less="b"), Interpolate(template="a")]
)
def test_a_file_names_no_module(change: Intervention, tmp_path: Path) -> None:
    save(change, tmp_path / "map")
    assert b"htbench" not in (tmp_path / "map").read_bytes()


def test_a_map_without_its_shift_is_refused(tmp_path: Path) -> None:
    save_file(
        {"scale/a": torch.ones(2)},
        tmp_path / "map",
        metadata={"kind": "htbench.intervention:Affine", "settings": "{}"},
    )
    with pytest.raises(Refused):
        load(tmp_path / "map")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        load(tmp_path / "map")


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ('{"more": 3, "less": "x"}', None),
        ('{"more": "a", "less": "b", "os": "c"}', None),
        ("[" * 100_000, None),
        ('{"more": "a", "less": "b"}', '{"model": "toy", "revision": "x", "seconds": NaN}'),
        ('{"more": "a", "less": "b"}', '{"model": "toy", "module": "os"}'),
    ],
)
def test_a_file_with_a_bad_record_is_refused_in_one_line(
    settings: str, origin: str | None, tmp_path: Path
) -> None:
    tensors = {"none": torch.zeros(0)}
    metadata = {"kind": "rewrite", "settings": settings, "sites": "[]"}
    metadata |= {"origin": origin} if origin else {}
    digest = intervention._digest(tensors, metadata)
    save_file(tensors, tmp_path / "map", metadata={**metadata, "digest": digest})
    with pytest.raises(Refused) as caught:
        intervention.load(tmp_path / "map")
    assert "\n" not in str(caught.value)
