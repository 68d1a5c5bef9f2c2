"""Shipped content is complete and fits together; run against the wheel, it tests the wheel."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from htbench.core import content, registry
from htbench.models.emoji.icons import WEIGHTS_FOLDER
from htbench.models.emoji.pretrained import recipe
from htbench.run import plan
from htbench.run.plan import build, read
from htbench.steering import baseline, concept
from htbench.steering.concept import SPLITS

STAGES = ["generator", "clip-a", "clip-b"]


@pytest.mark.parametrize("name", plan.names())
def test_every_shipped_plan_can_be_run(name: str) -> None:
    concepts = plan.resolve(build(read(name))).concepts
    assert concepts


@pytest.mark.parametrize("name", baseline.cards())
def test_every_card_sets_up_its_method(name: str) -> None:
    card = baseline.load_card(name)
    assert card.name == name
    assert baseline.load_method(card)
    assert all(path.is_file() for path in card.artifacts.values())


@pytest.mark.parametrize("group", ["models", "methods", "encoders", "judges"])
def test_every_plug_in_can_be_loaded(group: registry.Group) -> None:
    assert all(callable(registry.load(group, name)) for name in registry.plugins(group))


def test_the_emoji_set_holds_out_167_concepts() -> None:
    emoji = concept.load("emoji")
    assert [len(emoji.splits[split]) for split in SPLITS] == [600, 60, 167]


def test_every_kind_of_concept_is_held_out_and_trained_on() -> None:
    splits = concept.load("emoji").splits
    kinds = {split: {concept.kind for concept in concepts} for split, concepts in splits.items()}
    assert kinds["train"] == kinds["dev"] == kinds["test"]


def test_every_concept_can_be_put_in_other_words() -> None:
    emoji = concept.load("emoji")
    assert all(
        member.text in member.template and len(member.paraphrases) >= 2
        for split in SPLITS
        for member in emoji.splits[split]
    )


def test_every_concept_has_pictures() -> None:
    emoji = concept.load("emoji")
    members = [member for split in SPLITS for member in emoji.splits[split]]
    assert all(len(member.references) == 4 for member in members)


def test_a_reference_opens_as_a_picture() -> None:
    picture = concept.load("emoji").splits["test"][0].references[0].open()
    assert (picture.size, picture.mode) == ((64, 64), "RGB")


@pytest.mark.parametrize("stage", STAGES)
def test_weights_record_how_they_were_made(stage: str) -> None:
    assert {"steps", "batch", "seed", "seconds", "device"} <= recipe(stage).keys()


def test_the_two_clips_were_trained_on_other_data() -> None:
    assert recipe("clip-a")["seed"] != recipe("clip-b")["seed"]


def test_all_weights_together_stay_below_60_megabytes() -> None:
    files = [
        *WEIGHTS_FOLDER.glob("*.safetensors"),
        *content.folder("baselines").glob("*.safetensors"),
    ]
    assert sum(path.stat().st_size for path in files) < 60e6


class Fruit(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    size: int = 1


def test_a_card_is_read_with_defaults_for_what_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "lemon.toml").write_text("size = 3")
    card = content.read_card(tmp_path / "lemon.toml", Fruit, defaults={"name": "lemon", "size": 2})
    assert (card.name, card.size) == ("lemon", 3)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('name = "a"\nsize = "big"', "size: Input should be a valid integer.* not 'big'"),
        ('name = "a"\ncolour = "red"', "colour: Extra inputs are not permitted, not 'red'"),
        ("", "^name: Field required$"),
        ("name =", "it cannot be read: Invalid value"),
        ("\udcff", "it cannot be read: file .* is not UTF-8"),
    ],
)
def test_a_card_that_is_not_valid_is_told_in_one_line(
    text: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(content.InvalidCard, match=problem) as caught:
        content.read_card(tmp_path / "a.toml", Fruit)
    assert "\n" not in str(caught.value)


def test_a_card_that_is_not_there_is_no_invalid_card(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content.read_card(tmp_path / "a.toml", Fruit)


@pytest.mark.parametrize("data", ["früh", "früh".encode()])
def test_a_file_is_written_whole_and_nothing_stays_beside_it(
    data: bytes | str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("before")
    content.write_whole(tmp_path / "a.txt", data)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "früh"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def _write_half(path: Path) -> None:
    path.write_text("half")
    raise OSError("the disk is full")


def test_where_writing_fails_the_file_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(OSError, match="full"), content.replacing(tmp_path / "a.txt") as fresh:
        _write_half(fresh)
    assert (tmp_path / "a.txt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_of_several_writers_of_one_file_none_fails_and_one_wins_whole(tmp_path: Path) -> None:
    texts = [str(k) * 100_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: content.write_whole(tmp_path / "a.txt", text), texts * 5))
    assert (tmp_path / "a.txt").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
