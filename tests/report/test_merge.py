import csv
import json
from pathlib import Path
from typing import Any

import pytest
from kit import report_run

from htbench.core.errors import Refused, UsageError
from htbench.report import merge, multi_run
from htbench.report.sections import trust
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, Summary

GRID: dict[str, Any] = {
    "concepts": 3,
    "prompts": report_run.PROMPTS[:1],
    "strengths": (0.0, 1.0),
    "size": 8,
}


def run(folder: Path, *methods: str, **changes: Any) -> Path:
    return report_run.build(folder, methods=("none", *methods), **{**GRID, **changes})


def changed(folder: Path, **facts: object) -> Path:
    """The run with other facts; a plan is changed in part."""
    with Store.open(folder) as store:
        known = store.facts()
        store.set_facts(
            **{
                name: {**known[name], **value} if isinstance(value, dict) else value
                for name, value in facts.items()
            }
        )
    return folder


def test_methods_of_two_runs_score_as_they_do_in_one(tmp_path: Path) -> None:
    parts = [run(tmp_path / "a", "linear-act"), run(tmp_path / "b", "lineas", "prompt")]
    whole = run(tmp_path / "c", "linear-act", "lineas", "prompt")
    with merge.model_reports(parts) as boards, Store.read(whole) as store:
        (board,) = boards
        wanted = Summary(store)
        assert board.summary.methods == wanted.methods
        assert board.summary.leaderboard == wanted.leaderboard
        assert (board.summary.done, board.summary.planned) == (wanted.done, wanted.planned)


def test_cells_that_both_runs_have_are_counted_once(tmp_path: Path) -> None:
    parts = [run(tmp_path / "a", "linear-act", "lineas"), run(tmp_path / "b", "lineas")]
    with merge.model_reports(parts) as (board,), Store.read(parts[0]) as store:
        assert board.summary.planned == store.count()


def test_a_picture_that_one_run_lacks_is_taken_from_the_other(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "lineas", made=2, problem="out of memory", scored=False),
        run(tmp_path / "b", "lineas"),
    ]
    with merge.model_reports(parts) as (board,):
        assert board.summary.done == board.summary.planned
        assert board.summary.failures == []


def test_pictures_are_found_where_each_run_keeps_them(tmp_path: Path) -> None:
    parts = [run(tmp_path / "a", "linear-act"), run(tmp_path / "b", "lineas")]
    with merge.model_reports(parts) as (board,):
        assert all(
            board.summary.store.image_path(row.file).is_file()
            for row in board.summary.rows
            if row.file
        )


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"plan": {"seed": 7}}, r"seed \(0 and 7\)"),
        ({"plan": {"strengths": [0.0, 2.0]}}, r"strengths \(0.0, 1.0 and 0.0, 2.0\)"),
        ({"model": {"revision": "2"}}, r"model revision \(1 and 2\)"),
        ({"scorer": {"id": "other@1"}}, r"scorer id \(emoji-clip-b@1 and other@1\)"),
    ],
)
def test_runs_whose_settings_differ_are_refused_by_name(
    tmp_path: Path, facts: dict[str, object], named: str
) -> None:
    parts = [run(tmp_path / "a", "linear-act"), changed(run(tmp_path / "b", "lineas"), **facts)]
    with pytest.raises(Refused, match=named), merge.model_reports(parts):
        pass


def timed(folder: Path, method: str, *, cpu: str) -> Path:
    """A run that timed its method on a processor."""
    run(folder, method, timed=False)
    with Store.open(folder) as store:
        store.start_session(command="htbench run", environment={"cpu": cpu})
        store.add_timing("towards", method, "lemon", 1.0, "cpu")
    return folder


def test_times_of_two_machines_come_with_a_warning_and_without_a_speed_up(tmp_path: Path) -> None:
    parts = [
        timed(tmp_path / "a", "linear-act", cpu="2 cores"),
        timed(tmp_path / "b", "lineas", cpu="64 cores"),
    ]
    with merge.model_reports(parts) as (board,):
        assert any("(cpu differ)" in warning for warning in trust.warnings(board.summary))
        assert board.summary.timed_session is None


def test_times_of_one_machine_in_two_runs_need_no_warning(tmp_path: Path) -> None:
    parts = [timed(tmp_path / name, name, cpu="2 cores") for name in ("linear-act", "lineas")]
    with merge.model_reports(parts) as (board,):
        assert not any("differ)" in warning for warning in trust.warnings(board.summary))


