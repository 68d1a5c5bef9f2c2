"""Plans: refusals, precedence, and cells that share an image."""

from dataclasses import replace
from pathlib import Path

import pytest

from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import Digest
from htbench.run import plan
from htbench.run.plan import Cell, Plan, build, cells, comparable, image_key, image_seed, resolve
from htbench.steering import baseline
from htbench.steering.concept import Concept

PROMPTS = ("a cat", "a dog", "a bird")


def _cell(concept: Concept, strength: float = 1.0, method: str = "act") -> Cell:
    return Cell(
        method=method, concept=concept, prompt="a cat", seed=7, strength=strength, said=concept
    )


def _key(cell: Cell, model: str = "m", learnt: str = "l", batch: int = 16) -> Digest:
    return image_key(cell, model=Digest(model), method_digest=Digest(learnt), batch=batch)


def test_no_layers_make_the_plan_of_defaults() -> None:
    assert build() == build({}) == Plan()


def test_later_layers_win() -> None:
    built = build({"seeds": 2, "prompts": 3}, {"seeds": 5})
    assert (built.seeds, built.prompts) == (5, 3)


def test_none_leaves_a_setting_alone() -> None:
    assert build({"seeds": 2}, {"seeds": None}).seeds == 2


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no plan setting 'strenghts'; did you mean 'strengths'"):
        build({"strenghts": [1.0]})


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -float("inf"), 10.5, "strong"])
def test_a_strength_that_makes_no_sense_is_refused(strength: float | str) -> None:
    with pytest.raises(UsageError, match=r"plan setting 'strengths\.1'"):
        build({"strengths": [0.0, strength]})


BAD = [
    ("seeds", 0),
    ("prompts", 0),
    ("batch", 0),
    ("limit", 0),
    ("seed", -1),
    ("methods", []),
    ("strengths", []),
    ("seeds", "many"),
    ("seeds", 1.5),
    ("methods", "act"),
]


@pytest.mark.parametrize(("setting", "value"), BAD)
def test_a_value_that_makes_no_sense_is_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"plan setting '{setting}'"):
        build({setting: value})


def test_the_number_of_dev_concepts_makes_another_plan_only_where_strengths_are_chosen() -> None:
    """Version 0.1.0 stored 8 where none was given."""
    same, other = (
        [
            comparable(build({"tune_strength": tunes, **more}).model_dump(mode="json"))
            for more in ({}, {"tune_concepts": 8})
        ]
        for tunes in (False, True)
    )
    assert same[0] == same[1] != other[0] != other[1]


def test_strengths_are_sorted_and_unique() -> None:
    assert build({"strengths": [1, 0.5, 1.0, -1, 0]}).strengths == (-1.0, 0.0, 0.5, 1.0)


def test_methods_are_unique_and_keep_their_order() -> None:
    assert build({"methods": ["none", "prompt", "act", "prompt"]}).methods == (
        "none",
        "prompt",
        "act",
    )


def test_equal_plans_give_equal_cells(lemon: Concept) -> None:
    assert list(cells(build(), [lemon], PROMPTS * 2)) == list(cells(build(), [lemon], PROMPTS * 2))


