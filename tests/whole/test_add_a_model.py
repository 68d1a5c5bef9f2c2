"""docs/add-a-model.md: its cards and its class work, and its tables of promises are complete."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from kit.shown_commands import ROOT, write_files

from htbench.core import registry
from htbench.core.promises import name
from htbench.judging import contracts as judge_contracts
from htbench.models.model_card import ModelCard, load_card
from htbench.steering import encoder_contracts, model_contracts
from htbench.steering.model_contracts import ModelCase

PAGE = ROOT / "docs" / "add-a-model.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """A folder with the files of the page; the modules in it are forgotten afterwards."""
    paths = list(sys.path)
    write_files(PAGE, tmp_path)
    yield tmp_path
    sys.path[:] = paths
    sys.modules.pop("squares", None)


def test_the_class_of_the_page_keeps_every_promise(files: Path) -> None:
    model = registry.load_model(str(files / "squares.toml"), "cpu")
    results = model_contracts.check(ModelCase(model=model, prompts=("panda", "two boats")))
    assert {each.promise: each.problem for each in results if each.problem} == {}
    assert (model.name, model.sites["network.2"].channels) == ("squares", 48)


def test_the_cards_of_the_page_are_read(files: Path) -> None:
    cards = {path.name: load_card(str(path)) for path in files.glob("*.toml")}
    assert sorted(cards) == ["dmd2-card.toml", "sdxl-30.toml", "squares.toml"]


def test_the_card_of_a_published_model_has_its_files_and_timesteps(files: Path) -> None:
    card, shipped = load_card(str(files / "dmd2-card.toml")), registry.load("models", "dmd2")
    for field in ("family", "denoiser", "scheduler", "timesteps", "dtype", "size", "reference"):
        assert getattr(card, field) == getattr(shipped, field), field
    assert (card.base.repository, card.base.revision) == (
        *(shipped.base.repository, shipped.base.revision),
    )


@pytest.mark.parametrize(
    ("noun", "promises"),
    [
        ("models", model_contracts.PROMISES),
        ("encoders", encoder_contracts.PROMISES),
        ("judges", judge_contracts.PROMISES),
    ],
)
def test_the_tables_of_promises_are_complete(
    noun: str, promises: Sequence[Callable[..., None]]
) -> None:
    (table,) = re.findall(rf"<!-- promises of {noun} -->\n((?:\|.*\n)+)", TEXT)
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [name(promise) for promise in promises]


def test_the_table_of_fields_is_complete() -> None:
    (table,) = re.findall(r"\| field \| meaning \|\n((?:\|.*\n)+)", TEXT)
    named = {
        word for line in table.splitlines() for word in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == ModelCard.model_fields.keys() - {"model", "settings"}