def test_two_methods_of_one_name_are_refused(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", "lineas"), run(tmp_path / "b", "lineas")
    one = "method = 'lineas' AND strength = 1 AND concept = 'lemon'"
    with Store.open(second) as store:
        store.select(
            f"UPDATE images SET key = 'another' WHERE key IN (SELECT image FROM cells WHERE {one})"
        )
        store.select(f"UPDATE cells SET image = 'another' WHERE {one}")
    with pytest.raises(Refused, match="has another 'lineas'"), merge.model_reports([first, second]):
        pass


def test_models_stand_side_by_side_and_are_never_averaged(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        changed(run(tmp_path / "b", "linear-act", "lineas"), plan={"model": "dmd2"}),
    ]
    with merge.model_reports(parts) as boards:
        assert [(board.name, board.summary.methods) for board in boards] == [
            ("emoji", ["none", "linear-act"]),
            ("dmd2", ["none", "linear-act", "lineas"]),
        ]


def test_concepts_that_differ_stand_side_by_side(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        changed(run(tmp_path / "b", "linear-act"), plan={"concepts": "dev"}),
    ]
    with merge.model_reports(parts) as boards:
        assert [board.name for board in boards] == ["emoji · test", "emoji · dev"]


def test_runs_of_fewer_concepts_stand_beside_those_of_all(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        changed(run(tmp_path / "b", "lineas", concepts=2), plan={"limit": 2}),
    ]
    with merge.model_reports(parts) as boards:
        names = [board.name for board in boards]
    assert names == ["emoji · all concepts", "emoji · first 2 concepts"]


def test_boards_of_an_earlier_report_in_the_same_folder_are_removed(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        *(
            changed(run(tmp_path / name, "lineas"), plan={"model": name})
            for name in ("dmd2", "nitro")
        ),
    ]
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "index.html").write_text("my own")
    for chosen in (parts[:2], [parts[0], parts[2]]):
        with merge.model_reports(chosen) as boards:
            multi_run.write(boards, tmp_path / "out")
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == {"emoji", "nitro", "mine"}


def test_each_board_has_its_page_and_leads_to_the_others(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        changed(run(tmp_path / "b", "lineas"), plan={"model": "dmd2"}),
    ]
    with merge.model_reports(parts) as boards:
        index = multi_run.write(boards, tmp_path / "out")
    assert 'href="dmd2/index.html"' in index.read_text()
    page = (tmp_path / "out" / "dmd2" / "index.html").read_text()
    assert '<a href="../dmd2/index.html" aria-current="page">dmd2</a>' in page
    assert 'href="../emoji/index.html"' in page


def test_the_sheet_of_all_names_the_board_of_each_line(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        changed(run(tmp_path / "b", "lineas"), plan={"model": "dmd2"}),
    ]
    with merge.model_reports(parts) as boards:
        multi_run.write(boards, tmp_path / "out")
        wanted = {
            (board.name, line.method): line.scores[HEADLINE]
            for board in boards
            for line in board.summary.leaderboard
        }
    with (tmp_path / "out" / "leaderboard.csv").open(newline="") as file:
        found = {
            (row["board"], row["method"], float(row["strength"])): float(row[HEADLINE])
            for row in csv.DictReader(file)
        }
    for (board, method), estimate in wanted.items():
        assert estimate is not None
        assert found[board, method, 0.0 if method == "none" else 1.0] == estimate.mean
    assert len(json.loads((tmp_path / "out" / "leaderboard.json").read_text())["lines"]) == len(
        found
    )


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    parts = [
        run(tmp_path / "a", "linear-act"),
        run(tmp_path / "b", "lineas"),
        changed(run(tmp_path / "c", "lineas"), plan={"model": "dmd2"}),
    ]
    texts = []
    for name in ("one", "two"):
        with merge.model_reports(parts) as boards:
            multi_run.write(boards, tmp_path / name)
        texts.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in (tmp_path / name).rglob("*")
                if path.is_file()
            }
        )
    assert texts[0] == texts[1]


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    parts = [run(tmp_path / "a", "linear-act"), run(tmp_path / "b", "lineas")]
    with (
        merge.model_reports(parts) as boards,
        pytest.raises(UsageError, match="a run's own folder"),
    ):
        multi_run.write(boards, parts[0])
