"""A plan that only asks a run for more, or for part of it, goes on in that run's folder."""

from pathlib import Path

import pytest

from htbench.run import plan as plans
from htbench.run.plan import Plan, RunOptions
from htbench.run.run_folder import RunFolder, find_folder, widen
from htbench.run.store import Store

PLAN = "methods = ['prompt']\nlimit = 2\nprompts = 1\nstrengths = [0.0, 0.5, 1.0]\n"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plan, and a run of it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(PLAN)
    with Store.open(Path("runs/mine")) as store:
        store.set_facts(plan=plans.build(plans.read("mine.toml")).model_dump(mode="json"))
    return tmp_path


def find(options: RunOptions | None = None, **changes: object) -> RunFolder:
    plan = plans.build(plans.read("mine.toml"), changes)
    return find_folder(plan, options or RunOptions(), given="mine.toml")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("changes", "setting", "value"),
    [
        ({"scorers": ("./light.toml",)}, "scorers", ("./light.toml",)),
        ({"strengths": (0.0, 2.0)}, "strengths", (0.0, 0.5, 1.0, 2.0)),
        ({"methods": ("mean-shift",)}, "methods", ("none", "prompt", "mean-shift")),
        ({"limit": 3}, "limit", 3),
        ({"seeds": 4}, "seeds", 4),
        ({"fit_seeds": 2}, "fit_seeds", 2),
        ({"tune_strength": True, "tune_concepts": 3}, "tune_concepts", 3),
    ],
)
def test_a_run_is_given_more(changes: dict[str, object], setting: str, value: object) -> None:
    place = find(**changes)
    assert (place.folder, getattr(place.plan, setting)) == (Path("runs/mine"), value)
    assert place.note.startswith("goes on with run runs/mine, which gets ")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("changes", [{"strengths": (0.0, 1.0)}, {"limit": 1}, {"methods": ()}])
def test_a_part_of_a_run_is_the_run(changes: dict[str, object]) -> None:
    place = find(**{name: value or ("none",) for name, value in changes.items()})
    assert place.plan == plans.build(plans.read("mine.toml"))
    assert place.note.startswith("run runs/mine has all of this, and more: ")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"batch": 8}, {"concepts": "dev"}, {"scorers": ("emoji-clip-a",)}]
)
def test_another_plan_has_a_folder_of_its_own(changes: dict[str, object]) -> None:
    place = find(**changes)
    assert place.folder.name.startswith("mine-")
    assert place.note == ""


@pytest.mark.usefixtures("runs")
def test_a_name_that_is_given_is_taken_with_the_plan_as_it_is() -> None:
    place = find(RunOptions(name="mine"), strengths=(0.0, 1.0))
    assert (place.folder, place.plan.strengths) == (Path("runs/mine"), (0.0, 1.0))


@pytest.mark.usefixtures("runs")
def test_the_plan_as_it_stands_needs_no_note() -> None:
    assert find() == RunFolder(
        folder=Path("runs/mine"), plan=plans.build(plans.read("mine.toml")), note=""
    )


def test_a_plan_without_a_run_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(PLAN)
    assert find().folder == Path("runs/mine")


def test_a_card_is_one_method_however_its_path_is_written() -> None:
    stored, plan = (Plan(methods=("none", path)) for path in ("card.toml", "./card.toml"))
    assert widen(stored, plan) == stored
