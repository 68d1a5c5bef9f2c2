"""Plug-ins by entry point, and the cards that configure them."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from htbench.core import registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.steering import baseline
from htbench.steering.baseline import Card

CARD = """\
name = "tame"
method = "tests.steering.test_baseline:Tame"
summary = "For tests."
[settings]
steps = 5
"""


@dataclass(frozen=True, kw_only=True)
class Tame:
    """A method's settings, without what it does."""

    steps: int = 3
    rate: float = 1e-3
    sites: tuple[str, ...] = ("*",)

    def train(self) -> None: ...
    def load(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Odd(Tame):
    """Has a setting that TOML has no word for."""

    when: pytest.Config | None = None


class Plain:
    """Has neither settings nor functions."""


def _card(**changes: object) -> Card:
    return Card.model_validate(
        {
            "name": "tame",
            "method": "tests.steering.test_baseline:Tame",
            "summary": "For tests.",
            **changes,
        }
    )


def test_a_card_sets_its_method_up() -> None:
    assert baseline.load_method(_card(settings={"steps": 7})) == Tame(steps=7)


def test_a_setting_that_the_method_does_not_have_names_the_nearest() -> None:
    with pytest.raises(
        UnknownName,
        match=r"no setting of tests.steering.test_baseline:Tame 'step'; did you mean 'steps'",
    ):
        baseline.load_method(_card(settings={"step": 7}))


@pytest.mark.parametrize(
    ("value", "wanted"), [("many", "valid integer"), ([1, 2], "valid integer")]
)
def test_a_setting_of_the_wrong_type_is_one_clear_line(value: object, wanted: str) -> None:
    with pytest.raises(UsageError, match=f"setting 'steps' of tame: .*{wanted}.*, not"):
        baseline.load_method(_card(settings={"steps": value}))


def test_a_setting_that_no_card_can_hold_is_one_clear_line() -> None:
    with pytest.raises(
        UsageError, match=r"settings of tests.steering.test_baseline:Odd must have plain types"
    ):
        baseline.load_method(_card(method="tests.steering.test_baseline:Odd"))


def test_a_list_in_a_card_sets_a_tuple() -> None:
    assert baseline.load_method(_card(settings={"sites": ["a", "b"]})) == Tame(sites=("a", "b"))


def test_a_module_that_cannot_be_imported_is_missing() -> None:
    with pytest.raises(Missing, match="'nowhere_at_all:Tame' of card 'tame' cannot be imported"):
        baseline.load_method(_card(method="nowhere_at_all:Tame"))


def test_a_class_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=f"no class of {__name__} 'Tam'; did you mean 'Tame'"):
        baseline.load_method(_card(method="tests.steering.test_baseline:Tam"))


@pytest.mark.parametrize(
    ("kind", "why"), [("Plain", "no 'train' and no 'load'"), ("CARD", "no 'train'")]
)
def test_a_class_that_is_not_a_method_is_refused_with_what_it_lacks(kind: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"is not a method: it has {why}"):
        baseline.load_method(_card(method=f"tests.steering.test_baseline:{kind}"))


@pytest.fixture
def own_card(tmp_path: Path) -> Iterator[Path]:
    """A card with its code beside it; modules that it brings in are forgotten afterwards."""
    before, paths = set(sys.modules), list(sys.path)
    (tmp_path / "own_steering.py").write_text(Path(__file__).read_text())
    (tmp_path / "own.toml").write_text(
        CARD.replace("tests.steering.test_baseline:", "own_steering:")
    )
    yield tmp_path / "own.toml"
    sys.path[:] = paths
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_method_may_lie_beside_its_card(own_card: Path) -> None:
    made = baseline.load_method(baseline.load_card(str(own_card)))
    assert (type(made).__module__, made.steps) == ("own_steering", 5)


def test_the_digest_changes_with_the_code_beside_the_card(own_card: Path) -> None:
    before = baseline.load_card(str(own_card)).digest
    with own_card.with_name("own_steering.py").open("a") as code:
        code.write("# changed\n")
    assert baseline.load_card(str(own_card)).digest != before


def test_code_beside_a_card_that_is_not_python_is_one_clear_line(own_card: Path) -> None:
    own_card.with_name("own_steering.py").write_text("class Tame(:")
    with pytest.raises(Missing, match=r"invalid syntax \(own_steering\.py, line 1\)"):
        baseline.load_method(baseline.load_card(str(own_card)))


