"""Rules that a run has to keep, by the unfavourable end of the interval."""

from pathlib import Path

import pytest
from kit import judged_run, report_run
from kit.commands import htbench
from kit.judge_servers import Endpoint, serving
from kit.planted_run import planted

from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.report import requirements
from htbench.report.requirements import Verdict
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `good` with gain .3 at full strength and .1 at half, and of `lineas`, which fits."""
    curves = {
        "good": {0.5: (0.1, 0.9), 1.0: (0.3, 0.8), 2.0: (0.4, 0.1)},
        "hypertransport": {0.5: (0.1, 0.9), 1.0: (0.3, 0.8), 2.0: (0.4, 0.1)},
        "lineas": {0.5: (0.1, 0.9), 1.0: (0.3, 0.8), 2.0: (0.4, 0.1)},
    }
    return planted(tmp_path_factory.mktemp("rules") / "run", curves)


def verdict(run: Path, text: str) -> Verdict:
    rule = requirements.parse(text)
    with Store.read(run) as store:
        (only,) = requirements.check(Summary(store), [rule])
    return only


def interval(run: Path, strength: float = 1.0) -> tuple[float, float]:
    with Store.read(run) as store:
        score = Summary(store).leaderboard_row("good", strength).scores["concept_gain"]
    assert score
    return score.low, score.high


def test_a_lower_bound_is_kept_by_the_lower_end(run: Path) -> None:
    low, _ = interval(run)
    assert low < 0.3
    assert verdict(run, f"concept_gain[good] >= {low - 1e-6}").kept
    assert not verdict(run, f"concept_gain[good] >= {low + 1e-6}").kept


def test_an_upper_bound_is_kept_by_the_upper_end(run: Path) -> None:
    _, high = interval(run)
    assert verdict(run, f"concept_gain[good] < {high + 1e-6}").kept
    assert not verdict(run, f"concept_gain[good] < {high - 1e-6}").kept


def test_a_strength_is_named_after_the_method(run: Path) -> None:
    low, _ = interval(run, 0.5)
    assert verdict(run, f"concept_gain[good@0.5] > {low - 1e-6}").kept
    assert not verdict(run, f"concept_gain[good@0.5] > {low + 1e-6}").kept


def test_the_reason_has_the_figures(run: Path) -> None:
    low, _ = interval(run)
    assert verdict(run, "concept_gain[good] >= 0.9").reason == (
        f"it is 0.3, and {low:.4g} at the lower end of its interval"
    )


def test_a_speed_up_is_told_of_the_fit_in_brackets(run: Path) -> None:
    assert verdict(run, "S[lineas] >= 1000").kept
    assert not verdict(run, "S[hypertransport, lineas] >= 1e6").kept
    assert not verdict(run, "S(100)[lineas] >= 1000").kept


def test_without_times_no_speed_up_is_kept(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", timed=False, concepts=3, size=8)
    assert "no speed-up is known" in verdict(run, "S > 0").reason


def test_without_an_interval_a_rule_is_broken(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", concepts=2, size=8)
    broken = verdict(run, "concept_gain[lineas] > -2")
    assert (broken.kept, "without an interval" in broken.reason) == (False, True)


def test_cells_that_are_not_scored_break_a_rule(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", made=30, size=8)
    broken = verdict(run, "concept_gain[lineas] > -2")
    assert (broken.kept, "have no scores yet" in broken.reason) == (False, True)


def test_failed_cells_are_counted(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", concepts=2, size=8)
    assert verdict(run, "failed <= 0").kept
    with Store.open(run) as store:
        row = next(row for row in store.rows() if row.method == "lineas" and row.is_steered)
        store.add_failure([row.image], Failure(kind="nan", message="no numbers"))
    assert verdict(run, "failed <= 0").reason == "it is 1"
    assert not verdict(run, "failed[lineas] <= 0").kept
    assert verdict(run, "failed[prompt] <= 0").kept


def test_win_rates_are_those_of_the_last_judge(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run")
    assert "no judge" in verdict(run, "win_rate[good] > 0").reason
    with serving(Endpoint()) as endpoint:
        result = judged_run.judged(run, judged_run.card(tmp_path / "judge", endpoint.url))
    ranking = result.criteria[0].ranking
    assert ranking
    entry = next(each for each in ranking.entries if each.name == "good")
    assert verdict(run, f"win_rate[good] >= {entry.win_rate.low - 0.02}").kept
    assert not verdict(run, f"win_rate[good] >= {entry.win_rate.low + 0.05}").kept
    assert verdict(run, "win_rate.presence[good, none] > 0.5").kept
    with pytest.raises(UnknownName, match="did you mean 'good'"):
        verdict(run, "win_rate[goood] > 0")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("gain[good] > 0", "did you mean 'concept_gain'"),
        ("concept_gain[goood] > 0", "did you mean 'good'"),
        ("S[linea] > 0", "did you mean 'lineas'"),
    ],
)
def test_an_unknown_name_gets_the_nearest(run: Path, text: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=hint):
        verdict(run, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "concept_gain",
        "concept_gain[good] == 1",
        "concept_gain[good] >= much",
        "concept_gain[good] >= nan",
        "concept_gain >= 1",
        "concept_gain[good, lineas] >= 1",
        "concept_gain[good@0.7] >= 1",
        "concept_gain[[good]] >= 1",
    ],
)
def test_what_is_no_rule_is_refused(run: Path, text: str) -> None:
    with pytest.raises(UsageError):
        verdict(run, text)


def test_the_command_ends_with_5_and_a_line_per_broken_rule(run: Path) -> None:
    rules = ["concept_gain[good] >= 0.2", "concept_gain[good] >= 0.9", "S > 1e9"]
    words = [word for rule in rules for word in ("--require", rule)]
    answer = htbench("check", str(run), *words)
    assert answer.returncode == Refused.exit_code
    marks = [line[0] for line in answer.stdout.splitlines() if line[0] in "✓✗"]
    assert marks == ["✓", "✗", "✗"]
    assert "2 of 3 rules are broken" in answer.stderr


def test_a_run_that_keeps_its_rules_is_as_good_as_one_without(run: Path) -> None:
    answer = htbench("check", str(run), "--require", "concept_gain[good] >= 0.2")
    assert answer.returncode == 0, answer.stderr
