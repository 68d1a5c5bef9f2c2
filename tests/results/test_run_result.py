"""A run as pandas frames and images, with the same column types whatever it holds."""

import math
import shutil
from pathlib import Path

import pytest
from kit import judged_run, report_run
from PIL import Image

import htbench
from htbench.core.errors import Missing, UnknownName
from htbench.judging import card as judge_cards
from htbench.report.sections import strengths
from htbench.results.run_result import RunResult
from htbench.run.store import Store
from htbench.run.summary import Summary


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = report_run.build(
        tmp_path_factory.mktemp("runs") / "made", concepts=3, prompts=report_run.PROMPTS[:2], size=8
    )
    return htbench.open(folder)


@pytest.fixture
def empty(tmp_path: Path) -> RunResult:
    Store.open(tmp_path / "empty").close()
    return RunResult(folder=tmp_path / "empty")


def test_the_leaderboard_has_the_estimates_of_the_report(run: RunResult) -> None:
    board = run.leaderboard()
    with Store.read(run.folder) as store:
        rows = Summary(store).leaderboard
    assert list(board.method) == [row.method for row in rows]
    assert list(board.concept_gain_low) == [row.headline.low for row in rows if row.headline]


def test_every_strength_has_a_row(run: RunResult) -> None:
    table = run.strengths()
    assert len(table) == 1 + 5 * 3
    assert table[table.method == "prompt"].strength.tolist() == [1.0, 0.0, 0.5]


def test_a_cell_has_its_scores(run: RunResult) -> None:
    cells = run.cells()
    with Store.read(run.folder) as store:
        summary = Summary(store)
        scores = [summary.scores[row.id]["presence"] for row in summary.rows]
    assert cells.presence.tolist() == scores
    assert set(cells.kind) == {"object", "colour", "style"}


def test_cells_by_an_encoder_that_did_not_score_are_refused(run: RunResult) -> None:
    with pytest.raises(UnknownName, match="no encoder of the run 'emoji-clip-z'"):
        run.cells(scorer="emoji-clip-z")


def test_timings_are_in_seconds(run: RunResult) -> None:
    timings = run.timings()
    median = timings[timings.method == "lineas"].seconds.median()
    assert math.isclose(median, report_run.SECONDS["lineas"] * 0.93)


def test_categories_are_in_the_order_of_the_plan(run: RunResult) -> None:
    assert list(run.cells().method.cat.categories) == list(report_run.METHODS)


@pytest.mark.parametrize(
    "table", ["leaderboard", "strengths", "cells", "timings", "sessions", "votes"]
)
def test_types_of_columns_do_not_depend_on_the_run(
    run: RunResult, empty: RunResult, table: str
) -> None:
    types, of_empty = (getattr(each, table)().dtypes for each in (run, empty))
    assert [kind.name for kind in types] == [kind.name for kind in of_empty]
    assert list(types.index) == list(of_empty.index)


def test_votes_are_the_preferences_of_the_judge(toy_plugins: Path, tmp_path: Path) -> None:
    folder = judged_run.build(tmp_path / "run", methods=("poor", "good"), concepts=3)
    judge = judge_cards.load_judge_card("clip").with_model("toy-clip")
    preferences = judged_run.judged(folder, judge).criteria[0].preferences
    votes = RunResult(folder=folder).votes()
    told = {
        vote.concept: vote.preference if vote.one == "poor" else 1 - vote.preference
        for vote in votes.itertuples()
    }
    assert told == {
        concept: pytest.approx(value if one == "poor" else 1 - value)
        for (one, _, concept, _, _), value in preferences.items()
    }
    assert set(votes.judge) == {"clip"}


def test_sessions_say_who_made_the_run(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        store.start_session(command="htbench run mine", environment={"threads": 2})
    (session,) = RunResult(folder=tmp_path / "run").sessions().itertuples()
    assert (session.command, session.threads) == ("htbench run mine", 2)
    assert str(session.started.tz) == "UTC"


def test_an_image_is_found_by_its_cell(run: RunResult) -> None:
    cells = run.cells()
    cell = cells[(cells.method == "lineas") & (cells.strength == 0.5)].iloc[3]
    image = run.image(cell.method, cell.concept, cell.prompt, cell.strength)
    assert image.tobytes() == Image.open(run.folder / "images" / cell.file).tobytes()


def test_an_image_without_a_prompt_is_of_the_first(run: RunResult) -> None:
    images = [run.image("lineas", "lemon", prompt) for prompt in (None, report_run.PROMPTS[0])]
    assert images[0] == images[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("linea", "lemon"), "did you mean 'lineas'"),
        (("lineas", "lemons"), "did you mean 'lemon'"),
        (("lineas", "lemon", "a cat"), "no prompt of the run"),
        (("lineas", "lemon", None, 2.0), "no strength of the run '2.0'"),
    ],
)
def test_an_image_that_the_run_does_not_have_is_refused(
    run: RunResult, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UnknownName, match=message):
        run.image(*words)


def test_an_image_that_is_not_made_yet_is_missing(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "half", concepts=1, prompts=["a cat"], made=1, size=8)
    with pytest.raises(Missing, match="not made yet"):
        htbench.open(folder).image("lineas", "lemon")


def test_the_report_is_written_once_and_shows_itself(run: RunResult) -> None:
    page = run.report()
    before = page.path.stat().st_mtime_ns
    assert run.report().path.stat().st_mtime_ns == before
    assert page._repr_html_().startswith("<iframe srcdoc=")


def test_a_run_shows_its_leaderboard(run: RunResult) -> None:
    assert "<td>lineas</td>" in run._repr_html_()


def test_a_run_is_opened_by_its_name(
    run: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.folder, tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    assert htbench.open("mine") == htbench.open("runs/mine") == RunResult(folder=Path("runs/mine"))


def test_a_run_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no run 'nothing'"):
        htbench.open("nothing", runs=tmp_path)


def test_every_table_of_the_report_is_a_frame(run: RunResult) -> None:
    names = run.tables()
    assert {"dose_response", "strength_policies", "costs", "kinds", "claims"} <= {*names}
    for name in names:
        frame = run.table(name)
        assert "object" not in {str(kind) for kind in frame.dtypes}, name


def test_a_table_has_the_figures_of_the_report(run: RunResult) -> None:
    responses = run.table("dose_response").set_index("method")
    with Store.read(run.folder) as store:
        found = strengths.collect(Summary(store)).get("lineas")
    assert found
    assert found.response
    assert found.response.spearman
    assert responses.loc["lineas", "spearman"] == found.response.spearman.mean
    costs = run.table("costs").set_index("method")
    assert costs.loc["hypertransport", "training_seconds"] == 1380.0


def test_a_table_that_the_run_does_not_have_is_refused(run: RunResult) -> None:
    with pytest.raises(UnknownName, match="no table of the run 'kind'"):
        run.table("kind")