def test_a_method_given_by_path_is_known_by_the_name_on_its_card(tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text('name = "mine"\nmethod = "none"\nsummary = "For tests."\n')
    resolved = resolve(build({"methods": ["none", str(card)]}))
    assert resolved.given_names == {"none": "none", "mine": str(card)}
    assert resolved.cards["mine"] == baseline.load_card(str(card))


def test_two_methods_of_one_name_are_refused(tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text('name = "none"\nmethod = "none"\nsummary = "For tests."\n')
    with pytest.raises(UsageError, match="two methods are called 'none'"):
        resolve(build({"methods": ["none", str(card)]}))


def test_the_grid_is_methods_by_concepts_by_prompts_by_seeds_by_strengths(lemon: Concept) -> None:
    lime = replace(lemon, id="companion/lime")
    grid = list(
        cells(
            build({"methods": ["none", "act"], "prompts": 3, "seeds": 2, "strengths": [0, 0.5, 1]}),
            [lemon, lime],
            PROMPTS,
        )
    )
    assert len(grid) == len(set(map(str, grid))) == 2 * 3 * 2 * (1 + 3)


def test_the_unsteered_cells_come_first(lemon: Concept) -> None:
    grid = list(cells(build({"methods": ["act", "none"], "prompts": 1}), [lemon], PROMPTS))
    assert [cell.method for cell in grid] == ["none", "act", "act", "act"]


def test_the_method_none_has_strength_0_alone(lemon: Concept) -> None:
    grid = cells(build({"methods": ["none", "act"], "strengths": [0.5, 1]}), [lemon], PROMPTS * 2)
    assert {cell.strength for cell in grid if cell.method == "none"} == {0.0}


def test_image_seeds_do_not_depend_on_method_concept_or_strength(lemon: Concept) -> None:
    wide = build({"methods": ["none", "a", "b"], "prompts": 3, "seeds": 2, "strengths": [0, 1]})
    assert (
        len(
            {
                cell.seed
                for cell in cells(wide, [lemon, replace(lemon, id="companion/lime")], PROMPTS)
            }
        )
        == 3 * 2
    )


def test_image_seeds_do_not_depend_on_how_many_there_are(lemon: Concept) -> None:
    few, many = (
        list(cells(build({"methods": ["none"], "prompts": 1, "seeds": seeds}), [lemon], PROMPTS))
        for seeds in (2, 5)
    )
    assert [cell.seed for cell in few] == [cell.seed for cell in many][:2]


def test_an_image_seed_is_a_number_that_torch_takes() -> None:
    seeds = [image_seed(f"prompt {k}", k) for k in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_image_seed_stays_what_it_was() -> None:
    assert image_seed("a cat", 0) == 7949753104828290824


def test_unsteered_cells_share_one_image_across_methods_and_concepts(lemon: Concept) -> None:
    lime = replace(lemon, id="companion/lime")
    assert (
        _key(_cell(lemon, 0.0, "none"), learnt="x")
        == _key(_cell(lime, 0.0, "act"), learnt="y")
        == _key(_cell(lemon, -0.0))
    )


def test_equal_cells_have_equal_keys(lemon: Concept) -> None:
    assert _key(_cell(lemon)) == _key(_cell(replace(lemon)))


@pytest.mark.parametrize(
    "change",
    [{"prompt": "a dog"}, {"seed": 8}, {"strength": 0.5}, {"strength": -1.0}, {"strength": 0.0}],
)
def test_any_other_request_has_another_key(lemon: Concept, change: dict[str, object]) -> None:
    assert _key(replace(_cell(lemon), **change)) != _key(_cell(lemon))


@pytest.mark.parametrize("change", [{"model": "n"}, {"learnt": "k"}, {"batch": 8}])
def test_any_other_condition_has_another_key(lemon: Concept, change: dict[str, object]) -> None:
    assert _key(_cell(lemon), **change) != _key(_cell(lemon))


@pytest.mark.parametrize(
    "change", [{"id": "x"}, {"text": "x"}, {"template": "{prompt} x"}, {"sources": ("x",)}]
)
def test_any_other_concept_has_another_key(lemon: Concept, change: dict[str, object]) -> None:
    assert _key(_cell(replace(lemon, **change))) != _key(_cell(lemon))


@pytest.mark.parametrize("change", [{"model": "n"}, {"batch": 8}])
def test_an_unsteered_image_depends_on_the_model_and_the_batch(
    lemon: Concept, change: dict[str, object]
) -> None:
    assert _key(_cell(lemon, 0.0), **change) != _key(_cell(lemon, 0.0))


def test_shipped_plans_are_found_by_name(own_content: Path) -> None:
    (own_content / "reports" / "plans" / "small.toml").write_text("seeds = 3\nstrengths = [0, 1]\n")
    assert plan.names() == ["small"]
    assert build(plan.read("small")).seeds == 3


def test_a_plan_may_be_any_toml_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seeds = 4\n")
    assert plan.read(str(tmp_path / "mine.toml")) == {"seeds": 4}


def test_an_unknown_plan_names_the_nearest(own_content: Path) -> None:
    (own_content / "reports" / "plans" / "small.toml").touch()
    with pytest.raises(UnknownName, match="no plan 'smal'; did you mean 'small'"):
        plan.read("smal")


def test_a_plan_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plan file"):
        plan.read(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("text", [b"seeds = ", b"\xff"])
def test_a_plan_that_is_not_toml_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(text)
    with pytest.raises(UsageError, match=r"is no TOML|is not UTF-8"):
        plan.read(str(tmp_path / "mine.toml"))


def test_the_plan_of_defaults_names_things_that_exist() -> None:
    resolved = resolve(build())
    assert resolved.concepts == resolved.concept_set.splits["test"]


def test_a_limit_takes_the_first_concepts() -> None:
    resolved = resolve(build({"limit": 3}))
    assert resolved.concepts == resolved.concept_set.splits["test"][:3]


def test_other_settings_of_a_resolved_plan_are_those_resolved_anew() -> None:
    dev = build({"concepts": "dev", "limit": 2})
    assert resolve(build()).with_settings(dev) == resolve(dev)


def test_other_settings_of_a_resolved_plan_are_checked() -> None:
    with pytest.raises(UsageError, match="1000 prompts wanted, the concept set has"):
        resolve(build()).with_settings(build({"prompts": 1000}))


@pytest.mark.parametrize(("strength", "is_steered"), [(0.0, False), (-0.0, False), (-0.5, True)])
def test_a_cell_is_steered_unless_its_strength_is_0(
    lemon: Concept, strength: float, is_steered: bool
) -> None:
    assert _cell(lemon, strength).is_steered == is_steered


def test_more_prompts_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match="1000 prompts wanted, the concept set has"):
        resolve(build({"prompts": 1000}))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model", "emojy"),
        ("methods", ["lineaz"]),
        ("concept_set", "emojy"),
        ("concepts", "tset"),
        ("scorers", ["emoji-clip-c"]),
    ],
)
def test_a_plan_that_names_nothing_real_is_refused(setting: str, value: object) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        resolve(build({setting: value}))


def test_the_whole_benchmark_runs_every_shipped_method_on_every_held_out_concept() -> None:
    whole = build(plan.read("emoji-full"))
    assert set(whole.methods) == baseline.cards().keys()
    assert len(resolve(whole).concepts) == 167


@pytest.mark.parametrize("name", ["dmd2", "nitro"])
def test_shipped_plans_of_published_models_make_sense(name: str) -> None:
    assert resolve(build(plan.read(name))).concepts


def test_more_cells_than_a_run_holds_are_refused() -> None:
    with pytest.raises(UsageError, match="one run holds at most"):
        resolve(build({"seeds": 10_000}))
