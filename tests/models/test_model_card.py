"""Model cards: what they may say, what they refuse, and what a model of a card is."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.commands import htbench, imports_torch

from htbench.core import registry
from htbench.core.errors import HtbenchError, Missing, UsageError
from htbench.models.model_card import PIPELINES, CardGenerator, load_card, read_card
from htbench.run import plan as plans
from htbench.run.plan import RunOptions
from htbench.run.run_folder import find_folder
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request

PIPELINE = """\
name = "mine"
pipeline = "PixArtSigmaPipeline"
repository = "someone/their-model"
revision = "0123456789012345678901234567890123456789"
timesteps = [400]
dtype = "float32"
size = 64
concept_encoder = "emoji-clip-a"
scorer = "emoji-clip-b"
"""
CLASS = """\
name = "own"
model = "own_model:load"
concept_encoder = "emoji-clip-b"
[settings]
shade = 3
"""
CODE = """\
from htbench.models.emoji.model import EmojiModel


def load(device: str, *, shade: int = 0, note: str = "") -> EmojiModel:
    return EmojiModel(device)


def nothing(device: str) -> object:
    return object()
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """A card of a class, with its code beside it; the module is forgotten afterwards."""
    paths = list(sys.path)
    (tmp_path / "own_model.py").write_text(CODE)
    yield write(tmp_path, CLASS, "own.toml")
    sys.path[:] = paths
    sys.modules.pop("own_model", None)


def generator(path: str) -> CardGenerator:
    made = load_card(path)
    assert isinstance(made, CardGenerator)
    return made


def test_a_card_of_a_pipeline_is_a_generator(tmp_path: Path) -> None:
    made = generator(write(tmp_path, PIPELINE))
    assert (made.name, made.family, made.timesteps) == ("mine", "pixart-sigma", (400,))
    assert made.base.commit == "0123456789012345678901234567890123456789"
    assert "text_encoder/*.safetensors" in made.base.files
    assert made.denoiser.files[0] == "transformer/*.safetensors"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_each_pipeline_is_of_a_family_with_a_tiny_twin(pipeline: str, tmp_path: Path) -> None:
    text = PIPELINE.replace("timesteps = [400]", "steps = 2")
    made = generator(write(tmp_path, text.replace("PixArtSigmaPipeline", pipeline)))
    model = made("meta", weights="tiny")
    assert (len(list(model.timesteps)), model.size) == (2, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("size =", "sizes ="), "no field of the model card .* 'sizes'; did you mean 'size'"),
        (('pipeline = "PixArtSigma', 'pipeline = "PixArtSigna'), "did you mean 'PixArtSigmaP"),
        (("size = 64", "size = 60"), "size: Input should be a multiple of 16"),
        (("timesteps = [400]", "timesteps = [1, 2]"), "timesteps fall from noise to the image"),
        (("timesteps = [400]", ""), "either timesteps or steps"),
        (('repository = "someone/their-model"', ""), "either a repository or a folder"),
        (("size = 64", "guidance = 0.5"), "guidance from 0 to 1 is none"),
        (("size = 64", 'negative_prompt = "x"'), "no effect without guidance"),
        (('name = "mine"', 'name = "emoji"'), "has the name of an installed model, 'emoji'"),
        (('name = "mine"', 'name = "../x"'), "name: String should match pattern"),
        (('scorer = "emoji-clip-b"', 'scorer = "emoji-clip-c"'), "did you mean 'emoji-clip-"),
        (("PixArtSigmaPipeline", "SanaSprintPipeline"), "times of SANA-Sprint are angles"),
        (('scorer = "', 'model = "a:B"\nscorer = "'), "either a pipeline or a model"),
    ],
)
def test_what_a_card_cannot_say_is_one_clear_line(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load_card(write(tmp_path, PIPELINE.replace(*change)))


def test_a_card_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no card file"):
        registry.check("models", str(tmp_path / "none.toml"))


def test_words_for_readers_are_no_part_of_the_digest_and_all_else_is(tmp_path: Path) -> None:
    digests = {
        text: read_card(write(tmp_path, text)).digest(tmp_path)
        for text in (
            PIPELINE,
            PIPELINE + 'summary = "Mine."\nlicence = "MIT"\n',
            PIPELINE.replace("[400]", "[399]"),
            PIPELINE + 'sites = "mlp"\n',
        )
    }
    same, words, *others = digests.values()
    assert same == words
    assert len({same, *others}) == 3


def test_the_content_of_a_card_is_part_of_the_revision(tmp_path: Path, own_cache: None) -> None:
    texts = [PIPELINE, PIPELINE.replace("[400]", "[400, 200]"), PIPELINE + "guidance = 3.0\n"]
    revisions = [generator(write(tmp_path, text)).sketch(weights="tiny").revision for text in texts]
    assert len(set(revisions)) == 3


def test_a_model_of_a_card_makes_images_of_its_size(tmp_path: Path, own_cache: None) -> None:
    path = write(tmp_path, PIPELINE.replace("timesteps = [400]", "steps = 2\nguidance = 3"))
    model = registry.load_model(path, "cpu", {"weights": "tiny"})
    request = Request(prompt="a cat", seed=1, intervention=Intervention(), strength=0.0)
    assert (model.name, model.generate([request])[0].size) == ("mine", (64, 64))
    assert model.facts()["guidance"] == "3"


def test_sites_of_a_card_are_a_pattern_that_an_option_replaces(
    tmp_path: Path, own_cache: None
) -> None:
    path = write(tmp_path, PIPELINE + 'sites = "*.ff"\n')
    for options, ending in (({}, "ff"), ({"sites": "attention"}, ("attn1", "attn2"))):
        sites = generator(path).sketch(weights="tiny", **options).sites
        assert sites
        assert all(site.endswith(ending) for site in sites)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('scheduler = "EulerDiscretScheduler"\n', "did you mean 'EulerDiscreteScheduler'"),
        (
            'scheduler = "EulerDiscreteScheduler"\nscheduler_settings = {timestep_spacin = "x"}\n',
            "no setting of EulerDiscreteScheduler 'timestep_spacin'; did you mean 'timestep_spac",
        ),
        ('scheduler = "PNDMScheduler"\n', "PNDMScheduler of mine cannot have its timesteps"),
        ('sites = "blocks.*.atn"\n', "no site of mine"),
    ],
)
def test_what_only_diffusers_can_tell_is_refused_when_the_model_is_made(
    more: str, message: str, tmp_path: Path, own_cache: None
) -> None:
    with pytest.raises(HtbenchError, match=message):
        generator(write(tmp_path, PIPELINE + more)).sketch(weights="tiny")


