"""Steering on the perceptual scale that a run has learnt."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from kit.toy import Toy
from typer.testing import CliRunner

from htbench.cli import app
from htbench.cli.strength_scale import OwnStrengths, own_strengths
from htbench.core.errors import HtbenchError, Refused, UnknownName, UsageError
from htbench.run.store import Store
from htbench.steering import baseline

METHODS = ("mean-shift", "lineas", "prompt")
SCALE = {"top": 1.0, "shares": [0.0, 0.5, 1.0], "points": [0.0, 0.6, 0.9], "strengths": [0.6, 0.9]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a scale of `mean-shift`, none of `lineas`, and no effect of `prompt`."""
    folder = tmp_path_factory.mktemp("runs")
    methods = {name: {"card": str(baseline.load_card(name).digest)} for name in METHODS}
    scales = {"mean-shift": SCALE, "prompt": {"top": 1.0}}
    with Store.open(folder / "scaled") as store:
        store.set_facts(
            model={"name": "emoji", "revision": "1"},
            plan={"strengths": [0.0, 0.5, 1.0]},
            methods=methods,
            strength_scales=scales,
        )
    with Store.open(folder / "removed") as store:
        store.set_facts(model={"name": "emoji"}, plan={"task": "remove"}, strength_scales=scales)
    with Store.open(folder / "longer") as store:
        double = {**SCALE, "top": 2.0, "points": [0.0, 0.6, 1.8]}
        store.set_facts(
            model={"name": "emoji"}, methods=methods, strength_scales={"mean-shift": double}
        )
    with Store.open(folder / "older") as store:
        store.set_facts(
            model={"name": "emoji"},
            methods={"mean-shift": {"card": "another"}},
            strength_scales=scales,
        )
    return folder


def own(
    runs: Path,
    columns: Sequence[float | tuple[float, ...]] = (0.0, 0.5, 1.0),
    *,
    scale: str = "perceptual",
    run: str | None = "scaled",
    method: str = "mean-shift",
    model: str = "emoji",
    only_adds: bool = True,
) -> OwnStrengths:
    cards = [baseline.load_card(method)]
    return own_strengths(
        scale, run, runs, cards=cards, model=model, columns=columns, only_adds=only_adds
    )


def test_equal_steps_of_effect_are_at_the_methods_own_strengths(runs: Path) -> None:
    assert own(runs).by_method == {"mean-shift": (0.0, 0.6, 0.9)}


def test_the_largest_strength_of_the_run_is_the_end_of_the_scale(runs: Path) -> None:
    assert own(runs, (1.0, 2.0), run="longer").by_method == {"mean-shift": (0.6, 1.8)}


def test_each_of_several_concepts_is_on_the_scale(runs: Path) -> None:
    assert own(runs, [(0.5, 1.0)]).by_method == {"mean-shift": ((0.6, 0.9),)}


def test_the_plain_scale_changes_no_strength(runs: Path) -> None:
    assert own(runs, scale="plain", run=None, only_adds=False).by_method == {}


@pytest.mark.parametrize(
    ("settings", "problem", "remedy"),
    [
        ({"run": None}, "needs the run that learnt the scale: --run RUN", "htbench run --method"),
        ({"scale": "plain"}, "--run names the run of a perceptual scale", "leave --run out"),
        ({"only_adds": False}, "concepts that are learnt and added", "--remove"),
        ({"method": "lineas"}, "has learnt no perceptual scale of lineas", "--method lineas"),
        ({"method": "prompt"}, "saw no effect of prompt", "Leave --strength-scale out"),
        ({"model": "dmd2"}, "is one of emoji, not of dmd2", "Add --model emoji"),
        ({"run": "removed"}, "for task remove, not for adding", "another run"),
        ({"run": "older"}, "with other settings of mean-shift", "--strength-scale perceptual"),
        ({"columns": (0.0, 1.5)}, "1.5 is not on the perceptual scale", "--strength 0,0.5,1"),
        ({"columns": (-1.0,)}, "-1 is not on the perceptual scale", "--strength 0,0.5,1"),
    ],
)
def test_where_there_is_no_such_scale_a_line_says_why_and_another_how_to_get_one(
    settings: dict[str, object], problem: str, remedy: str, runs: Path
) -> None:
    with pytest.raises(UsageError, match=problem) as raised:
        own(runs, **settings)  # type: ignore[arg-type]
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("settings", "near"),
    [({"scale": "perceptuel"}, "'perceptual'"), ({"run": "scale"}, "'scaled'")],
)
def test_an_unknown_scale_or_run_is_answered_with_the_nearest(
    settings: dict[str, str], near: str, runs: Path
) -> None:
    with pytest.raises(UnknownName, match=f"did you mean {near}"):
        own(runs, **settings)  # type: ignore[arg-type]


def test_a_scale_of_other_weights_is_refused(runs: Path) -> None:
    with pytest.raises(Refused, match="other weights of toy"):
        own(runs).check_model(Toy())
    own(runs, scale="plain", run=None).check_model(Toy())


def test_steer_has_the_option_and_refuses_before_the_model_is_loaded(runs: Path) -> None:
    words = ["steer", "--concept", "lemon", "--prompt", "panda", "--runs-dir", str(runs)]
    scale = ["--strength-scale", "perceptual", "--run", "scaled", "--method", "lineas"]
    answer = CliRunner().invoke(app, [*words, *scale])
    assert isinstance(answer.exception, HtbenchError)
    assert "has learnt no perceptual scale of lineas" in str(answer.exception)
