"""The judge `clip`: the nearer picture wins, and methods that use its encoder are not ranked."""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run
from kit.toy_plugin import ToyEncoder
from PIL import Image

from htbench.core.errors import Missing, Refused, UnknownName, UsageError
from htbench.judging import card as judge_cards
from htbench.judging.card import PictureSettings
from htbench.judging.judge import JudgeContext
from htbench.judging.judges.clip import Clip
from htbench.judging.pictures import PictureLoader, standardise
from htbench.run.store import Store

CARD = judge_cards.load_judge_card("clip").with_model("toy-clip")


def test_the_preference_is_the_softmax_of_the_encoders_cosines(
    toy_plugins: Path, tmp_path: Path
) -> None:
    run = judged_run.build(tmp_path / "run", methods=("poor", "good"), concepts=3)
    found = judged_run.judged(run, CARD).criteria[0]
    with Store.read(run) as store:
        files = {(row.method, row.concept): run / "images" / str(row.file) for row in store.rows()}
    eyes = ToyEncoder("cpu")
    for (one, two, concept, _, _), preference in found.preferences.items():
        words = eyes.texts([f"in {concept.partition('/')[2]}"])[0]
        first, second = (
            float(eyes.images([Image.open(files[method, concept])])[0] @ words)
            for method in (one, two)
        )
        assert preference == pytest.approx(
            1 / (1 + math.exp(eyes.scale * (second - first))), abs=1e-6
        )


def test_it_has_no_liking_for_a_slot(toy_plugins: Path, tmp_path: Path) -> None:
    audit = (
        judged_run.judged(judged_run.build(tmp_path / "run", concepts=4), CARD, controls=5)
        .criteria[0]
        .audit
    )
    assert (audit.consistent.value, audit.stable.value, audit.identical.count) == (1.0, 1.0, 0)


def test_a_method_that_reads_with_the_judges_encoder_is_listed_and_not_ranked(
    toy_plugins: Path, tmp_path: Path
) -> None:
    found = judged_run.judged(
        judged_run.build(tmp_path / "run", concepts=4, reads="toy-clip"), CARD
    )
    assert found.metadata["circular"] == ["shy"]
    ranking = found.criteria[0].ranking
    assert ranking
    assert "shy" not in ranking.rating.names
    assert 0 <= found.criteria[0].circular["shy"] <= 1


def test_it_is_labelled_as_what_it_is() -> None:
    assert CARD.label.startswith("Not a vision-language model")


def test_its_verdicts_are_read_without_its_encoder() -> None:
    judge = Clip(CARD.model_copy(update={"model": ""}), JudgeContext(scorer="emoji-clip-b@1"))
    said = judge.read('{"encoder": "e@1", "scale": 100, "cosines": [0.30, 0.29], "tie": 0.02}')
    assert (said.choice, said.preference) == ("A", pytest.approx(1 / (1 + math.exp(-1))))
    assert judge.read("{}").outcome == "unusable"


def test_an_encoder_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'emoji-clip-b'"):
        Clip(CARD.model_copy(update={"model": "emoji-clip-d"}), JudgeContext())


def test_a_run_that_another_version_of_the_encoder_scored_is_not_judged(
    toy_plugins: Path, tmp_path: Path
) -> None:
    run = judged_run.build(tmp_path / "run", concepts=3)
    with Store.open(run) as store:
        store.set_facts(scorer={"name": "toy-clip", "id": "toy-clip@older"})
    with pytest.raises(Refused, match="was scored by toy-clip@older"):
        judged_run.judged(run, CARD)


def test_a_setting_that_it_does_not_have_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="settings of judge 'clip'"):
        Clip(
            CARD.model_copy(update={"settings": {"ties": 1}, "model": "emoji-clip-b"}),
            JudgeContext(),
        )


@pytest.mark.parametrize("name", judge_cards.judge_names())
def test_every_shipped_judge_has_a_rubric_for_each_of_its_criteria(name: str) -> None:
    card = judge_cards.load_judge_card(name)
    assert card.name == name
    assert all(
        card.render_rubric(criterion, concept="with lemon", prompt="a cat")
        for criterion in card.criteria
    )


def test_an_unknown_judge_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'clip'"):
        judge_cards.load_judge_card("clipp")


def test_a_folder_without_a_card_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no judge in"):
        judge_cards.load_judge_card(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("card.toml", "nonsense = 1", "card that is not valid"),
        ("presence.jinja", "{{ method }}", "rubric 'presence' .* is not valid"),
        (
            "reply.json",
            '{"properties": {"verdict": {"enum": ["yes", "no"]}}}',
            "must have a property 'verdict'",
        ),
    ],
)
def test_a_judge_that_makes_no_sense_is_one_clear_line(
    file: str, text: str, why: str, tmp_path: Path
) -> None:
    judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1")
    (tmp_path / "judge" / file).write_text(text)
    with pytest.raises(UsageError, match=why):
        judge_cards.load_judge_card(str(tmp_path / "judge"))


def test_a_judges_digest_changes_with_its_rubric_and_not_with_its_endpoint(tmp_path: Path) -> None:
    before = judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1").digest
    assert judged_run.card(tmp_path / "judge", "http://127.0.0.1:8/v1").digest == before
    (tmp_path / "judge" / "presence.jinja").write_text("Which?")
    assert before != judge_cards.load_judge_card(str(tmp_path / "judge")).digest


def test_pictures_are_made_equal() -> None:
    tall = Image.new("RGBA", (20, 40), (255, 0, 0, 0))
    found = standardise(tall, PictureSettings(size=16))
    assert (found.mode, found.size, found.getpixel((8, 8)), found.info) == (
        "RGB",
        (16, 16),
        (255, 255, 255),
        {},
    )


def test_nothing_but_pixels_is_left_of_a_picture(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("method", "hypertransport")
    run = judged_run.build(tmp_path / "run", methods=("poor", "good"), concepts=1)
    with Store.open(run) as store:
        from htbench.run.store import GeneratedImage

        file = BytesIO()
        Image.new("RGB", (8, 8), "red").save(file, "PNG", pnginfo=note)
        picture = GeneratedImage(key=store.rows()[0].image, png=file.getvalue())
        store.add_images([picture], seconds=0.1, batch=1)
    for how in (PictureSettings(size=8, format="png"), PictureSettings(size=8)):
        shown = PictureLoader(run / "images", how).load(picture.file)
        assert b"hypertransport" not in shown.data
        assert not Image.open(BytesIO(shown.data)).info.keys() & {"method", "exif"}


def _link_out(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _link_to_a_file_outside(path: Path) -> None:
    (path.parents[2] / "outside.png").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(path.parents[2] / "outside.png")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        _link_out,
        _link_to_a_file_outside,
        _folder,
        Path.unlink,
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0"),
    ],
)
def test_a_file_of_the_run_that_is_no_picture_is_refused_in_one_line(
    spoil: Any, tmp_path: Path
) -> None:
    run = judged_run.build(tmp_path / "run", methods=("poor", "good"), concepts=1)
    path = next((run / "images").iterdir())
    spoil(path)
    with pytest.raises(Refused, match=r"cannot be read|is damaged") as caught:
        PictureLoader(run / "images", PictureSettings()).load(path.name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../run.sqlite", "/etc/hostname", "noise:../../x", "x" * 5000])
def test_a_name_that_leads_out_of_the_folder_of_images_is_refused(
    name: str, tmp_path: Path
) -> None:
    run = judged_run.build(tmp_path / "run", methods=("poor", "good"), concepts=1)
    with pytest.raises(Refused, match="cannot be read"):
        PictureLoader(run / "images", PictureSettings()).load(name)
