"""`htbench time`: plans, what is shown of two models, and sessions that are cut off."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from htbench.cli import app
from htbench.core.errors import Missing
from htbench.core.interrupts import Interrupted
from htbench.methods.linear_act import LinearAct
from htbench.run.store import Store
from htbench.run.timing import figures, forecast
from htbench.steering.intervention import Intervention

EFFORT = ["--rounds", "3", "--minutes", "0", "--steps", "1", "--train-concepts", "2"]
EFFORT += ["--train-steps", "1", "--encoder", "emoji-clip-a"]
METHODS = ["--method", "hypertransport", "--method", "linear-act"]


def invoke(folder: Path, *words: str) -> Result:
    runs = ["--runs-dir", str(folder)]
    return CliRunner().invoke(app, ["time", *words, *runs], catch_exceptions=False)


def test_both_models_of_the_paper_are_rehearsed_in_one_report(
    tmp_path: Path, own_cache: None
) -> None:
    words = ["paper-scale", "--weights", "tiny", *EFFORT, *METHODS, "--method", "lineas-1000"]
    answer = invoke(tmp_path, *words, "--json")
    assert answer.exit_code == 0
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    rows = [event for event in events if event["event"] == "paper"]
    assert [(row["model"], row["reported"]) for row in rows] == [
        ("dmd2", "3600-7000x"),
        ("nitro-1-pixart", "3600-7000x"),
    ]
    for row in rows:
        assert [each and each["fit"] for each in row["cells"]] == [
            "lineas-1000",
            None,
            "lineas-1000, 8 side by side",
            "linear-act",
        ]
    page = (tmp_path / "paper-scale-tiny" / "report.html").read_text(encoding="utf-8")
    assert "<h3>dmd2</h3>" in page
    assert "<h3>nitro-1-pixart</h3>" in page
    assert "3600-7000x" in page


def test_a_plan_for_a_gpu_is_refused_on_a_cpu_with_the_hours_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(forecast, "_flop_per_second", lambda: 1e9)
    plan = tmp_path / "large.toml"
    plan.write_text(
        'models = ["nitro-1-pixart"]\nmethods = ["lineas-1000"]\nweights = "random"\n'
        "needs_gpu = true\n"
    )
    with pytest.raises(Missing, match=r"large\.toml is for a GPU") as caught:
        invoke(tmp_path, str(plan))
    hours = int(str(caught.value).split("at least ")[1].split()[0].replace(",", ""))
    assert hours > 100  # 10 rounds of 3 steps of more than 20 TFLOP at a GFLOP a second
    assert "--weights tiny" in caught.value.remedy
    assert not (tmp_path / "large").exists()


def test_a_session_that_is_cut_off_leaves_its_times_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fit(self: LinearAct, model: object, concept: object, *, seed: int) -> Intervention:
        calls.append("fit")
        if len(calls) > 3:
            raise Interrupted
        return Intervention()

    monkeypatch.setattr(LinearAct, "fit", fit)
    with pytest.raises(Interrupted):
        invoke(tmp_path, *METHODS, *EFFORT[:2], *EFFORT[4:], "--minutes", "9", "--rounds", "12")
    with Store.read(tmp_path / "time-emoji") as store:
        (session,) = figures.latest_of_models(store)
    assert {times.method for times in session.method_times} == {"hypertransport", "linear-act"}
    assert any("interrupted" in sentence for sentence in figures.caveats(session))
    page = (tmp_path / "time-emoji" / "report.html").read_text(encoding="utf-8")
    assert "The session was interrupted" in page


def test_plans_of_times_are_listed_among_plans() -> None:
    listed = CliRunner().invoke(app, ["list", "plans", "--json"], catch_exceptions=False).stdout
    entries = {entry["name"]: entry for entry in map(json.loads, listed.splitlines())}
    assert entries["paper-scale"]["facts"] == ["for htbench time"]
    words = ["show", "plan", "paper-scale", "--json"]
    shown = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert (shown["command"], shown["minutes"]) == ("htbench time paper-scale", 14.0)
