"""Plans of `htbench time`: a file, and options over it."""

from pathlib import Path

import pytest

from htbench.core import registry
from htbench.core.errors import UnknownName, UsageError
from htbench.run.timing import plan
from htbench.steering import baseline


@pytest.mark.parametrize("name", plan.names())
def test_shipped_plans_name_what_exists(name: str) -> None:
    timed = plan.build(name, {})
    for model in timed.models:
        registry.check("models", model)
    for method in timed.methods:
        baseline.load_card(method)
    assert plan.about(name)


def test_the_paper_is_timed_against_1000_steps_50_steps_and_fits_in_one_pass() -> None:
    timed = plan.build("paper-scale", {})
    cards = [baseline.load_card(method) for method in timed.methods]
    assert {card.settings.get("steps") for card in cards} == {4000, 1000, 50, None}
    assert (timed.models, timed.weights, timed.needs_gpu) == (
        ("dmd2", "nitro-1-pixart"),
        "random",
        True,
    )


def test_options_override_a_plan_where_they_are_given() -> None:
    timed = plan.build("paper-scale", {"minutes": 3.0, "models": ["emoji"], "steps": None})
    assert (timed.minutes, timed.models, timed.weights) == (3.0, ("emoji",), "random")
    assert timed.protocol(1.5).minutes == 1.5


def test_mistakes_are_answered_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'paper-scale'"):
        plan.build("paperscale", {})
    file = tmp_path / "mine.toml"
    file.write_text("minuets = 3\n")
    with pytest.raises(UnknownName, match="did you mean 'minutes'"):
        plan.build(str(file), {})
    file.write_text('minutes = "long"\n')
    with pytest.raises(UsageError, match="minutes"):
        plan.build(str(file), {})