def test_a_folder_is_found_from_its_card_and_its_architecture_is_shown(
    folders: dict[str, Path], tmp_path: Path, own_cache: None
) -> None:
    (tmp_path / "saved").symlink_to(folders["pixart-sigma"])
    text = PIPELINE.replace('repository = "someone/their-model"', 'folder = "saved"')
    made = generator(write(tmp_path, text))
    assert made.missing() == []
    channels = {info.channels for info in made.sketch().sites.values()}
    assert channels == {16}


def test_a_folder_that_is_not_there_is_missing(tmp_path: Path) -> None:
    text = PIPELINE.replace('repository = "someone/their-model"', 'folder = "saved"')
    made = generator(write(tmp_path, text))
    assert made.missing() == [str(tmp_path / "saved")]
    with pytest.raises(Missing):
        made("cpu")


def test_a_class_beside_its_card_is_a_model_with_the_words_of_the_card(own: str) -> None:
    model = registry.load_model(own, "cpu")
    assert (model.name, model.concept_encoder, model.scorer) == (
        *("own", "emoji-clip-b", "emoji-clip-b"),
    )
    assert model.revision != registry.load_model("emoji", "cpu").revision


def test_the_revision_of_a_class_changes_with_its_settings_and_its_code(own: str) -> None:
    before = registry.load_model(own, "cpu").revision
    optioned = registry.load_model(own, "cpu", {"shade": "4"}).revision
    card = Path(own)
    card.write_text(card.read_text().replace("shade = 3", "shade = 4"))
    reset = registry.load_model(own, "cpu").revision
    with card.with_name("own_model.py").open("a") as code:
        code.write("# changed\n")
    assert len({before, optioned, reset, registry.load_model(own, "cpu").revision}) == 4


def test_reading_a_card_executes_nothing(own: str) -> None:
    registry.check("models", own)
    assert registry.describe("models", own).about == "own_model:load, by its card."
    assert "own_model" not in sys.modules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("shade = 3", "shadow = 3"),
            "no setting of own_model:load 'shadow'; did you mean 'shade'",
        ),
        (("shade = 3", 'shade = "dark"'), "setting 'shade' of own: .*valid integer.*, not 'dark'"),
        ((":load", ":lod"), "no class of own_model 'lod'; did you mean 'load'"),
        (("own_model:load", "nowhere_at_all:load"), "'nowhere_at_all:load' of card 'own' cannot"),
        (("own_model:load", "emojy"), "no model 'emojy'; did you mean 'emoji'"),
        ((":load", ":nothing"), "no setting of own_model:nothing 'shade'"),
    ],
)
def test_what_is_wrong_with_a_class_is_one_clear_line(
    change: tuple[str, str], message: str, own: str
) -> None:
    path = Path(own)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(HtbenchError, match=message):
        registry.load_model(own, "cpu")


def test_a_class_that_is_not_a_model_is_refused_with_what_it_lacks(own: str) -> None:
    Path(own).write_text('name = "own"\nmodel = "own_model:nothing"\n')
    with pytest.raises(UsageError, match="is not a model: it has no 'revision' and no 'sites'"):
        registry.load_model(own, "cpu")


def test_an_installed_model_can_have_a_card_too(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "again"\nmodel = "emoji"\n')
    assert registry.load_model(path, "cpu").name == "again"


def test_a_run_of_a_card_has_a_folder_by_the_name_on_it(tmp_path: Path) -> None:
    plan = plans.build({"model": write(tmp_path, PIPELINE)})
    place = find_folder(plan, RunOptions(runs=str(tmp_path)), given=None)
    assert place.folder.name.startswith("mine-")


def test_cards_in_models_are_listed_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    write(tmp_path / "models", PIPELINE + 'summary = "A model of mine."\n')
    write(tmp_path / "models", "name = 1", "odd.toml")
    monkeypatch.chdir(tmp_path)
    answer = htbench("list", "models", cwd=tmp_path)
    assert "A model of mine." in answer.stdout
    assert "models/odd.toml" in answer.stdout
    assert not imports_torch("list", "models")
