"""What is shipped is there, whole, and fits together; run against the wheel, this is the test of what the wheel holds."""

import pytest

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
    _, concepts = plan.check(build(read(name)))
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
    assert [len(emoji.splits[split]) for split in SPLITS] == [447, 60, 167]


def test_every_kind_of_concept_is_held_out_and_trained_on() -> None:
    splits = concept.load("emoji").splits
    kinds = {split: {each.kind for each in concepts} for split, concepts in splits.items()}
    assert kinds["train"] == kinds["dev"] == kinds["test"]


def test_every_concept_can_be_put_in_other_words() -> None:
    emoji = concept.load("emoji")
    assert all(
        each.text in each.template and len(each.paraphrases) >= 4
        for split in SPLITS
        for each in emoji.splits[split]
    )


def test_every_concept_has_pictures() -> None:
    emoji = concept.load("emoji")
    assert all(len(each.references) == 4 for split in SPLITS for each in emoji.splits[split])


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
