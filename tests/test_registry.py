"""Plug-ins by entry point and the cards that set them up."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from htbench import registry
from htbench.errors import Missing, UnknownName, UsageError
from htbench.registry import Card

CARD = 'name = "tame"\nmethod = "test_registry:Tame"\nsummary = "For tests."\n[settings]\nsteps = 5\n'


@dataclass(frozen=True, kw_only=True)
class Tame:
    """A method's settings, without the method."""

    steps: int = 3
    rate: float = 1e-3


def _card(**changes: object) -> Card:
    return Card.model_validate({"name": "tame", "method": "test_registry:Tame", "summary": "For tests.", **changes})


def test_a_card_sets_its_method_up() -> None:
    assert registry.method(_card(settings={"steps": 7})) == Tame(steps=7)


def test_a_setting_that_the_method_does_not_have_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no setting of test_registry:Tame 'step'; did you mean 'steps'"):
        registry.method(_card(settings={"step": 7}))


@pytest.mark.parametrize("method", ["test_registry:Wild", "nowhere_at_all:Tame"])
def test_a_class_that_cannot_be_loaded_is_missing(method: str) -> None:
    with pytest.raises(Missing, match="card 'tame' names"):
        registry.method(_card(method=method))


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no method 'lineaz'; did you mean 'lineas'"):
        registry.method(_card(method="lineaz"))


def test_an_unknown_plug_in_names_the_nearest_and_the_command_that_lists_them() -> None:
    with pytest.raises(UnknownName, match="no model 'emojy'; did you mean 'emoji'") as caught:
        registry.load("models", "emojy")
    assert caught.value.remedy == "See: htbench list models"


def test_shipped_cards_are_found_by_name(own_content: Path) -> None:
    (own_content / "baselines" / "tame.toml").write_text(CARD)
    assert registry.cards() == {"tame": registry.card("tame")}
    assert registry.card("tame").settings == {"steps": 5}


def test_a_card_may_be_any_toml_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    assert registry.method(registry.card(str(tmp_path / "mine.toml"))) == Tame(steps=5)


def test_an_unknown_card_names_the_nearest(own_content: Path) -> None:
    (own_content / "baselines" / "tame.toml").write_text(CARD)
    with pytest.raises(UnknownName, match="no method 'tamed'; did you mean 'tame'"):
        registry.card("tamed")


def test_a_name_does_not_lead_out_of_the_folder(own_content: Path) -> None:
    (own_content / "tame.toml").write_text(CARD)
    with pytest.raises(UnknownName):
        registry.card("../tame")


def test_a_card_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no card file"):
        registry.card(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    "text", ["name = ", CARD.replace("summary", "sumary"), 'colour = "red"\n' + CARD, CARD.replace("5", "5\n[[published]]\nwhat = 'x'"), ""]
)
def test_a_card_that_is_not_valid_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match="is not valid") as caught:
        registry.card(str(tmp_path / "mine.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"method": "test_registry:Other"}, {"settings": {"steps": 7}}])
def test_the_digest_changes_with_what_decides_the_method(change: dict[str, object]) -> None:
    assert _card(**change).digest != _card().digest


@pytest.mark.parametrize("change", [{"name": "x"}, {"summary": "x"}, {"bibtex": "x"}])
def test_the_digest_does_not_change_with_words_about_it(change: dict[str, object]) -> None:
    assert _card(**change).digest == _card().digest


def test_the_digest_does_not_depend_on_the_order_of_settings() -> None:
    assert _card(settings={"steps": 1, "rate": 2}).digest == _card(settings={"rate": 2, "steps": 1}).digest
