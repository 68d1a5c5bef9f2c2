"""Settings: precedence and origin of values, and refusals."""

import pytest

from htbench.core.errors import UnknownName, UsageError
from htbench.run.plan import SETTING_EFFECTS, Plan, RunOptions, build, run_options
from htbench.run.settings import environment, origins


def test_every_setting_of_a_plan_is_classed_by_what_it_decides() -> None:
    classes = list(SETTING_EFFECTS.values())
    assert frozenset().union(*classes) == Plan.model_fields.keys()
    assert sum(map(len, classes)) == len(Plan.model_fields)


def test_no_circumstance_is_a_setting_of_the_plan() -> None:
    assert not Plan.model_fields.keys() & RunOptions.model_fields.keys()


def test_an_explicit_false_beats_a_true_below_it() -> None:
    assert build({"tune_strength": True}, {"tune_strength": False}).tune_strength is False
    assert run_options({"allow_leak": True}, {"allow_leak": False}).allow_leak is False


def test_each_setting_says_which_place_it_came_from() -> None:
    layers = {
        "plan p": {"batch": 4, "seeds": 2},
        "environment": {"batch": 8},
        "option": {"seeds": None},
    }
    found = {
        each.name: (each.value, each.origin) for each in origins([build(*layers.values())], layers)
    }
    assert (found["batch"], found["seeds"], found["prompts"]) == (
        (8, "environment"),
        (2, "plan p"),
        (4, "default"),
    )


def test_the_environment_is_read_by_the_type_of_each_setting() -> None:
    variables = {
        "HTBENCH_BATCH": "8",
        "HTBENCH_STRENGTHS": "0, 0.5",
        "HTBENCH_ALLOW_LEAK": "no",
        "HTBENCH_LIMIT": "3",
        "HTBENCH_NAME": "a",
        "HOME": "/",
    }
    assert environment(variables, Plan, RunOptions) == {
        "batch": 8,
        "strengths": (0.0, 0.5),
        "allow_leak": False,
        "limit": 3,
        "name": "a",
    }


def test_an_unknown_variable_names_the_nearest() -> None:
    with pytest.raises(
        UnknownName, match="no setting 'HTBENCH_BACH'; did you mean 'HTBENCH_BATCH'"
    ):
        environment({"HTBENCH_BACH": "8"}, Plan)


@pytest.mark.parametrize(
    ("variable", "text"),
    [("BATCH", "many"), ("TUNE_STRENGTH", "maybe"), ("STRENGTHS", "0,half"), ("TUNE_FLOOR", "")],
)
def test_text_that_is_no_value_is_refused(variable: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"HTBENCH_{variable}="):
        environment({f"HTBENCH_{variable}": text}, Plan)


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", "a\0b", "", "..", "x" * 61])
def test_a_name_that_would_leave_the_folder_of_runs_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="plan setting 'name'"):
        run_options({"name": name})


@pytest.mark.parametrize(
    ("text", "allowed"), [("3", 3), (3, 3), ("5%", 10), ("0%", 0), ("12.5%", 25), ("100%", 200)]
)
def test_failures_are_allowed_by_number_or_by_share(text: object, allowed: int) -> None:
    assert run_options({"max_failures": text}).failures_allowed(200) == allowed
