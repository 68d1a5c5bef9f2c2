"""Tables on a terminal of 80 columns: no name and no number is cut."""

from pathlib import Path

import pytest
from kit import report_run
from kit.commands import htbench

METHODS = (
    "none",
    "prompt",
    "hypertransport",
    "a-method-with-a-name-longer-than-any-that-is-shipped",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    report_run.build(folder / "run", methods=METHODS, size=8)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "methods"],
        ["list", "models"],
        ["list", "encoders"],
        ["list", "scorers"],
        ["list", "concepts"],
        ["list", "metrics"],
        ["list", "judges"],
        ["list", "plans"],
        ["list", "runs"],
        ["show", "metric", "presence"],
        ["report", "run"],
        ["power"],
        ["diff", "run", "run"],
    ],
    ids=" ".join,
)
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(
    words: list[str], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HTBENCH_RUNS", str(runs))
    answer = htbench(*words, cwd=runs)
    assert answer.stdout
    assert max(len(line) for line in answer.stdout.splitlines()) <= 80
    assert "…" not in answer.stdout