def test_code_beside_a_card_does_not_take_the_place_of_another_module(own_card: Path) -> None:
    own_card.write_text(CARD.replace("tests.steering.test_baseline:", "json:"))
    own_card.with_name("json.py").write_text("")
    with pytest.raises(Missing, match=r"another module named 'json'; rename json\.py"):
        baseline.load_method(baseline.load_card(str(own_card)))


def test_an_installed_package_contributes_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_cards" / "cards").mkdir(parents=True)
    (tmp_path / "their_cards" / "cards" / "theirs.toml").write_text(CARD)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint(name="theirs", value="their_cards.cards", group="htbench.baselines")
    monkeypatch.setattr(registry, "plugins", lambda group: {"theirs": entry})
    assert baseline.load_card("theirs").settings == {"steps": 5}
    assert {"theirs", "mean-shift"} <= baseline.cards().keys()
    assert "their_cards" not in sys.modules


def test_a_package_that_takes_a_shipped_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_cards").mkdir()
    (tmp_path / "their_cards" / "lineas.toml").write_text(CARD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        registry,
        "plugins",
        lambda group: {"x": EntryPoint(name="x", value="their_cards", group="htbench.baselines")},
    )
    with pytest.raises(UsageError, match="two cards are named 'lineas'"):
        baseline.load_card("lineas")


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no method 'lineaz'; did you mean 'lineas'"):
        baseline.load_method(_card(method="lineaz"))


def test_an_unknown_plug_in_names_the_nearest_and_the_command_that_lists_them() -> None:
    with pytest.raises(UnknownName, match="no model 'emojy'; did you mean 'emoji'") as caught:
        registry.load("models", "emojy")
    assert caught.value.remedy == "See: htbench list models"


def test_shipped_cards_are_found_by_name(own_content: Path) -> None:
    (own_content / "baselines" / "tame.toml").write_text(CARD)
    assert baseline.cards() == {"tame": baseline.load_card("tame")}
    assert baseline.load_card("tame").settings == {"steps": 5}


def test_a_card_may_be_any_toml_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    assert baseline.load_method(baseline.load_card(str(tmp_path / "mine.toml"))) == Tame(steps=5)


def test_an_unknown_card_names_the_nearest(own_content: Path) -> None:
    (own_content / "baselines" / "tame.toml").write_text(CARD)
    with pytest.raises(UnknownName, match="no method 'tamed'; did you mean 'tame'"):
        baseline.load_card("tamed")


def test_a_name_does_not_lead_out_of_the_folder(own_content: Path) -> None:
    (own_content / "tame.toml").write_text(CARD)
    with pytest.raises(UnknownName):
        baseline.load_card("../tame")


def test_a_card_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no card file"):
        baseline.load_card(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    "text",
    [
        "name = ",
        CARD.replace("summary", "sumary"),
        'colour = "red"\n' + CARD,
        CARD.replace("5", "5\n[[published]]\nwhat = 'x'"),
        "",
    ],
)
def test_a_card_that_is_not_valid_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match="is not valid") as caught:
        baseline.load_card(str(tmp_path / "mine.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"method": "tests.steering.test_baseline:Other"}, {"settings": {"steps": 7}}]
)
def test_the_digest_changes_with_what_decides_the_method(change: dict[str, object]) -> None:
    assert _card(**change).digest != _card().digest


@pytest.mark.parametrize("change", [{"name": "x"}, {"summary": "x"}, {"bibtex": "x"}])
def test_the_digest_does_not_change_with_words_about_it(change: dict[str, object]) -> None:
    assert _card(**change).digest == _card().digest


def test_the_digest_does_not_depend_on_the_order_of_settings() -> None:
    assert (
        _card(settings={"steps": 1, "rate": 2}).digest
        == _card(settings={"rate": 2, "steps": 1}).digest
    )


@pytest.mark.parametrize(
    "settings",
    [
        "rate = nan",
        "steps = 2020-01-01",
        "sites = [2020-01-01]",
        f"steps = {'9' * 5000}",
        f"steps = {'9' * 30}",
        f"a = {'[' * 100}{']' * 100}",
    ],
)
def test_settings_that_no_method_can_have_are_one_line(settings: str, tmp_path: Path) -> None:
    text = f'name = "mine"\nmethod = "lineas"\nsummary = "x"\n[settings]\n{settings}\n'
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        baseline.load_card(str(tmp_path / "mine.toml"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
